"""From a folder of pictures and tool poses to camera.yaml: lens, then camera and board, then all in one fit."""

import datetime
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from robot_rlaas.calibrate.camera.camera_lens import fit_lens
from robot_rlaas.calibrate.camera.camera_plot import draw
from robot_rlaas.calibrate.camera.camera_views import View, enough, read_recording
from robot_rlaas.calibrate.camera.hand_eye import HandEye, find_hand_eye
from robot_rlaas.calibrate.camera.hand_eye_fit import Fit, fit_all
from robot_rlaas.cell.calibration import DataFile
from robot_rlaas.cell.camera_calibration import (
    CameraCalibration,
    CameraPose,
    ClosedForm,
    Lens,
    Mount,
    Noise,
    Pose,
    RejectedView,
    UsedView,
)
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.strict_yaml import load_spec
from robot_rlaas.files import sha256_file, write_atomic
from robot_rlaas.vision.poses import step_between

CALIBRATION, PICTURE = "camera.yaml", "camera.png"
HEAD = "# A camera's lens and its pose in the cell. Its frame is OpenCV's: x right, y down, z forward; m, rad, wxyz.\n"
MAX_STD_M, MAX_STD_RAD = 2e-3, np.deg2rad(0.5)
DIGITS = 8


def calibrate_camera(
    folder: Path, out: Path, mount: Mount, on_event: Callable[[str], None] = print
) -> CameraCalibration:
    """Calibrate a camera on the wrist ("hand") or in the cell ("base"); write `camera.yaml` and `camera.png` to `out`.

    Args:
        folder: with pictures, board.yaml, and poses.yaml or poses.csv: the tool in the base at each picture. The board
            lies still in the cell for a camera on the wrist, and sits on the tool for a camera in the cell.
        out: where the results go.
        mount: where the camera is.
        on_event: told what happens.

    Raises:
        InputError: if the recording does not determine the camera; it says what to record instead, and nothing is
            written then.
    """
    recording = read_recording(folder)
    views, rejected = recording.views, recording.rejected
    recorded = len(views) + len(rejected)
    on_event(f"{len(views)} of {recorded} pictures show the board well")
    lens, views, unfit = fit_lens(views)
    rejected = rejected + unfit
    enough(views, rejected, recorded, folder)
    found = find_hand_eye(mount, _said(views), lens.T_camera_board, lens.focal_std)
    if (out_of_line := found.outliers()).any():
        rejected = rejected + _contradicting(views, found, out_of_line)
        kept = np.flatnonzero(~out_of_line)
        views, lens = [views[i] for i in kept], lens._replace(T_camera_board=lens.T_camera_board[kept])
        enough(views, rejected, recorded, folder)
        found = find_hand_eye(mount, _said(views), lens.T_camera_board, lens.focal_std)
    for view in rejected:
        on_event(f"{view.image} is left out: {view.reason}")
    fit = fit_all(mount, views, lens, found.X, found.B)
    _check(fit)
    calibration = CameraCalibration(
        rlaas_camera_calibration=1,
        mount=mount,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions={"python": platform.python_version()}
        | {p: version(p) for p in ("robot_rlaas", "opencv-python-headless", "numpy", "scipy")},
        data=tuple(DataFile(file=path.name, sha256=sha256_file(path)) for path in recording.files),
        board=recording.board,
        board_scale=_short(found.scale),
        board_scale_std=_short(found.scale_std),
        lens=_lens(fit, views[0].gray.shape),
        camera=_camera(fit, mount),
        board_pose=Pose(**_pose(fit.state.B)),
        noise=Noise(**dict(zip(Noise.model_fields, _short(fit.noise)))),
        reprojection_px=_short(_rms(np.concatenate(fit.corners_px))),
        closed_forms=tuple(_closed_form(name, X, fit.state.X) for name, X in found.closed_forms.items()),
        views=tuple(_used(*each) for each in zip(views, fit.corners_px, fit.tool_steps)),
        rejected=tuple(rejected),
    )
    write_atomic(out / PICTURE, draw(calibration, views, fit))
    save(calibration, out / CALIBRATION)
    on_event(summary(calibration))
    return calibration


