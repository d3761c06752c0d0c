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
from robot_rlaas.sim.draws import Draw, within
from robot_rlaas.sim.learned import as_learned
from robot_rlaas.sim.looks import draw_looks
from robot_rlaas.sim.model import TIMESTEP_S

Beyond = Mapping[str, tuple[float, float]]  # factor of the cell's variation -> inner range, in the cell file's units
NOTHING: Beyond = MappingProxyType({})
TRIES = 64
SIZES = {  # of what a factor of the cell's variation gives, in the order in which they are drawn
    "plate_xy_mm": 2,
    "plate_yaw_deg": 1,
    "plate_bias_mm": 2,
    "plate_bias_deg": 1,
    "hand_offset_mm": 3,
    "hand_offset_deg": 3,
    "friction": 1,
}
PER_JOINT = ("joint_damping_scale", "joint_friction_Nm", "servo_gain_scale")  # and then these
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
    drawn = _ranges(cell, generators, beyond)
    if cell.cameras:
        drawn = drawn._replace(looks=draw_looks(cell, seeds, episodes, beyond))
    if cell.contact:
        drawn = as_learned(drawn, cell, cell.contact, generators, beyond)
    return _calibrated(drawn, cell.calibration, generators, beyond) if cell.calibration else drawn


def _ranges(cell: CellSpec, generators: list[np.random.Generator], beyond: Beyond) -> Draw:
    """What is drawn from the cell's ranges."""
    s, n, k, periods = cell.sensing, len(generators), len(cell.robot.home_deg), cell.horizon + 1
    sizes = {**SIZES, **dict.fromkeys(PER_JOINT, k), "command_delay_s": 1}
    bias, shares, wrench = np.empty((n, 6)), np.empty((n, sum(sizes.values()))), np.empty((n, periods, 6))
    joints, sight = np.empty((n, periods, k)), np.empty((n, periods, cell.task.watched, 3))
    low, high = np.array(list(cell.task.start_ranges.values())).reshape(-1, 2).T
    start = np.empty((n, len(low)))
    for i, rng in enumerate(generators):  # this order is what makes episode 7 that episode
        rng.standard_normal(out=bias[i])
        rng.random(out=shares[i])
        rng.standard_normal(out=wrench[i])
        rng.standard_normal(out=joints[i])
        start[i] = rng.uniform(low, high)
        rng.standard_normal(out=sight[i])
    wrench *= np.repeat([s.force_noise_N, s.torque_noise_Nm], 3)
    wrench += (np.repeat([s.force_bias_N, s.torque_bias_Nm], 3) * bias)[:, None]
    joints *= s.joint_noise_rad
    share = dict(zip(sizes, np.split(shares, np.cumsum([*sizes.values()])[:-1], axis=1)))

    def drawn(factor: str, scale: float = 1.0) -> np.ndarray:
        return scale * within(share[factor], getattr(cell.variation, factor), beyond.get(factor))

    mm, deg = 1e-3, np.pi / 180
    return Draw(
        plate_xy_m=drawn("plate_xy_mm", mm),
        plate_yaw_rad=drawn("plate_yaw_deg", deg)[:, 0],
        bias_xy_m=drawn("plate_bias_mm", mm),
        bias_yaw_rad=drawn("plate_bias_deg", deg)[:, 0],
        hand_m=drawn("hand_offset_mm", mm),
        hand_rad=drawn("hand_offset_deg", deg),
        plate_z_m=np.zeros(n),
        plate_tilt_rad=np.zeros((n, 2)),
        friction=drawn("friction")[:, 0],
        damping_scale=drawn("joint_damping_scale"),
        joint_friction_Nm=drawn("joint_friction_Nm"),
        gain_scale=drawn("servo_gain_scale"),
        delay_s=drawn("command_delay_s")[:, 0],
        wrench_noise=wrench,
        joint_noise_rad=joints,
        armature_scale=np.ones((n, k)),
        payload_kg=np.zeros(n),
        payload_m=np.zeros((n, 3)),
        start=start,
        sight_noise=sight,
        looks=np.zeros((n, 0)),
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
