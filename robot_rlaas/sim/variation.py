"""What differs from episode to episode, drawn from the cell's ranges: one generator per episode.

Where the cell has a calibration, the arm's dynamics are drawn from its posterior instead: normal, with its covariance,
so that what only shows in ratios keeps its ratios, and truncated where physics ends. Where it has a contact file,
friction, the offset between camera and hand and the plate's height and tilt are drawn from what that learned: see
`sim.learned`.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from robot_rlaas.cell.calibration import PHYSICAL, Calibration
from robot_rlaas.cell.seeds import Seeds
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.draws import Draw, uniform
from robot_rlaas.sim.learned import as_learned
from robot_rlaas.sim.looks import draw_looks
from robot_rlaas.sim.model import TIMESTEP_S

Beyond = Mapping[str, tuple[float, float]]  # factor of the cell's variation -> inner range, in the cell file's units
NOTHING: Beyond = MappingProxyType({})
TRIES = 64
CALIBRATED = {  # field of Draw -> name of an estimate, which is that of the cell's factor where there is one
    "delay_s": "command_delay_s",
    "gain_scale": "servo_gain_scale",
    "damping_scale": "joint_damping_scale",
    "armature_scale": "armature_scale",
    "joint_friction_Nm": "joint_friction_Nm",
    "payload_kg": "payload_kg",
}


def draw(cell: CellSpec, seeds: Seeds, episodes: np.ndarray, beyond: Beyond = NOTHING) -> Draw:
    """Draw these episodes of a sequence. Episode 7 is the same episode whatever else is drawn with it.

    Args:
        cell: its `variation` holds the ranges, its `calibration`, if there is one, the arm's dynamics, its `contact`
            what parts, plates and camera showed. The rest of an episode is the same with and without them.
        seeds: of the sequence.
        episodes: (n,) numbers.
        beyond: factors that are drawn from the parts of their range outside this inner range, calibrated or not.
    """
    generators = [seeds.generator(int(e)) for e in episodes]
    drawn = Draw(*(np.array(column) for column in zip(*(_one(cell, rng, beyond) for rng in generators))))
    if cell.cameras:
        drawn = drawn._replace(looks=draw_looks(cell, seeds, episodes, beyond))
    if cell.contact:
        drawn = as_learned(drawn, cell, cell.contact, generators, beyond)
    return _calibrated(drawn, cell.calibration, generators, beyond) if cell.calibration else drawn


def _one(cell: CellSpec, rng: np.random.Generator, beyond: Beyond) -> Draw:
    s, k = cell.sensing, len(cell.robot.home_deg)

    def drawn(factor: str, size: int | None = None, scale: float = 1.0) -> np.ndarray:
        return scale * uniform(rng, getattr(cell.variation, factor), beyond.get(factor), size)

    mm, deg = 1e-3, np.pi / 180
    spread = np.repeat([s.force_noise_N, s.torque_noise_Nm], 3)
    bias = np.repeat([s.force_bias_N, s.torque_bias_Nm], 3) * rng.standard_normal(6)
    return Draw(
        plate_xy_m=drawn("plate_xy_mm", 2, mm),
        plate_yaw_rad=drawn("plate_yaw_deg", None, deg),
        bias_xy_m=drawn("plate_bias_mm", 2, mm),
        bias_yaw_rad=drawn("plate_bias_deg", None, deg),
        hand_m=drawn("hand_offset_mm", 3, mm),
        hand_rad=drawn("hand_offset_deg", 3, deg),
        plate_z_m=np.zeros(()),
        plate_tilt_rad=np.zeros(2),
        friction=drawn("friction"),
        damping_scale=drawn("joint_damping_scale", k),
        joint_friction_Nm=drawn("joint_friction_Nm", k),
        gain_scale=drawn("servo_gain_scale", k),
        delay_s=drawn("command_delay_s"),
        wrench_noise=bias + spread * rng.standard_normal((cell.horizon + 1, 6)),
        joint_noise_rad=s.joint_noise_rad * rng.standard_normal((cell.horizon + 1, k)),
        armature_scale=np.ones(k),
        payload_kg=np.zeros(()),
        payload_m=np.zeros(3),
        start=np.array([rng.uniform(*ends) for ends in cell.task.start_ranges.values()]),
        sight_noise=rng.standard_normal((cell.horizon + 1, cell.task.watched, 3)),
        looks=np.zeros(0),
    )


def _calibrated(drawn: Draw, found: Calibration, generators: list[np.random.Generator], beyond: Beyond) -> Draw:
    """With the arm's dynamics drawn from the calibration, but for factors that are drawn beyond their range."""
    names = np.array([e.name for e in found.estimates])
    mean, covariance = np.array([e.value for e in found.estimates]), np.array(found.covariance)
    deviation = np.sqrt(np.diag(covariance))
    unit = np.where(deviation > 0.0, deviation, 1.0)
    variance, axes = np.linalg.eigh(covariance / np.outer(unit, unit))
    root = deviation[:, None] * axes * np.sqrt(np.maximum(variance, 0.0))  # the file's rounding can leave some below
    low, high = np.array([PHYSICAL[name] for name in names]).T
    x = np.array([_truncated_normal(mean, root, low, high, rng) for rng in generators])
    fields = {field: x[:, names == name] for field, name in CALIBRATED.items() if name in names and name not in beyond}
    fields |= {name: fields[name][:, 0] for name in ("delay_s", "payload_kg") if name in fields}
    if "delay_s" in fields:  # MuJoCo takes a delay shorter than a time step for a whole one
        fields["delay_s"] = np.where(fields["delay_s"] < TIMESTEP_S / 2, 0.0, fields["delay_s"])
    if "payload_x_m" in names:
        fields["payload_m"] = x[:, [int(np.flatnonzero(names == f"payload_{axis}_m")[0]) for axis in "xyz"]]
    return drawn._replace(**fields)


def _truncated_normal(
    mean: np.ndarray, root: np.ndarray, low: np.ndarray, high: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """One draw (p,) of a normal with covariance root root', between low and high; clipped if TRIES are not enough."""
    tries = mean + rng.standard_normal((TRIES, len(mean))) @ root.T
    inside = np.all((tries >= low) & (tries <= high), axis=1)
    return tries[int(inside.argmax())] if inside.any() else np.clip(tries[0], low, high)
