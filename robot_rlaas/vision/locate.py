"""Where a rigid set of points is, from one view of it: least squares in pixels, with what it leaves unsure."""

from typing import NamedTuple

import cv2
import numpy as np

from robot_rlaas.vision.lens import project
from robot_rlaas.vision.poses import inverse, moved, step_between

MOST_STEPS = 30
SETTLED = 1e-9  # m and rad
SAME_RAD = 1e-3  # two starts that end so near each other are one pose
FLAT = 1e-6  # of the largest spread: points in one plane, or in one line


class Located(NamedTuple):
    """A pose that explains the pixels.

    Attributes:
        T_camera_points: (4, 4), m.
        squares_px2: sum of squared residuals.
        by_pixels: (6, 2m) what the pixels, one after the other, do to the pose: a step about the camera's axes.
        by_lens: (6, 9) what the lens does to it.
    """

    T_camera_points: np.ndarray
    squares_px2: float
    by_pixels: np.ndarray
    by_lens: np.ndarray


def locate(points_m: np.ndarray, at_px: np.ndarray, lens: np.ndarray) -> list[Located]:
    """The poses that explain where points are seen, the best one first. Four points in a plane may have two, and
    points in one line have none.

    Args:
        points_m: (m, 3) in their own frame, at least four.
        at_px: (m, 2) where they are seen.
        lens: (9,) fx, fy, cx, cy in pixels, k1, k2, p1, p2, k3.
    """
    found: list[Located] = []
    for start in _starts(points_m, at_px, lens):
        pose = _refine(start, points_m, at_px, lens)
        if pose is not None and all(_apart_rad(pose, other) > SAME_RAD for other in found):
            found.append(pose)
    return sorted(found, key=lambda pose: pose.squares_px2)


def _starts(points_m: np.ndarray, at_px: np.ndarray, lens: np.ndarray) -> list[np.ndarray]:
    """Closed forms. Of points in a plane, both poses of Collins and Bartoli (2014), in a frame that lies in it."""
    middle = points_m.mean(axis=0)
    _, spread, axes = np.linalg.svd(points_m - middle, full_matrices=False)
    axes = axes * np.sign(np.linalg.det(axes))
    if spread[1] < FLAT * spread[0]:
        return []
    flat = spread[2] < FLAT * spread[0]
    local = (points_m - middle) @ axes.T
    K = np.array([[lens[0], 0, lens[2]], [0, lens[1], lens[3]], [0, 0, 1]])
    how = cv2.SOLVEPNP_IPPE if flat else cv2.SOLVEPNP_SQPNP
    _, turns, shifts, _ = cv2.solvePnPGeneric(local, at_px, K, lens[4:], flags=how)
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = axes.T, middle
    starts = np.tile(np.eye(4), (len(turns), 1, 1))
    for T, turn, shift in zip(starts, turns, shifts):
        T[:3, :3], T[:3, 3] = cv2.Rodrigues(turn)[0], np.ravel(shift)
    return list(starts @ inverse(frame))


def _refine(T: np.ndarray, points_m: np.ndarray, at_px: np.ndarray, lens: np.ndarray) -> Located | None:
    """Gauss-Newton; None if it does not settle in front of the camera."""
    for _ in range(MOST_STEPS):
        seen_px, by_lens, by_pose = project(lens, np.tile(T, (len(points_m), 1, 1)), points_m)
        J, r = by_pose.reshape(-1, 6), (at_px - seen_px).ravel()
        if not np.isfinite(J).all():
            return None
        by_pixels = np.linalg.pinv(J)
        step = by_pixels @ r
        if np.abs(step).max() < SETTLED:
            in_front = (points_m @ T[2, :3] + T[2, 3]).min() > 0
            found = Located(T, float(r @ r), by_pixels, -by_pixels @ by_lens.reshape(-1, 9))
            return found if in_front else None
        T = moved(T[None], step[None])[0]
    return None


def _apart_rad(a: Located, b: Located) -> float:
    step = step_between(a.T_camera_points[None], b.T_camera_points[None])[0]
    return float(np.linalg.norm(step[3:]))
