"""A camera's lens, and where the board stood in each picture, out of the pictures alone."""

from typing import NamedTuple

import cv2
import numpy as np

from robot_rlaas.calibrate.camera.camera_views import View
from robot_rlaas.cell.camera_calibration import RejectedView
from robot_rlaas.cell.errors import InputError
from robot_rlaas.vision.lens import project

MAX_REPROJECTION_PX = 1.0
OUTLIER = 3.0  # times the median reprojection error
OUTLIER_FLOOR_PX = 0.25
MAX_FOCAL_STD = 0.01
MIN_COVER = 0.25
K3 = 8
NOTHING = 1e-15  # an eigenvalue that is rounding error
TILT = "tilt the board by 20 to 40 degrees, differently in each picture, and let it reach the pictures' corners"


class LensFit(NamedTuple):
    """What the pictures say.

    Attributes:
        lens: (9,) fx, fy, cx, cy in pixels, k1, k2, p1, p2, k3.
        free: (9,) bool, False for k3 where the pictures do not show one.
        T_camera_board: (n, 4, 4), m.
        focal_std: of the focal length, as a fraction of it.
    """

    lens: np.ndarray
    free: np.ndarray
    T_camera_board: np.ndarray
    focal_std: float


def fit_lens(views: list[View]) -> tuple[LensFit, list[View], list[RejectedView]]:
    """Zhang's method as in OpenCV. Views that fit far worse than the others are left out.

    Returns:
        The lens, the views it holds for, and those left out.

    Raises:
        InputError: where the board does not fit, or the views do not determine the lens.
    """
    size = views[0].gray.shape[::-1]
    found, errors_px = _calibrate(views, size)
    bad = errors_px > max(OUTLIER * float(np.median(errors_px)), OUTLIER_FLOOR_PX)
    reason = f"does not fit the others: reprojection error {{:.2f}} px, median {np.median(errors_px):.2f} px"
    rejected = [RejectedView(image=v.image, reason=reason.format(e)) for v, e, out in zip(views, errors_px, bad) if out]
    if len(rejected) > len(views) // 4 or np.median(errors_px) > MAX_REPROJECTION_PX:
        message = f"the board does not fit: reprojection errors up to {errors_px.max():.2f} px"
        raise InputError(message, fix="use a flat, stiff board as board.yaml describes it, and pictures at standstill")
    if rejected:
        views = [view for view, out in zip(views, bad) if not out]
        found, errors_px = _calibrate(views, size)
    _check(found, views, size)
    return found, views, rejected


def _calibrate(views: list[View], size: tuple[int, int]) -> tuple[LensFit, np.ndarray]:
    """The lens, and the reprojection errors (n,), pixels."""
    points = [v.board_m.astype(np.float32) for v in views], [v.at_px.astype(np.float32) for v in views]
    for flags in (0, cv2.CALIB_FIX_K3):
        try:
            _, K, distortion, turns, shifts, _, _, errors_px = cv2.calibrateCameraExtended(
                *points, size, np.eye(3), np.zeros(5), flags=flags
            )
        except cv2.error as error:
            raise InputError(f"the pictures do not determine the lens ({error.err})", fix=TILT) from error
        lens = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2], *distortion.ravel()[:5]])
        T = np.tile(np.eye(4), (len(views), 1, 1))
        T[:, :3, :3] = [cv2.Rodrigues(turn)[0] for turn in turns]
        T[:, :3, 3] = np.array(shifts)[..., 0]
        free = np.arange(9) != K3 if flags else np.ones(9, bool)
        std = _std(views, lens, free, T)
        if abs(lens[K3]) > 3 * std[K3]:
            break
    return LensFit(lens, free, T, float(np.max(std[:2] / lens[:2]))), errors_px.ravel()


def _std(views: list[View], lens: np.ndarray, free: np.ndarray, T_camera_board: np.ndarray) -> np.ndarray:
    """Standard deviations (9,) of the lens, its board poses unknown.

    Those of OpenCV come from a pseudo-inverse: what the pictures leave open has a small one there.
    """
    information, squares = np.zeros((free.sum(), free.sum())), 0.0
    for view, T in zip(views, T_camera_board):
        at_px, by_lens, by_board = project(lens, np.tile(T, (len(view.board_m), 1, 1)), view.board_m)
        by_lens, by_board = by_lens.reshape(-1, 9)[:, free], by_board.reshape(-1, 6)
        beyond = by_lens - by_board @ np.linalg.lstsq(by_board, by_lens)[0]
        information += beyond.T @ beyond
        squares += float(((at_px - view.at_px) ** 2).sum())
    noise_px = np.sqrt(squares / (sum(v.at_px.size for v in views) - 6 * len(views) - free.sum()))
    unit = np.sqrt(np.diag(information))
    values, vectors = np.linalg.eigh(information / np.outer(unit, unit))
    std = np.zeros(9)
    std[free] = noise_px * np.sqrt((vectors**2 / np.maximum(values, NOTHING)).sum(axis=1)) / unit
    return std


def _check(found: LensFit, views: list[View], size: tuple[int, int]) -> None:
    if not found.focal_std < MAX_FOCAL_STD:
        message = f"the focal length is known to {100 * found.focal_std:.1f} %; {100 * MAX_FOCAL_STD:g} % are needed"
        raise InputError(message, fix=TILT)
    hull = cv2.convexHull(np.concatenate([v.at_px for v in views]).astype(np.float32))
    cover = cv2.contourArea(hull) / (size[0] * size[1])
    if cover < MIN_COVER:
        message = (
            f"the corners of all pictures cover {100 * cover:.0f} % of the picture; {100 * MIN_COVER:g} % are needed"
        )
        raise InputError(message, fix=TILT)
