"""What a cell file says of cameras: where they are, how they see, how often and how late.

A camera's frame is OpenCV's and ROS's optical one: x to the right of the picture, y down, z forward. Pixel centres are
integers. Pictures are those of a pinhole; a lens with distortion is taken for one whose pictures were rectified.
"""

from math import tan
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field, FiniteFloat, PositiveFloat, PositiveInt, model_validator

from robot_rlaas.cell.camera_calibration import CameraCalibration, Pose, Quaternion
from robot_rlaas.cell.explain import Wrong
from robot_rlaas.cell.extends import beside
from robot_rlaas.cell.fixtures import Name
from robot_rlaas.cell.quantities import Triple, rotation_of
from robot_rlaas.cell.strict_yaml import Document, Spec, load_spec

Mount = Literal["cell", "hand"]
Pixels = tuple[PositiveInt, PositiveInt]
STATE = "state"  # beside the pictures, what an observation calls everything that is not one
LOOKS = ("camera_mm", "camera_deg", "light_scale", "light_deg", "color_shift")  # factors that only cameras see
STATED, NEEDED = ("mount", "at_mm", "look_at_mm", "rpy_deg", "fov_deg", "focal_px", "center_px"), ("mount", "at_mm")
UP = {"cell": (0.0, 0.0, 1.0), "hand": (0.0, 0.0, -1.0)}  # in the parent's frame, when the tool points down
DIGITS = 12  # a cell is the same on computers whose last digits differ
MOST_PX = 4096


class Camera(Spec):
    """A camera, stated by its place, direction and lens, or as `rlaas calibrate camera` found it.

    Attributes:
        mount: "cell": it stands still, and its pose is in the base frame. "hand": it moves with the arm's flange, and
            its pose is in the flange's frame, whose z points away from the arm, as ROS's tool0.
        at_mm: where it is.
        look_at_mm: a point in the middle of its view. The picture's top is where up is while the tool points down.
        rpy_deg: instead, the camera's frame as roll, pitch and yaw about fixed axes, as in a URDF. [180, 0, 0] in the
            cell looks straight down, with y at the picture's top.
        resolution_px: width and height of the pictures. A calibrated camera's pictures are scaled to it.
        fov_deg: the vertical field of view, with square pixels and the optical axis in the middle.
        focal_px: instead, the focal lengths fx and fy.
        center_px: with them, where the optical axis meets the picture, cx and cy; the middle, if it is left out.
        rate_hz: pictures per second; the control rate, if it is left out, which has to be a multiple of it.
        latency_s: between a picture and its arrival; the policy sees it at the next control period.
        calibration: the path of a camera.yaml, relative to this file: it says pose and lens.
    """

    mount: Mount | None = None
    at_mm: Triple | None = None
    look_at_mm: Triple | None = None
    rpy_deg: Triple | None = None
    resolution_px: Pixels | None = None
    fov_deg: Annotated[float, Field(gt=0, lt=170)] | None = None
    focal_px: tuple[PositiveFloat, PositiveFloat] | None = None
    center_px: tuple[FiniteFloat, FiniteFloat] | None = None
    rate_hz: PositiveFloat | None = None
    latency_s: Annotated[float, Field(ge=0, le=1)] = 0.0
    calibration: str | None = None

    @model_validator(mode="after")
    def _says_it_once(self) -> "Camera":
        stated = [name for name in STATED if getattr(self, name) is not None]
        if self.resolution_px and max(self.resolution_px) > MOST_PX:
            raise Wrong("resolution_px", f"more than {MOST_PX} pixels", "draw fewer; policies see about 100")
        if self.calibration:
            if stated:
                raise Wrong(stated[0], "the calibration says it", "take this line or 'calibration' out")
            return self
        for name in (*NEEDED, "resolution_px"):
            if getattr(self, name) is None:
                raise Wrong(name, "nothing else says it", "add it, or name a `calibration`")
        _one_of(self, "look_at_mm", "rpy_deg")
        _one_of(self, "fov_deg", "focal_px")
        if self.center_px and self.fov_deg:
            raise Wrong("center_px", "with `fov_deg`, the optical axis is in the middle", "give `focal_px` instead")
        _orientation(self)
        return self


class CameraSpec(Spec):
    """A camera as it is simulated.

    Attributes:
        mount: what it is fixed to.
        pose: in the base frame, or in the flange's.
        resolution_px: width and height.
        focal_px, center_px: fx, fy and cx, cy.
        rate_hz, latency_s: as the cell file has them.
        covariance: (6, 6) of a calibrated pose, as in `CameraPose`; none of a stated one.
        distortion: k1, k2, p1, p2, k3 of a calibrated lens, which pictures do not show.
    """

    mount: Mount
    pose: Pose
    resolution_px: Pixels
    focal_px: tuple[PositiveFloat, PositiveFloat]
    center_px: tuple[FiniteFloat, FiniteFloat]
    rate_hz: PositiveFloat
    latency_s: float
    covariance: tuple[tuple[FiniteFloat, ...], ...] | None = None
    distortion: tuple[FiniteFloat, ...] | None = None

    def periods(self, control_hz: float) -> "Periods":
        """What rate and latency are in control periods."""
        late = self.latency_s * control_hz
        return Periods(round(control_hz / self.rate_hz), int(np.ceil(late - 1e-9)))

    def project(self, point_m: np.ndarray) -> np.ndarray:
        """Points (n, 3) of the camera's frame -> where they are in the picture (n, 2), pixels; nan behind it."""
        x, y, z = np.where(point_m[:, 2:] > 0, point_m, np.nan).T
        (fx, fy), (cx, cy) = self.focal_px, self.center_px
        return np.stack([fx * x / z + cx, fy * y / z + cy], axis=1)


