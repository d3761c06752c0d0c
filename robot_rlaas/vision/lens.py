"""Through a lens, with derivatives."""

import cv2
import numpy as np


def project(
    lens: np.ndarray, T_camera_board: np.ndarray, board_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where corners appear, and how that changes.

    Args:
        lens: (9,) fx, fy, cx, cy in pixels, k1, k2, p1, p2, k3.
        T_camera_board: (m, 4, 4) of each corner's board.
        board_m: (m, 3) the corners in the board's frame.

    Returns:
        Pixels (m, 2), their derivatives by the lens (m, 2, 9), and by a shift of the board, m, and a turn of it, rad,
        about the camera's axes (m, 2, 6).
    """
    turned = (T_camera_board[:, :3, :3] @ board_m[:, :, None])[..., 0]
    K = np.array([[lens[0], 0, lens[2]], [0, lens[1], lens[3]], [0, 0, 1]])
    at_px, J = cv2.projectPoints(turned + T_camera_board[:, :3, 3], np.zeros(3), np.zeros(3), K, lens[4:])
    J = np.asarray(J, float).reshape(len(board_m), 2, -1)
    shift = J[..., 3:6]
    return at_px.reshape(-1, 2), J[..., 6:15], np.concatenate([shift, np.cross(turned[:, None], shift)], axis=2)


def lens_of(model: str, K: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """A lens as ROS's sensor_msgs/CameraInfo describes it: K (9,), row by row, and D -> (9,) as `project` takes it.

    Raises:
        ValueError: in words, if it is none that can be used.
    """
    if model not in ("plumb_bob", "") or len(distortion) > 5:
        raise ValueError(f"the lens is a '{model}' with {len(distortion)} coefficients; allowed is a plumb_bob with 5")
    fx, _, cx, _, fy, cy, *_ = np.ravel(K)
    if not (np.isfinite([fx, fy, cx, cy, *distortion]).all() and min(fx, fy) > 0):
        raise ValueError(f"focal lengths of {fx:g} and {fy:g} pixels: the camera's driver has no calibration")
    return np.array([fx, fy, cx, cy, *distortion, *[0.0] * (5 - len(distortion))])
