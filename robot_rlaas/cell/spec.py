"""What a cell file says. Units stand in the key names; everything is frozen."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, PositiveFloat, model_serializer, model_validator

from robot_rlaas.assets import find
from robot_rlaas.cell.calibration import Calibration, NonNegative, load_accepted
from robot_rlaas.cell.cameras import LOOKS, Cameras, CameraSpecs, check_cameras, load_camera
from robot_rlaas.cell.contact import ContactReport, load_contact
from robot_rlaas.cell.explain import Wrong
from robot_rlaas.cell.extends import all_there, beside, cells_dir, read_cell
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.insertion import InsertionTask, PlateSpec
from robot_rlaas.cell.meshes import Obstacle, have_a_place, with_meshes
from robot_rlaas.cell.own_files import own_files
from robot_rlaas.cell.quantities import DelayRange, PositiveRange, Range
from robot_rlaas.cell.requirements import Box, Requirements, distinct
from robot_rlaas.cell.strict_yaml import Spec, validate


class RobotSpec(Spec):
    """Which arm and tool stand in the cell, and where the arm starts.

    Attributes:
        arm: a shipped arm's name, or the path of an MJCF file.
        tool: a shipped tool's name, or the path of an MJCF file.
        hardware: a shipped hardware profile's name, or its path: joint names, limits, topics.
        home_deg: the joint angles that every episode starts from.
    """

    arm: str
    tool: str
    hardware: str
    home_deg: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]


class Variation(Spec):
    """What differs from part to part: every value is drawn uniformly from its range at the start of an episode.

    With a calibration, the last four are drawn from what it found instead, and their ranges here do not count. With a
    contact file, so are friction and the sum of plate_bias_mm and hand_offset_mm, where it learned them; the ranges of
    the plate's place stay, about the middle that it found.

    Attributes:
        plate_xy_mm: the plate's true displacement in x and in y from its nominal place.
        plate_yaw_deg: the plate's true turn about z.
        plate_bias_mm, plate_bias_deg: the plate's pose as observed minus the true one.
        hand_offset_mm, hand_offset_deg: how the part sits in the hand, against nominal; nobody sees it.
        friction: of sliding between the part and what it touches.
        joint_damping_scale: multiplies the nominal model's, joint by joint.
        joint_friction_Nm: dry friction of every joint.
        servo_gain_scale: multiplies the nominal model's, joint by joint.
        command_delay_s: between a command and its effect.
        camera_mm, camera_deg: each camera's true pose minus the one that the cell states, axis by axis. That of a
            calibrated camera is drawn from what its calibration leaves open instead.
        light_scale: multiplies the light.
        light_deg: the light's turn, about x and about y.
        color_shift: added to the red, green and blue of what cameras see, each from 0 to 1, colour by colour.
    """

    plate_xy_mm: Range = (0.0, 0.0)
    plate_yaw_deg: Range = (0.0, 0.0)
    plate_bias_mm: Range = (0.0, 0.0)
    plate_bias_deg: Range = (0.0, 0.0)
    hand_offset_mm: Range = (0.0, 0.0)
    hand_offset_deg: Range = (0.0, 0.0)
    friction: PositiveRange = (0.2, 0.4)
    joint_damping_scale: PositiveRange = (1.0, 1.0)
    joint_friction_Nm: PositiveRange = (0.0, 0.0)
    servo_gain_scale: PositiveRange = (1.0, 1.0)
    command_delay_s: DelayRange = (0.0, 0.0)
    camera_mm: Range = (0.0, 0.0)
    camera_deg: Range = (0.0, 0.0)
    light_scale: PositiveRange = (1.0, 1.0)
    light_deg: Range = (0.0, 0.0)
    color_shift: Range = (0.0, 0.0)

    @property
    def looks(self) -> tuple[str, ...]:
        """The factors that vary and that only cameras see."""
        return tuple(name for name in LOOKS if getattr(self, name) != type(self).model_fields[name].default)

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: Any) -> dict[str, Any]:
        """A cell in which nothing varies for cameras keeps its hash."""
        return {name: value for name, value in handler(self).items() if name not in LOOKS or name in self.looks}


class HeldOut(Spec):
    """What no policy is trained on, to see how far it generalises: a wider range of a factor, or another shape.

    A range holds the variation's and reaches beyond it; held-out episodes are drawn from what lies beyond, also of a
    factor that is calibrated: the question is then what the policy does on another arm.
    """

    plate_xy_mm: Range | None = None
    plate_yaw_deg: Range | None = None
    plate_bias_mm: Range | None = None
    plate_bias_deg: Range | None = None
    hand_offset_mm: Range | None = None
    hand_offset_deg: Range | None = None
    friction: PositiveRange | None = None
    joint_damping_scale: PositiveRange | None = None
    joint_friction_Nm: PositiveRange | None = None
    servo_gain_scale: PositiveRange | None = None
    command_delay_s: DelayRange | None = None
    camera_mm: Range | None = None
    camera_deg: Range | None = None
    light_scale: PositiveRange | None = None
    light_deg: Range | None = None
    color_shift: Range | None = None
    clearance_mm: PositiveFloat | None = None
    chamfer_mm: PositiveFloat | None = None

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The factors of the variation that are held out, with their wider ranges."""
        return {name: value for name, value in self if name in Variation.model_fields and value is not None}

    @property
    def shape(self) -> dict[str, float]:
        """What is different about the plate."""
        return {name: value for name, value in self if name in PlateSpec.model_fields and value is not None}

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: Any) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if name not in LOOKS or value is not None}


