"""One cell, one hidden plant, two motions of it."""

from pathlib import Path

import numpy as np
import pytest
from hidden_plant import RATE_HZ, follow, write_mcap
from pressing import Pressed, write_press

from robot_rlaas.calibrate.servo.excite import Excitation, excitation, multisine
from robot_rlaas.cell.hardware import Plant
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.sim.model import Workcell, build


@pytest.fixture(scope="session")
def cell() -> CellSpec:
    return load_cell("peg_insertion")


@pytest.fixture(scope="session")
def workcell(cell) -> Workcell:
    return build(cell)


@pytest.fixture(scope="session")
def home_rad(cell) -> np.ndarray:
    return np.deg2rad(np.array(cell.robot.home_deg))


@pytest.fixture(scope="session")
def motions(workcell, cell, home_rad) -> tuple[Excitation, Excitation]:
    """One to fit, one to judge on."""
    rng = np.random.default_rng(3)
    return tuple(
        excitation(workcell, home_rad, seconds, cell.control.rate_hz, rng, kinds=kinds)
        for seconds, kinds in ((12.0, None), (6.0, (multisine,)))
    )


@pytest.fixture(scope="session")
def hidden() -> Plant:
    return Plant(
        description="drawn by hand; not the one that the demonstration runs on",
        servo_gain_scale=(0.90, 1.06, 0.93, 1.10, 0.88, 0.95),
        joint_damping_scale=(1.15, 0.94, 1.10, 0.90, 1.20, 1.10),
        joint_friction_Nm=(1.0, 2.0, 1.5, 0.3, 0.7, 0.5),
        armature_scale=(1.1, 0.9, 1.2, 1.1, 0.95, 1.05),
        command_delay_s=0.02,
        joint_noise_rad=1e-4,
    )


@pytest.fixture(scope="session")
def logs(tmp_path_factory, workcell, motions, hidden) -> tuple[Path, Path]:
    """The hidden plant's logs of both motions."""
    folder, rng = tmp_path_factory.mktemp("logs"), np.random.default_rng(4)
    return tuple(
        write_mcap(folder / f"{name}.mcap", workcell, follow(workcell, hidden, motion.setpoints(RATE_HZ), rng))
        for name, motion in zip(("fit", "heldout"), motions)
    )


@pytest.fixture(scope="session")
def askew(hidden) -> Plant:
    """The hidden arm before a plate that stands 3 mm too high and is tilted, with a wrist sensor that errs."""
    stands = {"plate_z_mm": 3.0, "plate_tilt_x_deg": 0.6, "plate_tilt_y_deg": -0.8}
    senses = {"force_noise_N": 0.5, "torque_noise_Nm": 0.02, "force_bias_N": 2.0}
    return hidden.model_copy(update={**stands, **senses})


@pytest.fixture(scope="session")
def slippery(cell) -> CellSpec:
    """A cell whose parts all have one friction, which the shipped cell does not allow for."""
    vary = cell.variation.model_copy(update={"friction": (0.12, 0.12)})
    return cell.model_copy(update={"variation": vary})


@pytest.fixture(scope="session")
def pressed(tmp_path_factory, slippery, askew) -> Pressed:
    """A whole press of it."""
    return write_press(tmp_path_factory.mktemp("press") / "press.mcap", slippery, askew, 2)
