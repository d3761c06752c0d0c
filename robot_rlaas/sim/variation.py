"""What differs from episode to episode, drawn from the cell's ranges: one generator per episode."""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.seeds import Space, episode_generator
from robot_rlaas.cell.spec import CellSpec


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


def draw(cell: CellSpec, seed: int, space: Space, episodes: np.ndarray) -> Draw:
    """Draw these episodes of a seed space. Episode 7 is the same episode whatever else is drawn with it."""
    rows = [_one(cell, episode_generator(seed, space, int(e))) for e in episodes]
    return Draw(*(np.array(column) for column in zip(*rows)))


def _one(cell: CellSpec, rng: np.random.Generator) -> Draw:
    v, s = cell.variation, cell.sensing
    k = len(cell.robot.home_deg)

    def uniform(low_high: tuple[float, float], size: int | None = None, scale: float = 1.0) -> np.ndarray:
        return np.asarray(rng.uniform(low_high[0] * scale, low_high[1] * scale, size))

    mm, deg = 1e-3, np.pi / 180
    spread = np.repeat([s.force_noise_N, s.torque_noise_Nm], 3)
    bias = np.repeat([s.force_bias_N, s.torque_bias_Nm], 3) * rng.standard_normal(6)
    return Draw(
        plate_xy_m=uniform(v.plate_xy_mm, 2, mm),
        plate_yaw_rad=uniform(v.plate_yaw_deg, None, deg),
        bias_xy_m=uniform(v.plate_bias_mm, 2, mm),
        bias_yaw_rad=uniform(v.plate_bias_deg, None, deg),
        hand_m=uniform(v.hand_offset_mm, 3, mm),
        hand_rad=uniform(v.hand_offset_deg, 3, deg),
        friction=uniform(v.friction),
        damping_scale=uniform(v.joint_damping_scale, k),
        joint_friction_Nm=uniform(v.joint_friction_Nm, k),
        gain_scale=uniform(v.servo_gain_scale, k),
        delay_s=uniform(v.command_delay_s),
        wrench_noise=bias + spread * rng.standard_normal((cell.horizon + 1, 6)),
        joint_noise_rad=s.joint_noise_rad * rng.standard_normal((cell.horizon + 1, k)),
    )
