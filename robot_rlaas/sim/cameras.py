"""A cell's cameras as cameras of its MuJoCo model."""

from collections.abc import Mapping

import mujoco
import numpy as np

from robot_rlaas.cell.cameras import CameraSpec
from robot_rlaas.sim.geometry import CAMERA_NAME, quaternion

PIXEL_M = 1e-5  # any: MuJoCo wants a size for its sensor, and only pixels count
FROM_OPENCV = np.diag([1.0, -1.0, -1.0])  # MuJoCo's cameras look along -z, with y up


def add_cameras(spec: mujoco.MjSpec, cameras: Mapping[str, CameraSpec]) -> None:
    """Put a cell's cameras into its model, those on the hand onto the site `flange`; their names begin CAMERA_NAME."""
    mount = mujoco.MjSpec()
    flange = mount.worldbody.add_body(name="flange")
    for name, camera in cameras.items():
        if camera.mount == "hand":
            _camera(flange, name, camera)
        else:
            _camera(spec.worldbody, f"{CAMERA_NAME}{name}", camera)
    if any(camera.mount == "hand" for camera in cameras.values()):
        spec.attach(mount, prefix=CAMERA_NAME, site=spec.site("flange"))


def _camera(body, name: str, camera: CameraSpec) -> None:
    T, (width, height) = camera.pose.matrix(), camera.resolution_px
    (fx, fy), (cx, cy) = camera.focal_px, camera.center_px
    body.add_camera(
        name=name,
        pos=T[:3, 3],
        quat=quaternion(T[:3, :3] @ FROM_OPENCV),
        resolution=(width, height),
        sensor_size=(width * PIXEL_M, height * PIXEL_M),
        focal_pixel=(fx, fy),
        principal_pixel=((width - 1) / 2 - cx, (height - 1) / 2 - cy),
    )
