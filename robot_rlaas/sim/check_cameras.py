"""What can be proven of a cell's cameras: whether what matters is in their pictures."""

import cv2
import mujoco
import numpy as np

from robot_rlaas.cell.cameras import CameraSpec
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.cameras import FROM_OPENCV
from robot_rlaas.sim.findings import Finding
from robot_rlaas.sim.geometry import CAMERA_NAME
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.starts import scene
from robot_rlaas.sim.variation import draw

SAMPLES = 64


def check_cameras(cell: CellSpec, workcell: Workcell) -> list[Finding]:
    """At how many starts the hole, or every part, is in each camera's picture, if nothing hides it.

    Raises:
        InputError: if nobody observes the plate and at some start no camera has the hole in its picture.
    """
    observed = isinstance(cell.task, HandlingTask) or cell.task.plate.observed
    if observed and not cell.cameras:
        return []
    what, points = _what_matters(cell)
    model, data = workcell.model, mujoco.MjData(workcell.model)
    data.qpos[: len(cell.robot.home_deg)] = np.deg2rad(cell.robot.home_deg)
    mujoco.mj_forward(model, data)
    findings, seen = [], np.zeros(SAMPLES, bool)
    for name, camera in cell.cameras.items():
        at = data.camera(f"{CAMERA_NAME}{name}")
        R = at.xmat.reshape(3, 3) @ FROM_OPENCV
        inside = _in_picture(camera, (points - at.xpos) @ R).all(axis=1)
        seen |= inside
        figure = f"{what} in its picture at {inside.sum()} of {SAMPLES} starts{_rectified(camera)}"
        findings.append(Finding(f"camera '{name}' sees the task", figure))
    if not observed and not seen.all():
        raise InputError(
            f"task.plate.observed is false, and at {(~seen).sum()} of {SAMPLES} starts no camera has the hole in its "
            "picture: nobody could know where it is",
            key="task.plate.observed",
            fix="move or turn a camera: 'rlaas cell show --cameras' draws what they see",
        )
    return findings


def _what_matters(cell: CellSpec) -> tuple[str, np.ndarray]:
    """In words, and where it is at the starts (SAMPLES, points, 3), in the base frame, m."""
    starts = draw(cell, Seeds(0, Space.SHOW), np.arange(SAMPLES))
    if isinstance(cell.task, HandlingTask):
        return "all parts are", scene(cell.task, starts.start).parts.p
    off = np.concatenate([starts.plate_xy_m, starts.plate_z_m[:, None]], axis=1)
    return "the hole is", (np.array(cell.task.plate.top_mm) / 1000 + off)[:, None]


def _in_picture(camera: CameraSpec, points: np.ndarray) -> np.ndarray:
    """(..., 3) in the camera's frame -> (...) bool."""
    at = camera.project(points.reshape(-1, 3)).reshape(*points.shape[:-1], 2)
    return np.asarray(((at > -0.5) & (at < np.array(camera.resolution_px) - 0.5)).all(axis=-1))


def _rectified(camera: CameraSpec) -> str:
    """A warning, where the true lens distorts: by how much, at the picture's corners."""
    if not camera.distortion or not any(camera.distortion):
        return ""
    (width, height), (fx, fy), (cx, cy) = camera.resolution_px, camera.focal_px, camera.center_px
    corners = np.array([[u, v] for u in (0, width - 1) for v in (0, height - 1)], float)
    K, rays = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), (corners - (cx, cy)) / (fx, fy)
    rays = np.concatenate([rays, np.ones((4, 1))], axis=1)
    bent, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), K, np.array(camera.distortion))
    off_px = np.linalg.norm(bent.reshape(-1, 2) - corners, axis=1).max()
    return f"; its lens distorts by up to {off_px:.1f} px, which is not drawn: rectify the true camera's pictures"