class Sensing(Spec):
    """Sensor errors. Standard deviations; the wrench bias is drawn once per episode.

    Attributes:
        force_noise_N, torque_noise_Nm: of every reading of the wrist sensor.
        force_bias_N, torque_bias_Nm: of the wrist sensor, the same for a whole episode.
        joint_noise_rad: of every reading of a joint angle.
    """

    force_noise_N: NonNegative = 0.0
    torque_noise_Nm: NonNegative = 0.0
    force_bias_N: NonNegative = 0.0
    torque_bias_Nm: NonNegative = 0.0
    joint_noise_rad: NonNegative = 0.0


class Control(Spec):
    """How the policy moves the tool: a bounded step of the tool pose per control period.

    `leash_*` bounds how far the commanded tool pose may run ahead of the measured one, so that the arm does not wind up
    against what holds it (reference limiting, as in SERL, arXiv 2401.16013).

    Attributes:
        rate_hz: actions per second.
        step_mm, step_deg: the largest step of the tool in one action.
        leash_mm, leash_deg: how far the command may run ahead of the measured tool.
        joint_speed_rad_s, joint_acceleration_rad_s2: limits; where the hardware profile's are lower, those count.
    """

    rate_hz: Annotated[float, Field(gt=0, le=200)]
    step_mm: PositiveFloat
    step_deg: PositiveFloat
    leash_mm: PositiveFloat
    leash_deg: PositiveFloat
    joint_speed_rad_s: PositiveFloat
    joint_acceleration_rad_s2: PositiveFloat


