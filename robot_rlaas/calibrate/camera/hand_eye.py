"""Where a camera sits, from tool poses and where the board stood in each picture: closed form, made robust, checked.

X is the camera in its parent (tool or base), B the board in the other (base or tool).
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import least_squares

from robot_rlaas.cell.camera_calibration import Mount
from robot_rlaas.cell.errors import InputError
from robot_rlaas.control.rotation import rotation_vector
from robot_rlaas.vision.poses import inverse, moved, step_between

MIN_TURN_DEG = 8.0
TYPICAL_M, TYPICAL_RAD = 5e-4, 1e-3  # residuals beyond these pull less
OUTLIER = 5.0  # times the median
OUTLIER_FLOOR_M, OUTLIER_FLOOR_RAD = 3e-4, 1e-3
MAX_MEDIAN_M, MAX_MEDIAN_RAD = 5e-3, np.deg2rad(1.0)
MAX_SCALE_ERROR = 0.002


class HandEye(NamedTuple):
    """Where camera and board sit.

    Attributes:
        X: (4, 4) camera in its parent.
        B: (4, 4) board in the other.
        closed_forms: name and X (4, 4) of each method, before any refinement.
        position_m, rotation_rad: (n,) how far each stated tool pose is from what its picture asks for.
        scale, scale_std: of the board against its stated size, by the arm's measure.
    """

    X: np.ndarray
    B: np.ndarray
    closed_forms: dict[str, np.ndarray]
    position_m: np.ndarray
    rotation_rad: np.ndarray
    scale: float
    scale_std: float

    def outliers(self) -> np.ndarray:
        """(n,) bool: far from what all others say."""
        far = self.position_m > max(OUTLIER * float(np.median(self.position_m)), OUTLIER_FLOOR_M)
        turned = self.rotation_rad > max(OUTLIER * float(np.median(self.rotation_rad)), OUTLIER_FLOOR_RAD)
        return far | turned


def tool_poses(mount: Mount, X: np.ndarray, B: np.ndarray, T_camera_board: np.ndarray) -> np.ndarray:
    """The tool in the base (n, 4, 4) that puts the board where a picture shows it."""
    if mount == "hand":
        return B @ inverse(X @ T_camera_board)
    return X @ T_camera_board @ inverse(B)


def find_hand_eye(mount: Mount, T_base_tool: np.ndarray, T_camera_board: np.ndarray, focal_std: float) -> HandEye:
    """Closed forms, then a least squares fit that blunders cannot pull far.

    Args:
        mount: where the camera is.
        T_base_tool: (n, 4, 4) as the robot says.
        T_camera_board: (n, 4, 4) as the pictures say.
        focal_std: of the focal length, as a fraction: distances in the pictures are no surer than that.

    Raises:
        InputError: if the tool turned too little or about one axis only, if robot and pictures contradict each other,
            or if the board has another size than stated.
    """
    check_turns(T_base_tool)
    closed_forms = _closed_forms(mount, T_base_tool, T_camera_board)
    fits = [_robust(mount, T_base_tool, T_camera_board, X) for X in closed_forms.values()]
    (X, B, scale, scale_std), _ = min(fits, key=lambda fit: fit[1])
    away = step_between(T_base_tool, tool_poses(mount, X, B, scaled(T_camera_board, scale)))
    position_m, rotation_rad = np.linalg.norm(away.reshape(-1, 2, 3), axis=2).T
    found = HandEye(X, B, closed_forms, position_m, rotation_rad, scale, float(np.hypot(scale_std, focal_std)))
    _check_agreement(found, mount)
    if abs(scale - 1.0) > max(MAX_SCALE_ERROR, 4 * found.scale_std):
        message = (
            f"the board is {100 * abs(scale - 1):.2f} % {'larger' if scale > 1 else 'smaller'} than board.yaml says"
        )
        raise InputError(message, fix="measure a row of squares and correct square_m and marker_m, or print at 100 %")
    return found


def check_turns(T_base_tool: np.ndarray) -> None:
    """Refuse poses (n, 4, 4) whose turns leave the position of the camera open.

    Raises:
        InputError: with how far the tool turned about its main axis and about any other.
    """
    R = T_base_tool[:, :3, :3]
    left, _, right = np.linalg.svd(R.mean(axis=0))
    mean = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    turns = rotation_vector(mean.T @ R)
    spread = np.rad2deg(np.linalg.svd(turns, compute_uv=False) / np.sqrt(len(turns)))
    if spread[1] < MIN_TURN_DEG:
        message = (
            f"the tool turned by {spread[0]:.1f} degrees (root mean square) about one axis and {spread[1]:.1f} about "
            f"any other; {MIN_TURN_DEG:g} are needed about two, or the camera's position stays open"
        )
        raise InputError(message, fix="tilt the tool by 20 to 40 degrees to all sides, and turn it, between pictures")


def scaled(T: np.ndarray, scale: float) -> np.ndarray:
    """Poses (n, 4, 4) in a world `scale` times as large."""
    out = T.copy()
    out[:, :3, 3] *= scale
    return out


def _closed_forms(mount: Mount, T_base_tool: np.ndarray, T_camera_board: np.ndarray) -> dict[str, np.ndarray]:
    """X by Park and Martin (1994), and by Shah (2013), which finds B along with it."""
    T_parent = T_base_tool if mount == "hand" else inverse(T_base_tool)
    there, back, seen = (_parts(T) for T in (T_parent, inverse(T_parent), T_camera_board))
    park = cv2.calibrateHandEye(*there, *seen, method=cv2.CALIB_HAND_EYE_PARK)
    shah = cv2.calibrateRobotWorldHandEye(*seen, *back, method=cv2.CALIB_ROBOT_WORLD_HAND_EYE_SHAH)[2:]
    return {"park": _joined(*park), "shah": inverse(_joined(*shah))}


def _parts(T: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return list(T[:, :3, :3]), list(T[:, :3, 3])


def _joined(R: np.ndarray, t: np.ndarray) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, t.ravel()
    return T


Start = tuple[np.ndarray, np.ndarray, float, float]


def _robust(mount: Mount, T_base_tool: np.ndarray, T_camera_board: np.ndarray, X: np.ndarray) -> tuple[Start, float]:
    """X, B, the board's scale and its standard deviation, and the cost."""
    boards = T_base_tool @ X @ T_camera_board if mount == "hand" else inverse(T_base_tool) @ X @ T_camera_board
    apart = np.linalg.norm(boards[:, None, :3, 3] - boards[None, :, :3, 3], axis=2)
    start = np.stack([X, boards[np.argmin(apart.sum(axis=1))]])
    unit = np.array([TYPICAL_M] * 3 + [TYPICAL_RAD] * 3)

    def residuals(z: np.ndarray) -> np.ndarray:
        X, B = moved(start, z[:12].reshape(2, 6))
        seen = tool_poses(mount, X, B, scaled(T_camera_board, 1.0 + z[12]))
        return (step_between(T_base_tool, seen) / unit).ravel()

    fit = least_squares(residuals, np.zeros(13), loss="soft_l1", x_scale="jac")
    X, B = moved(start, fit.x[:12].reshape(2, 6))
    noise = 1.4826 * np.median(np.abs(fit.fun))
    covariance = np.linalg.pinv(fit.jac.T @ fit.jac) * noise**2
    return (X, B, 1.0 + float(fit.x[12]), float(np.sqrt(covariance[12, 12]))), float(fit.cost)


def _check_agreement(found: HandEye, mount: Mount) -> None:
    position_m, rotation_rad = float(np.median(found.position_m)), float(np.median(found.rotation_rad))
    out = found.outliers()
    if position_m < MAX_MEDIAN_M and rotation_rad < MAX_MEDIAN_RAD and out.sum() <= len(out) // 4:
        return
    message = (
        f"robot and pictures contradict each other: with the camera on the {mount}, the median view is "
        f"{1000 * position_m:.1f} mm and {np.rad2deg(rotation_rad):.2f} degrees off, and {out.sum()} of {len(out)} "
        "are far from the rest"
    )
    fix = (
        "check --mount, that poses are of the tool in the base frame, in metres and quaternions w x y z, that every "
        "picture was taken at standstill with its own pose, and that nothing shook or slipped"
    )
    raise InputError(message, fix=fix)
