"""What a camera calibration says: lens, pose of the camera in the cell, how surely, and out of which pictures."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt, model_validator

from robot_rlaas.cell.calibration import DataFile, NonNegative
from robot_rlaas.cell.quantities import Triple
from robot_rlaas.cell.strict_yaml import Spec

Mount = Literal["hand", "base"]
Quaternion = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
FARTHEST_M = 10.0


class BoardSpec(Spec):
    """A ChArUco board: a chessboard of squares_x by squares_y squares with a marker in every white one."""

    squares_x: Annotated[int, Field(ge=3, le=60)]
    squares_y: Annotated[int, Field(ge=3, le=60)]
    square_m: PositiveFloat
    marker_m: PositiveFloat
    dictionary: str

    @model_validator(mode="after")
    def _fits(self) -> "BoardSpec":
        if self.marker_m >= self.square_m:
            raise ValueError(f"a marker of {self.marker_m} m does not fit into a square of {self.square_m} m")
        if self.square_m > 1.0:
            raise ValueError(f"a square of {self.square_m} m: lengths are in metres")
        return self


class Pose(Spec):
    """A frame in its parent: `R(quaternion_wxyz) p + position_m` takes p from the frame to the parent."""

    position_m: Triple
    quaternion_wxyz: Quaternion

    @model_validator(mode="after")
    def _plausible(self) -> "Pose":
        if not all(abs(x) <= FARTHEST_M for x in self.position_m):
            raise ValueError(f"position {list(self.position_m)} lies beyond {FARTHEST_M:g} m: positions are in metres")
        length = sum(x * x for x in self.quaternion_wxyz) ** 0.5
        if not abs(length - 1.0) < 1e-2:
            raise ValueError(f"quaternion {list(self.quaternion_wxyz)} has length {length:.4g}; it must have 1")
        return self

    def matrix(self) -> np.ndarray:
        """The pose as (4, 4)."""
        w, x, y, z = np.array(self.quaternion_wxyz) / np.linalg.norm(self.quaternion_wxyz)
        T = np.eye(4)
        T[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
        T[:3, 3] = self.position_m
        return T


class ImagePose(Pose):
    """Where the tool stood in the base frame, as the robot says, when a picture was taken."""

    image: str


class ImagePoses(Spec):
    """A whole poses.yaml."""

    poses: tuple[ImagePose, ...]


class Lens(Spec):
    """Pinhole with OpenCV's distortion, which ROS calls plumb_bob: k1, k2, p1, p2, k3. Pixel centres are integers."""

    width_px: PositiveInt
    height_px: PositiveInt
    fx_px: PositiveFloat
    fy_px: PositiveFloat
    cx_px: FiniteFloat
    cy_px: FiniteFloat
    distortion: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    focal_std_px: tuple[NonNegative, NonNegative]
    center_std_px: tuple[NonNegative, NonNegative]
    distortion_std: tuple[NonNegative, NonNegative, NonNegative, NonNegative, NonNegative]

    def matrix(self) -> np.ndarray:
        """The camera matrix (3, 3), pixels."""
        return np.array([[self.fx_px, 0.0, self.cx_px], [0.0, self.fy_px, self.cy_px], [0.0, 0.0, 1.0]])

    def parameters(self) -> np.ndarray:
        """(9,) fx, fy, cx, cy in pixels, k1, k2, p1, p2, k3."""
        return np.array([self.fx_px, self.fy_px, self.cx_px, self.cy_px, *self.distortion])


class CameraPose(Pose):
    """The camera in its parent frame. The camera's frame is OpenCV's: x right, y down, z forward.

    The covariance is that of (position, small rotation), m and rad, both about the parent's axes, as in ROS's
    PoseWithCovariance: truth = estimate + dp, R_truth = exp(dr) R_estimate.
    """

    parent: Literal["tool", "base"]
    position_std_m: tuple[NonNegative, NonNegative, NonNegative]
    rotation_std_rad: tuple[NonNegative, NonNegative, NonNegative]
    covariance: tuple[tuple[FiniteFloat, ...], ...]

    @model_validator(mode="after")
    def _six(self) -> "CameraPose":
        if len(self.covariance) != 6 or any(len(row) != 6 for row in self.covariance):
            raise ValueError("the covariance must be 6 by 6")
        return self


class Noise(Spec):
    """Standard deviations, estimated from the residuals. The robot's also hold what the images of one view share."""

    corner_px: NonNegative
    robot_position_m: NonNegative
    robot_rotation_rad: NonNegative


class UsedView(Spec):
    """How well one picture and its pose agree with all others.

    Attributes:
        reprojection_px: root mean square over its corners.
        position_error_m, rotation_error_rad: the tool pose that the image asks for against what the robot said.
    """

    image: str
    corners: PositiveInt
    reprojection_px: NonNegative
    position_error_m: NonNegative
    rotation_error_rad: NonNegative


class RejectedView(Spec):
    """A picture that was left out."""

    image: str
    reason: str


class ClosedForm(Spec):
    """How far a closed form without refinement ends from the result: a check by another road."""

    method: str
    position_m: NonNegative
    rotation_rad: NonNegative


class CameraCalibration(Spec):
    """A whole camera.yaml.

    Attributes:
        board_scale: the board's size by the arm's measure, against the stated one, which is what was used.
        board_pose: the board in the base for a camera on the hand, in the tool for one in the cell.
        reprojection_px: root mean square of the distances between corners seen and reprojected.
    """

    rlaas_camera_calibration: Literal[1]
    mount: Mount
    date: str
    versions: dict[str, str]
    data: tuple[DataFile, ...]
    board: BoardSpec
    board_scale: PositiveFloat
    board_scale_std: NonNegative
    lens: Lens
    camera: CameraPose
    board_pose: Pose
    noise: Noise
    reprojection_px: NonNegative
    closed_forms: tuple[ClosedForm, ...]
    views: tuple[UsedView, ...]
    rejected: tuple[RejectedView, ...]