def summary(calibration: CameraCalibration) -> str:
    """The result in one line, with 95 % intervals of the least sure axis."""
    camera = calibration.camera
    x, y, z = (f"{1000 * value:.1f}" for value in camera.position_m)
    return (
        f"camera in the {camera.parent}: {x}, {y}, {z} mm, within {1.96e3 * max(camera.position_std_m):.2f} mm and "
        f"{np.rad2deg(1.96 * max(camera.rotation_std_rad)):.3f} degrees on every axis (95 %); "
        f"{len(calibration.views)} views, reprojection error {calibration.reprojection_px:.3f} px"
    )


def save(calibration: CameraCalibration, path: Path) -> None:
    """Write a camera calibration as YAML."""
    content = calibration.model_dump(mode="json")
    write_atomic(path, HEAD + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=160))


def load(path: Path) -> CameraCalibration:
    """The inverse of `save`.

    Raises:
        InputError: with file, line, value and what is allowed.
    """
    return load_spec(path, CameraCalibration)


def _said(views: list[View]) -> np.ndarray:
    return np.array([view.T_base_tool for view in views])


def _contradicting(views: list[View], found: HandEye, out: np.ndarray) -> list[RejectedView]:
    usual = f"the median is {1000 * np.median(found.position_m):.2f} mm and "
    usual += f"{np.rad2deg(np.median(found.rotation_rad)):.3f} deg"
    off = zip(1000 * found.position_m, np.rad2deg(found.rotation_rad))
    reasons = [f"contradicts the others: tool pose {mm:.2f} mm and {deg:.3f} deg off, {usual}" for mm, deg in off]
    return [RejectedView(image=v.image, reason=reason) for v, reason, far in zip(views, reasons, out) if far]


def _check(fit: Fit) -> None:
    std = np.sqrt(np.diag(fit.covariance))
    position_m, rotation_rad = std[:3].max(), std[3:].max()
    if not (position_m < MAX_STD_M and rotation_rad < MAX_STD_RAD):
        message = (
            f"the camera's pose is known to {1000 * position_m:.2f} mm and {np.rad2deg(rotation_rad):.2f} degrees only "
            f"(one standard deviation); {1000 * MAX_STD_M:g} mm and {np.rad2deg(MAX_STD_RAD):.1f} degrees are needed"
        )
        raise InputError(message, fix="record more pictures, nearer to the board, the tool tilted to all sides")


def _lens(fit: Fit, shape: tuple[int, ...]) -> Lens:
    value, std = _short(fit.state.lens), _short(fit.lens_std)
    return Lens(
        width_px=shape[1],
        height_px=shape[0],
        **dict(zip(("fx_px", "fy_px", "cx_px", "cy_px"), value[:4])),
        distortion=value[4:],
        focal_std_px=std[:2],
        center_std_px=std[2:4],
        distortion_std=std[4:],
    )


def _camera(fit: Fit, mount: Mount) -> CameraPose:
    std = np.sqrt(np.diag(fit.covariance))
    return CameraPose(
        parent="tool" if mount == "hand" else "base",
        **_pose(fit.state.X),
        position_std_m=_short(std[:3]),
        rotation_std_rad=_short(std[3:]),
        covariance=_short(fit.covariance),
    )


def _pose(T: np.ndarray) -> dict[str, Any]:
    quaternion = Rotation.from_matrix(T[:3, :3]).as_quat(canonical=True, scalar_first=True)
    return {"position_m": _short(T[:3, 3]), "quaternion_wxyz": _short(quaternion)}


def _closed_form(method: str, X: np.ndarray, refined: np.ndarray) -> ClosedForm:
    step = step_between(refined[None], X[None])[0]
    position_m, rotation_rad = _short(np.linalg.norm(step.reshape(2, 3), axis=1))
    return ClosedForm(method=method, position_m=position_m, rotation_rad=rotation_rad)


def _used(view: View, corners_px: np.ndarray, tool_step: np.ndarray) -> UsedView:
    position_m, rotation_rad = _short(np.linalg.norm(tool_step.reshape(2, 3), axis=1))
    return UsedView(
        image=view.image,
        corners=len(corners_px),
        reprojection_px=_short(_rms(corners_px)),
        position_error_m=position_m,
        rotation_error_rad=rotation_rad,
    )


def _rms(corners_px: np.ndarray) -> float:
    """Root mean square of distances (m, 2)."""
    return float(np.sqrt((corners_px**2).sum(axis=1).mean()))


def _short(values: Any) -> Any:
    """Numbers, in arrays of any shape, at DIGITS significant digits, as lists."""
    if np.ndim(values):
        return [_short(value) for value in values]
    return float(f"{float(values):.{DIGITS}g}")
