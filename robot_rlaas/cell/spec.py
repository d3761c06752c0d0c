"""What a cell file says. Units stand in the key names; everything is frozen."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, FiniteFloat, PositiveFloat, model_serializer, model_validator

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.calibration import LONGEST_DELAY_S, Calibration, NonNegative, load_accepted
from robot_rlaas.cell.strict_yaml import Spec, load_spec

Triple = tuple[float, float, float]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Delay = Annotated[float, Field(ge=0, le=LONGEST_DELAY_S)]


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the lower end comes first: [low, high]")
    return pair


Range = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered)]
PositiveRange = Annotated[tuple[NonNegative, NonNegative], AfterValidator(_ordered)]
DelayRange = Annotated[tuple[Delay, Delay], AfterValidator(_ordered)]


class RobotSpec(Spec):
    """Which arm and tool stand in the cell, and where the arm starts."""

    arm: str
    tool: str
    hardware: str
    home_deg: tuple[float, float, float, float, float, float]


class PegSpec(Spec):
    """A square peg, held by the tool. `length_mm` is what stands out of the fingers."""

    width_mm: PositiveFloat
    length_mm: PositiveFloat
    mass_kg: PositiveFloat = 0.1


class PlateSpec(Spec):
    """A plate with a square hole. `top_mm` is the centre of the hole at the plate's upper face, in the base frame."""

    top_mm: Triple
    size_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    clearance_mm: PositiveFloat
    chamfer_mm: PositiveFloat


class InsertionTask(Spec):
    """Put the peg into the hole. Done when its tip is `depth_mm` below the plate's upper face."""

    kind: Literal["insertion"]
    peg: PegSpec
    plate: PlateSpec
    depth_mm: PositiveFloat
    start_height_mm: PositiveFloat
    timeout_s: PositiveFloat


class Box(Spec):
    """An axis-aligned box in the base frame."""

    name: str
    center_mm: Triple
    size_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class Variation(Spec):
    """What differs from part to part: every value is drawn uniformly from its range at the start of an episode.

    With a calibration, the last four are drawn from what it found instead, and their ranges here do not count.
    """

    plate_xy_mm: Range
    plate_yaw_deg: Range
    plate_bias_mm: Range
    plate_bias_deg: Range
    hand_offset_mm: Range
    hand_offset_deg: Range
    friction: PositiveRange = (0.2, 0.4)
    joint_damping_scale: PositiveRange = (1.0, 1.0)
    joint_friction_Nm: PositiveRange = (0.0, 0.0)
    servo_gain_scale: PositiveRange = (1.0, 1.0)
    command_delay_s: DelayRange = (0.0, 0.0)


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


class Sensing(Spec):
    """Sensor errors. Standard deviations; the wrench bias is drawn once per episode."""

    force_noise_N: NonNegative = 0.0
    torque_noise_Nm: NonNegative = 0.0
    force_bias_N: NonNegative = 0.0
    torque_bias_Nm: NonNegative = 0.0
    joint_noise_rad: NonNegative = 0.0


class Control(Spec):
    """How the policy moves the tool: a bounded step of the tool pose per control period.

    `leash_*` bounds how far the commanded tool pose may run ahead of the measured one, so that the arm does not wind up
    against what holds it (reference limiting, as in SERL, arXiv 2401.16013).
    """

    rate_hz: Annotated[float, Field(gt=0, le=100)]
    step_mm: PositiveFloat
    step_deg: PositiveFloat
    leash_mm: PositiveFloat
    leash_deg: PositiveFloat
    joint_speed_rad_s: PositiveFloat
    joint_acceleration_rad_s2: PositiveFloat


class SuccessRequirement(Spec):
    """At least `rate` of all parts."""

    rate: Fraction


class QuantileRequirement(Spec):
    """The `quantile` of a figure over episodes stays at or below `limit`."""

    limit: PositiveFloat
    quantile: Fraction = 0.95


class KeepOutRequirement(Spec):
    """At most `rate` of all episodes enter a keep-out box."""

    rate: Fraction


class Requirements(Spec):
    """What the cell demands. Every requirement is judged with 95 % confidence."""

    success: SuccessRequirement
    cycle_time_s: QuantileRequirement
    contact_force_N: QuantileRequirement
    keep_out: KeepOutRequirement


class _Cell(Spec):
    """What a cell file says itself."""

    rlaas: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    description: str
    robot: RobotSpec
    task: InsertionTask
    keep_out: tuple[Box, ...] = ()
    variation: Variation
    held_out: HeldOut = HeldOut()
    sensing: Sensing = Sensing()
    control: Control
    requirements: Requirements

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.task.depth_mm > self.task.plate.size_mm[2]:
            raise ValueError(f"task.depth_mm {self.task.depth_mm} is more than the plate is thick")
        if self.task.depth_mm > self.task.peg.length_mm:
            raise ValueError(f"task.depth_mm {self.task.depth_mm} is more than the peg is long")
        if self.requirements.cycle_time_s.limit > self.task.timeout_s:
            raise ValueError("requirements.cycle_time_s.limit is longer than task.timeout_s: no episode could break it")
        for name, (low, high) in self.held_out.ranges.items():
            inner = getattr(self.variation, name)
            if low > inner[0] or high < inner[1] or (low, high) == inner:
                raise ValueError(f"held_out.{name} {[low, high]} does not reach beyond variation.{name} {list(inner)}")
        return self

    @property
    def period_s(self) -> float:
        """Seconds between two actions."""
        return 1.0 / self.control.rate_hz

    @property
    def horizon(self) -> int:
        """Control steps until an episode times out."""
        return round(self.task.timeout_s * self.control.rate_hz)


class _CellFile(_Cell):
    """A cell file as it is written: it names its calibration."""

    calibration: str | None = None


class CellSpec(_Cell):
    """A whole cell file, with the content of the calibration that it names."""

    calibration: Calibration | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: Any) -> dict[str, Any]:
        content = handler(self)
        if self.calibration is None:
            content.pop("calibration", None)
        return content

    @property
    def hash(self) -> str:
        """SHA-256 of the meaning of the file and of its calibration: comments and layout do not count."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


def load_cell(reference: str) -> CellSpec:
    """The cell of a shipped name or of a path to a cell file.

    Raises:
        InputError: with file, line, value, what is allowed and what to do.
    """
    path = cell_path(reference)
    content = dict(load_spec(path, _CellFile))
    named = content.pop("calibration")
    return CellSpec(**content, calibration=load_accepted(path.parent / named) if named else None)


def cell_path(reference: str) -> Path:
    """The file behind a cell's shipped name or path."""
    return find(reference, data_dir("sim_assets") / "cells", ".yaml")
