"""What a perception file says: which camera looks, what is fixed on the plate for it to find, and how sure is sure."""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat, model_validator

from robot_rlaas.cell.calibration import NonNegative
from robot_rlaas.cell.camera_calibration import BoardSpec, CameraCalibration
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.explain import Wrong
from robot_rlaas.cell.quantities import Triple, rotation_of
from robot_rlaas.cell.strict_yaml import Spec, load_spec, read, validate

LONGEST_MM = 1000.0
Millimetres = Annotated[float, Field(gt=0, le=LONGEST_MM)]


class CameraSource(Spec):
    """The camera that looks at the plate.

    Attributes:
        image: topic of its raw pictures, sensor_msgs/Image in mono8, rgb8 or bgr8. They must not be rectified.
        calibration: the camera.yaml of `rlaas calibrate camera`, relative to this file: where the camera is, how
            surely, and its lens. One on the wrist has to be recorded with the robot's tool point at the flange.
        info: topic of a sensor_msgs/CameraInfo whose lens is taken instead of the calibration's.
    """

    image: str
    calibration: str
    info: str | None = None


class Placed(Spec):
    """A print on the plate, in the frame of the hole: z is up, out of the hole, and x and y are the plate's.

    Attributes:
        at_mm: the print's middle.
        rpy_deg: the print's frame, x to its right, y to its top and z out of it, as roll, pitch and yaw about fixed
            axes. Zero is flat on the plate, its right in the plate's x.
    """

    at_mm: Triple
    rpy_deg: Triple = (0.0, 0.0, 0.0)

    def matrix(self) -> np.ndarray:
        """The print's frame in the hole's (4, 4), m."""
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = rotation_of(self.rpy_deg), np.array(self.at_mm) / 1000
        return T


class Marker(Placed):
    """One ArUco marker."""

    id: Annotated[int, Field(ge=0)]


class Markers(Spec):
    """ArUco markers. `at_std_mm`, `rpy_std_deg`: how surely they are, all together, where the file says."""

    kind: Literal["aruco"]
    dictionary: str
    marker_mm: Millimetres
    markers: Annotated[tuple[Marker, ...], Field(min_length=1)]
    at_std_mm: NonNegative
    rpy_std_deg: NonNegative

    @model_validator(mode="after")
    def _one_each(self) -> "Markers":
        ids = [marker.id for marker in self.markers]
        for i, number in enumerate(ids):
            if number in ids[:i]:
                raise Wrong(f"markers.{i}.id", "another marker has it", "print each marker of a plate once")
        return self


class Charuco(Placed):
    """A ChArUco board as `rlaas calibrate board` prints them. `at_std_mm`, `rpy_std_deg`: as of `Markers`."""

    kind: Literal["charuco"]
    dictionary: str
    squares_x: Annotated[int, Field(ge=3, le=60)]
    squares_y: Annotated[int, Field(ge=3, le=60)]
    square_mm: Millimetres
    marker_mm: Millimetres
    at_std_mm: NonNegative
    rpy_std_deg: NonNegative

    @model_validator(mode="after")
    def _fits(self) -> "Charuco":
        if self.marker_mm >= self.square_mm:
            raise Wrong("marker_mm", f"it does not fit into a square of {self.square_mm:g} mm")
        return self

    @property
    def board(self) -> BoardSpec:
        """The board alone."""
        return BoardSpec(
            squares_x=self.squares_x,
            squares_y=self.squares_y,
            square_m=self.square_mm / 1000,
            marker_m=self.marker_mm / 1000,
            dictionary=self.dictionary,
        )


class Rest(Spec):
    """What is known of the plate without a camera: it lies level, as high as the cell says; standard deviations."""

    height_std_mm: PositiveFloat
    tilt_std_deg: PositiveFloat


class Accept(Spec):
    """When a pose is good enough to be told.

    Attributes:
        pictures: so many, one after the other, have to agree.
        shift_px: how far a picture's corners may lie from the mean of all, root mean square: the plate lies still.
        age_s: between a picture's stamp and its arrival.
        position_std_mm, rotation_std_deg: of the least sure axis.
    """

    pictures: Annotated[int, Field(ge=2, le=50)] = 5
    shift_px: Annotated[float, Field(gt=0, le=5)] = 0.5
    age_s: Annotated[float, Field(gt=0, le=5)] = 0.5
    position_std_mm: PositiveFloat = 1.0
    rotation_std_deg: PositiveFloat = 0.5


class PerceptionSpec(Spec):
    """A whole perception file. Without `plate`, the camera alone says how high the plate is and how it is tilted."""

    camera: CameraSource
    target: Annotated[Markers | Charuco, Field(discriminator="kind")]
    plate: Rest | None = None
    accept: Accept = Accept()


class Eye(NamedTuple):
    """A perception file and the calibration that it names."""

    spec: PerceptionSpec
    calibration: CameraCalibration


def load_perception(path: Path) -> Eye:
    """Read a perception file and its camera's calibration.

    Raises:
        InputError: with file, line, value and what is allowed.
    """
    document = read(path)
    spec = validate(document, PerceptionSpec)
    named = path.parent / spec.camera.calibration
    if not named.is_file():
        message = f"camera.calibration {spec.camera.calibration}: there is no such file; its path is relative to this"
        place = document.place("camera", "calibration")
        raise InputError(message, **place._asdict(), fix="run `rlaas calibrate camera`, or correct the path")
    return Eye(spec, load_spec(named, CameraCalibration))