class Periods(NamedTuple):
    """A camera's time in control periods.

    Attributes:
        every: from picture to picture.
        late: from a picture to the first observation that has it.
    """

    every: int
    late: int


def _no_state(name: str) -> str:
    if name == STATE:
        raise ValueError("observations call so what is no picture; call it 'wrist', 'top' or the like")
    return name


CameraName = Annotated[Name, AfterValidator(_no_state)]
Cameras = dict[CameraName, Camera]
CameraSpecs = dict[CameraName, CameraSpec]


def load_camera(document: Document, name: str, camera: Camera, control_hz: float) -> CameraSpec:
    """A camera of a cell file, with what the calibration says that it names.

    Raises:
        InputError: if there is no such calibration, or it cannot be used.
    """
    if camera.calibration is None:
        return stated(camera, control_hz)
    file = beside(document, f"cameras.{name}.calibration", camera.calibration, "camera")
    return calibrated(camera, load_spec(file, CameraCalibration), control_hz)


def stated(camera: Camera, control_hz: float) -> CameraSpec:
    """A camera whose place and lens stand in the cell file."""
    assert camera.mount is not None
    assert camera.at_mm is not None
    assert camera.resolution_px is not None
    width, height = camera.resolution_px
    x, y, z = (_rounded(at / 1000) for at in camera.at_mm)
    return CameraSpec(
        mount=camera.mount,
        pose=Pose(position_m=(x, y, z), quaternion_wxyz=_quaternion(_orientation(camera))),
        resolution_px=camera.resolution_px,
        focal_px=camera.focal_px or _focal_px(camera, height),
        center_px=camera.center_px or ((width - 1) / 2, (height - 1) / 2),
        rate_hz=camera.rate_hz or control_hz,
        latency_s=camera.latency_s,
    )


def calibrated(camera: Camera, found: CameraCalibration, control_hz: float) -> CameraSpec:
    """A camera as it was found, its pictures scaled to the resolution that the cell file asks for."""
    lens, at = found.lens, found.camera
    width, height = camera.resolution_px or (lens.width_px, lens.height_px)
    sx, sy = width / lens.width_px, height / lens.height_px
    return CameraSpec(
        mount="hand" if found.mount == "hand" else "cell",
        pose=Pose(position_m=at.position_m, quaternion_wxyz=at.quaternion_wxyz),
        resolution_px=(width, height),
        focal_px=(_rounded(lens.fx_px * sx), _rounded(lens.fy_px * sy)),
        center_px=(_rounded((lens.cx_px + 0.5) * sx - 0.5), _rounded((lens.cy_px + 0.5) * sy - 0.5)),
        rate_hz=camera.rate_hz or control_hz,
        latency_s=camera.latency_s,
        covariance=at.covariance,
        distortion=lens.distortion,
    )


def check_cameras(cameras: Cameras | CameraSpecs, control_hz: float) -> None:
    """Their rates fit the cell's."""
    for name, camera in cameras.items():
        rate_hz = camera.rate_hz or control_hz
        every = control_hz / rate_hz
        if every < 1 - 1e-9 or abs(every - round(every)) > 1e-6:
            rates = ", ".join(f"{control_hz / k:g}" for k in (1, 2, 4))
            reason = f"control.rate_hz, {control_hz:g}, is no multiple of it"
            raise Wrong(f"cameras.{name}.rate_hz", reason, f"take {rates} or the like")


def _one_of(camera: Camera, one: str, other: str) -> None:
    has = getattr(camera, one) is not None, getattr(camera, other) is not None
    if all(has):
        raise Wrong(other, f"`{one}` says it already", "take one of them out")
    if not any(has):
        raise Wrong(one, "nothing else says it", f"add it, or `{other}`")


def _orientation(camera: Camera) -> np.ndarray:
    """The rotation (3, 3) from the camera's frame to its parent's."""
    if camera.rpy_deg is not None:
        return rotation_of(camera.rpy_deg)
    assert camera.mount is not None
    assert camera.at_mm is not None
    assert camera.look_at_mm is not None
    way = np.subtract(camera.look_at_mm, camera.at_mm)
    right = np.cross(way, UP[camera.mount])
    if np.linalg.norm(right) <= 1e-3 * np.linalg.norm(way):
        reason = "it is straight above or below the camera, or where the camera is: the picture's top could be anywhere"
        raise Wrong("look_at_mm", reason, "give `rpy_deg` instead")
    forward, right = way / np.linalg.norm(way), right / np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward], axis=1)


def _focal_px(camera: Camera, height_px: int) -> tuple[float, float]:
    """fx and fy of square pixels."""
    assert camera.fov_deg is not None
    focal = _rounded(height_px / 2 / tan(np.deg2rad(camera.fov_deg) / 2))
    return focal, focal


def _quaternion(R: np.ndarray) -> Quaternion:
    """wxyz of a rotation (3, 3)."""
    from scipy.spatial.transform import Rotation

    w, x, y, z = (_rounded(part) for part in Rotation.from_matrix(R).as_quat(canonical=True, scalar_first=True))
    return w, x, y, z


def _rounded(x: float) -> float:
    return round(float(x), DIGITS)
