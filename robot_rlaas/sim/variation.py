"""What differs from episode to episode, drawn from the cell's ranges: one generator per episode."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.seeds import Seeds
from robot_rlaas.cell.spec import CellSpec

Beyond = Mapping[str, tuple[float, float]]  # factor of the cell's variation -> inner range, in the cell file's units
NOTHING: Beyond = MappingProxyType({})


class Draw(NamedTuple):
    """One row per episode.

    Attributes:
        plate_xy_m: (n, 2) and
        plate_yaw_rad: (n,): the plate's true displacement from its nominal pose.
        bias_xy_m: (n, 2) and
        bias_yaw_rad: (n,): observed minus true plate pose.
        hand_m: (n, 3) and
        hand_rad: (n, 3) rotation vector: the peg's pose in the hand, against nominal.
        friction: (n,) sliding friction between peg and plate.
        damping_scale, joint_friction_Nm, gain_scale: (n, k) per joint.
        delay_s: (n,) between a command and its effect.
        wrench_noise: (n, horizon + 1, 6) N and N m: bias and noise of every reading.
        joint_noise_rad: (n, horizon + 1, k).
    """

    plate_xy_m: np.ndarray
    plate_yaw_rad: np.ndarray
    bias_xy_m: np.ndarray
    bias_yaw_rad: np.ndarray
    hand_m: np.ndarray
    hand_rad: np.ndarray
    friction: np.ndarray
    damping_scale: np.ndarray
    joint_friction_Nm: np.ndarray
    gain_scale: np.ndarray
    delay_s: np.ndarray
    wrench_noise: np.ndarray
    joint_noise_rad: np.ndarray

    def take(self, rows: np.ndarray) -> "Draw":
        """The draws of these rows."""
        return Draw(*(field[rows] for field in self))


def draw(cell: CellSpec, seeds: Seeds, episodes: np.ndarray, beyond: Beyond = NOTHING) -> Draw:
    """Draw these episodes of a sequence. Episode 7 is the same episode whatever else is drawn with it.

    Args:
        cell: its `variation` holds the ranges.
        seeds: of the sequence.
        episodes: (n,) numbers.
        beyond: factors that are drawn from the parts of their range outside this inner range.
    """
    rows = [_one(cell, seeds.generator(int(e)), beyond) for e in episodes]
    return Draw(*(np.array(column) for column in zip(*rows)))


def _one(cell: CellSpec, rng: np.random.Generator, beyond: Beyond) -> Draw:
    s, k = cell.sensing, len(cell.robot.home_deg)

    def uniform(factor: str, size: int | None = None, scale: float = 1.0) -> np.ndarray:
        low, high = getattr(cell.variation, factor)
        inner_low, inner_high = beyond.get(factor, (high, high))
        below, above = max(inner_low - low, 0.0), max(high - inner_high, 0.0)
        at = np.asarray(rng.uniform(0.0, below + above, size))
        return scale * np.where(at <= below, low + at, inner_high + at - below)

    mm, deg = 1e-3, np.pi / 180
    spread = np.repeat([s.force_noise_N, s.torque_noise_Nm], 3)
    bias = np.repeat([s.force_bias_N, s.torque_bias_Nm], 3) * rng.standard_normal(6)
    return Draw(
        plate_xy_m=uniform("plate_xy_mm", 2, mm),
        plate_yaw_rad=uniform("plate_yaw_deg", None, deg),
        bias_xy_m=uniform("plate_bias_mm", 2, mm),
        bias_yaw_rad=uniform("plate_bias_deg", None, deg),
        hand_m=uniform("hand_offset_mm", 3, mm),
        hand_rad=uniform("hand_offset_deg", 3, deg),
        friction=uniform("friction"),
        damping_scale=uniform("joint_damping_scale", k),
        joint_friction_Nm=uniform("joint_friction_Nm", k),
        gain_scale=uniform("servo_gain_scale", k),
        delay_s=uniform("command_delay_s"),
        wrench_noise=bias + spread * rng.standard_normal((cell.horizon + 1, 6)),
        joint_noise_rad=s.joint_noise_rad * rng.standard_normal((cell.horizon + 1, k)),
    )
