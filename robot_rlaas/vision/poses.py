"""Poses as matrices (..., 4, 4), and small steps of them with their covariance.

A step is a shift in m and a turn in rad about the parent's axes, as in ROS's PoseWithCovariance: truth = estimate + dp,
R_truth = exp(dr) R_estimate.
"""

import numpy as np

from robot_rlaas.control.rotation import matrix_from_vector, rotation_vector


def inverse(T: np.ndarray) -> np.ndarray:
    """The inverse poses of T (..., 4, 4)."""
    R = np.swapaxes(T[..., :3, :3], -1, -2)
    out = np.zeros_like(T)
    out[..., :3, :3], out[..., 3, 3] = R, 1.0
    out[..., :3, 3] = -(R @ T[..., :3, 3:])[..., 0]
    return out


def moved(T: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Poses (n, 4, 4) after steps (n, 6): a shift, m, and a turn about the parent's axes, rad."""
    out = T.copy()
    out[:, :3, 3] += step[:, :3]
    out[:, :3, :3] = matrix_from_vector(step[:, 3:]) @ T[:, :3, :3]
    return out


def step_between(T: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The inverse of `moved`: steps (n, 6) that take T (n, 4, 4) to the others."""
    turn = rotation_vector(to[:, :3, :3] @ np.swapaxes(T[:, :3, :3], 1, 2))
    return np.concatenate([to[:, :3, 3] - T[:, :3, 3], turn], axis=1)


def in_parent(R: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """A covariance (6, 6) of steps about a frame's axes -> about its parent's, where R (3, 3) is the frame's turn."""
    both = np.kron(np.eye(2), R)
    return both @ covariance @ both.T


def carried(arm_m: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """The covariance (6, 6) of a frame's steps -> that of what is fixed to it, `arm_m` (3,) away, same axes."""
    lever = np.eye(6)
    lever[:3, 3:] = np.cross(np.eye(3), arm_m).T
    return lever @ covariance @ lever.T
