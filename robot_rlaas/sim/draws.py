"""What is drawn for an episode."""

from typing import NamedTuple

import numpy as np


class Draw(NamedTuple):
    """One row per episode.

    Attributes:
        plate_xy_m: (n, 2) and
        plate_yaw_rad: (n,): the plate's true displacement from its nominal pose.
        bias_xy_m: (n, 2) and
        bias_yaw_rad: (n,): observed minus true plate pose.
        hand_m: (n, 3) and
        hand_rad: (n, 3) rotation vector: the part's pose in the hand, against nominal.
        plate_z_m: (n,) and
        plate_tilt_rad: (n, 2), about the base frame's x and y: the plate's true height and tilt, which nobody sees.
        friction: (n,) sliding friction between part and plate.
        damping_scale, joint_friction_Nm, gain_scale, armature_scale: (n, k) per joint.
        delay_s: (n,) between a command and its effect.
        wrench_noise: (n, horizon + 1, 6) N and N m: bias and noise of every reading.
        joint_noise_rad: (n, horizon + 1, k).
        payload_kg: (n,) what the hand holds besides the part and the controller knows nothing of, and
        payload_m: (n, 3) its centre of mass in the hand's frame, from the middle between the fingertips.
        start: (n, len(cell.task.start_ranges)) what else the task varies, in its units.
        sight_noise: (n, horizon + 1, cell.task.watched, 3) standard normal: each part's x, y, yaw in each picture.
        looks: (n, size) how the scene looks to the cell's cameras; see `sim.looks`. Nothing without cameras.
    """

    plate_xy_m: np.ndarray
    plate_yaw_rad: np.ndarray
    bias_xy_m: np.ndarray
    bias_yaw_rad: np.ndarray
    hand_m: np.ndarray
    hand_rad: np.ndarray
    plate_z_m: np.ndarray
    plate_tilt_rad: np.ndarray
    friction: np.ndarray
    damping_scale: np.ndarray
    joint_friction_Nm: np.ndarray
    gain_scale: np.ndarray
    delay_s: np.ndarray
    wrench_noise: np.ndarray
    joint_noise_rad: np.ndarray
    armature_scale: np.ndarray
    payload_kg: np.ndarray
    payload_m: np.ndarray
    start: np.ndarray
    sight_noise: np.ndarray
    looks: np.ndarray

    def take(self, rows: np.ndarray) -> "Draw":
        """The draws of these rows."""
        return Draw(*(field[rows] for field in self))


def within(share: np.ndarray, ends: tuple[float, float], inner: tuple[float, float] | None = None) -> np.ndarray:
    """Shares (...), from 0 to 1, of the way between two ends, or of what lies outside an inner range."""
    low, high = ends
    if inner is None:
        return low + share * (high - low)
    below, above = max(inner[0] - low, 0.0), max(high - inner[1], 0.0)
    at = share * (below + above)
    return np.where(at <= below, low + at, inner[1] + at - below)
