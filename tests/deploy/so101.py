"""An SO-101 of emulated servos, calibrated, at the end of a pseudo terminal: the port, and a profile that names it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from feetech_bus import MIDDLE, STEPS, Servos, bus, calibration

from robot_rlaas.cell.hardware import HardwareProfile, Line, load_hardware

STEP_RAD = 2 * np.pi / STEPS


def calibrate(folder: Path) -> Path:
    """LeRobot's calibrations in a folder, one of them of these servos, under the shipped profile's id."""
    file = folder / "robots" / "so_follower" / "so101.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(calibration()))
    return folder


def put(servos: Servos, q_rad: np.ndarray) -> None:
    """Turn its joints there."""
    for servo, angle in enumerate(q_rad, 1):
        servos.turn(servo, MIDDLE + round(angle / STEP_RAD))


def where(servos: Servos) -> np.ndarray:
    """(5,) rad, of its joints."""
    servos.move()
    return np.array([servos.at(i) - MIDDLE for i in range(1, 6)]) * STEP_RAD


@contextmanager
def plugged(servos: Servos, **driver: object) -> Iterator[HardwareProfile]:
    """The shipped profile at the servos' port, with other keys of its driver."""
    with bus(servos) as port:
        profile = load_hardware("so101")
        assert profile.driver is not None
        at_port = profile.driver.at(Line(port)).model_copy(update=driver)
        yield profile.model_copy(update={"driver": at_port})