class _Cell(Spec):
    """What a cell file says itself."""

    rlaas: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    description: str
    robot: RobotSpec
    task: Annotated[InsertionTask | HandlingTask, Field(discriminator="kind")]
    keep_out: tuple[Box, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    variation: Variation
    held_out: HeldOut = HeldOut()
    sensing: Sensing = Sensing()
    control: Control
    requirements: Requirements

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.requirements.cycle_time_s.limit > self.task.timeout_s:
            reason = f"longer than task.timeout_s ({self.task.timeout_s:g} s): no episode could break it"
            raise Wrong("requirements.cycle_time_s.limit", reason, fix="allow less time, or wait longer")
        distinct("keep_out", [box.name for box in self.keep_out], "another box has that name")
        named = [*self.task.things, "table", *(box.name for box in self.keep_out)]
        have_a_place(self.obstacles, named, self.task.bearers)
        self._fits_its_task()
        self._fits_its_cameras()
        if self.requirements.untouched:
            self.requirements.untouched.not_the_jobs_own(self.task.touched)
        for name, (low, high) in self.held_out.ranges.items():
            inner = getattr(self.variation, name)
            if low > inner[0] or high < inner[1] or (low, high) == inner:
                reason = f"does not reach beyond variation.{name}, {list(inner)}"
                raise Wrong(f"held_out.{name}", reason, fix="make it wider than that, or leave it out")
        return self

    def _fits_its_task(self) -> None:
        """What is said of the plate and of the part in the hand belongs to an insertion."""
        if not isinstance(self.task, HandlingTask):
            self._biased_only_if_observed()
            return
        if getattr(self, "contact", None):
            raise Wrong("contact", "what insertions met says nothing of a handling task", "take it out")
        for section in ("variation", "held_out"):
            for name, value in getattr(self, section):
                insertions = name.startswith(("plate_", "hand_")) or name in PlateSpec.model_fields
                if insertions and value not in (None, (0.0, 0.0)):
                    fix = "take it out; parts and fixtures have ranges of their own in `task`"
                    raise Wrong(f"{section}.{name}", "a handling task has no plate and no part in the hand", fix)

    def _biased_only_if_observed(self) -> None:
        for section in ("variation", "held_out"):
            for name in ("plate_bias_mm", "plate_bias_deg"):
                if not self.task.plate.observed and getattr(getattr(self, section), name) not in (None, (0.0, 0.0)):
                    reason = "task.plate.observed is false: what nobody observes has no bias"
                    raise Wrong(f"{section}.{name}", reason, "take it out; in a file that extends another, by null")

    def _fits_its_cameras(self) -> None:
        """What is said of looks has someone to see it."""
        cameras = getattr(self, "cameras", {})
        check_cameras(cameras, self.control.rate_hz)
        for section, names in (("variation", self.variation.looks), ("held_out", self.held_out.ranges)):
            for name in names:
                if name in LOOKS and not cameras:
                    reason = "this cell has no camera to see it"
                    raise Wrong(f"{section}.{name}", reason, "add `cameras`, or take it out")

    @property
    def period_s(self) -> float:
        """Seconds between two actions."""
        return 1.0 / self.control.rate_hz

    @property
    def horizon(self) -> int:
        """Control steps until an episode times out."""
        return round(self.task.timeout_s * self.control.rate_hz)


class CellFile(_Cell):
    """What a factory cell is and what it demands of a policy. Units stand in the keys; frames are the arm's base frame.

    Attributes:
        rlaas: the format of the file.
        name: lower-case letters, digits and underscores; directories and bundles bear it.
        description: one sentence; it becomes the task of the demonstrations.
        calibration: the path of a calibration.yaml, relative to this file: the arm as it was found to be.
        contact: the path of a contact.yaml, relative to this file: parts, plates and camera as they were found to be.
        cameras: by their names; policies are offered their pictures.
        keep_out: boxes that the tool must not enter.
        obstacles: meshes of what stands in the cell.
    """

    calibration: str | None = None
    contact: str | None = None
    cameras: Cameras = {}  # noqa: RUF012 - pydantic copies it


class CellSpec(_Cell):
    """A whole cell file, with the content of the calibrations, of the contact file and of the meshes that it names.

    `own_files`: of an arm, tool or hardware profile that is not shipped, what its content is; see the module.
    """

    calibration: Calibration | None = None
    contact: ContactReport | None = None
    cameras: CameraSpecs = {}  # noqa: RUF012 - pydantic copies it
    own_files: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: Any) -> dict[str, Any]:
        content = handler(self)
        for name in ("calibration", "contact", "cameras", "obstacles", "own_files"):
            if not getattr(self, name):
                content.pop(name, None)
        return content

    @property
    def hash(self) -> str:
        """SHA-256 of the meaning of the file and of what it names: comments and layout do not count."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


def load_cell(reference: str) -> CellSpec:
    """The cell of a shipped name or of a path to a cell file.

    Raises:
        InputError: with file, line, value, what is allowed and what to do.
    """
    document = with_meshes(read_cell(cell_path(reference)))
    content = dict(validate(document, CellFile))
    robot = {key: getattr(content["robot"], key) for key in ("arm", "tool", "hardware")}
    all_there(document, **robot)
    arm, parts, cameras = (content.pop(name) for name in ("calibration", "contact", "cameras"))
    calibration = load_accepted(beside(document, "calibration", arm, "arm")) if arm else None
    contact = load_contact(beside(document, "contact", parts, "contact"), content["name"]) if parts else None
    rate_hz = content["control"].rate_hz
    seen = {name: load_camera(document, name, camera, rate_hz) for name, camera in cameras.items()}
    own = own_files(**robot)
    return CellSpec(**content, calibration=calibration, contact=contact, cameras=seen, own_files=own)


def cell_path(reference: str) -> Path:
    """The file behind a cell's shipped name or path."""
    return find(reference, cells_dir(), ".yaml")
