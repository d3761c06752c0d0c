"""What a cell file says of a handling task: free parts, fixtures, and the stages of the job."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, PositiveFloat, model_validator

from robot_rlaas.cell.calibration import NonNegative
from robot_rlaas.cell.errors import did_you_mean
from robot_rlaas.cell.explain import Wrong
from robot_rlaas.cell.fixtures import Door, Fixture, Kit, Name, Tray, Vise
from robot_rlaas.cell.parts import Casting, Workpiece
from robot_rlaas.cell.quantities import PositiveRange, Range, Triple
from robot_rlaas.cell.strict_yaml import Spec

Degrees = Annotated[float, Field(gt=0, le=90)]


class Sight(Spec):
    """How well a camera above the cell knows where parts are.

    It sees every part `latency_s` late, off by a bias that is drawn once per episode and by noise (standard deviations)
    in every picture. It does not see a part that the tool is nearer to than `hidden_mm`: what it saw last holds.
    """

    bias_mm: Range = (0.0, 0.0)
    bias_deg: Range = (0.0, 0.0)
    noise_mm: NonNegative = 0.0
    noise_deg: NonNegative = 0.0
    latency_s: Annotated[float, Field(ge=0, le=1)] = 0.0
    hidden_mm: NonNegative = 0.0


class Grip(Spec):
    """The gripper as it is set: its share of its largest force, the time from open to closed, its pads' friction.

    It opens to `open_share` of its travel. One whose jaw stands still goes down `aside_mm` beside the part, along the
    part's y, so that this jaw has room; closing takes it back.
    """

    force_share: Annotated[float, Field(gt=0, le=1)]
    open_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    close_s: PositiveFloat
    aside_mm: FiniteFloat = 0.0
    friction: PositiveRange


class _Stage(Spec):
    """What every stage has. Where a part is lost in it, the robot may go back to the stage called `retry_from`.

    A stage is called after what it does: "grasp_billet", "close_vise"; give those a `name` that would be called alike.
    """

    name: Name | None = None
    retry_from: Name | None = None


class Reach(_Stage):
    """Take the open gripper to the part. Done within the tolerances of its grasp point, or with the part in hand."""

    do: Literal["reach"]
    part: Name
    tolerance_mm: PositiveFloat = 8.0
    tolerance_deg: Degrees = 10.0


class Grasp(_Stage):
    """Close the gripper on the part. Done when its aperture is the part's width and the part is between the pads."""

    do: Literal["grasp"]
    part: Name


class Move(_Stage):
    """Take the tool's grasp point to `to_mm`, in the base frame, with the part in hand if one is named.

    Done within `tolerance_mm`. `through` is a door whose zone lies on the way.
    """

    do: Literal["move"]
    to_mm: Triple
    part: Name | None = None
    through: Name | None = None
    tolerance_mm: PositiveFloat = 15.0


class Place(_Stage):
    """Put the part down at its seat: a vise, or "kit.pocket". Done when it stands there within the tolerances."""

    do: Literal["place"]
    part: Name
    at: str
    tolerance_mm: PositiveFloat
    tolerance_deg: Degrees = 10.0


class Release(_Stage):
    """Open the gripper. Done when it no longer holds the part and the part still stands at its seat."""

    do: Literal["release"]
    part: Name


class Actuate(_Stage):
    """Let the cell close or open a vise: it starts when the robot says that it is at this stage.

    Closed is a vise whose jaws stop on the part that stands in it; open is one that has its whole opening.
    """

    do: Literal["close", "open"]
    fixture: Name


Stage = Annotated[Reach | Grasp | Move | Place | Release | Actuate, Field(discriminator="do")]
CARRYING = ("move", "place")  # stages in which the part has to stay in the hand


def label(stage: Stage) -> str:
    """What a stage is called."""
    about = getattr(stage, "part", None) or getattr(stage, "fixture", None)
    return stage.name or (f"{stage.do}_{about}" if about else stage.do)


class HandlingTask(Spec):
    """Pick free parts and put them where they belong, stage after stage.

    Done when all stages are done, in their order, and every placed part still stands at its seat. Failed when a part
    falls off the table or over, when it is lost in a stage without `retry_from`, when it leans by more than
    `carry_tilt_deg` in the hand, or when something is pressed with more than `break_N`.
    """

    kind: Literal["handling"]
    table_mm: FiniteFloat
    travel_mm: FiniteFloat  # height of the grasp point, in the base frame, at which nothing is in the way
    parts: Annotated[tuple[Workpiece, ...], Field(min_length=1)]
    fixtures: Annotated[tuple[Fixture, ...], Field(min_length=1)]
    sight: Sight = Sight()
    grip: Grip
    carry_tilt_deg: Degrees
    break_N: PositiveFloat
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    timeout_s: PositiveFloat

    @property
    def start_ranges(self) -> dict[str, tuple[float, float]]:
        """What differs from start to start besides the cell's variation.

        The first part of a tray lies in the slot with the lowest number drawn, the second in that with the next, and so
        on.
        """
        trays = {f.name: f for f in self.fixtures if isinstance(f, Tray)}
        ranges: dict[str, tuple[float, float]] = {}
        for part in self.parts:
            tray, sight, name = trays[part.start], self.sight, part.name
            ranges |= {f"{name}_{axis}_mm": tray.jitter_mm for axis in "xy"} | {f"{name}_yaw_deg": tray.turned_deg}
            ranges |= {f"{name}_bias_{axis}_mm": sight.bias_mm for axis in "xy"}
            ranges |= {f"{name}_bias_yaw_deg": sight.bias_deg, f"{name}_mass_kg": part.mass_range_kg}
        for tray in trays.values():
            ranges |= {f"{tray.name}_slot_{i}": (0.0, 1.0) for i in range(tray.slots[0] * tray.slots[1])}
        for fixture in self.fixtures:
            if isinstance(fixture, Door):
                ranges[f"{fixture.name}_phase"] = 0.0, 1.0
            else:
                ranges |= {f"{fixture.name}_off_{axis}_mm": fixture.off_mm for axis in "xy"}
                ranges[f"{fixture.name}_off_yaw_deg"] = fixture.off_deg
        return {**ranges, "grip_friction": self.grip.friction}

    @property
    def things(self) -> list[str]:
        """What the task calls by a name."""
        return [thing.name for thing in (*self.fixtures, *self.parts)]

    @property
    def bearers(self) -> list[str]:
        """What an obstacle can stand on."""
        return [fixture.name for fixture in self.fixtures if not isinstance(fixture, Door)]

    @property
    def moving(self) -> tuple[Vise | Door, ...]:
        """The fixtures that move, in the order in which whoever moves them is told their openings."""
        return tuple(fixture for fixture in self.fixtures if isinstance(fixture, Vise | Door))

    @property
    def watched(self) -> int:
        """How many poses a camera follows: one per part."""
        return len(self.parts)

    @property
    def touched(self) -> dict[str, tuple[str, str]]:
        """What the job itself touches, by "tool" or "part", and how."""
        job = {part.start: ("part", f"'{part.name}' starts there") for part in self.parts}
        for stage in self.stages:
            if stage.do == "place":
                job[stage.at.split(".")[0]] = "part", f"'{stage.part}' is placed there"
            elif stage.do == "grasp":
                job[stage.part] = "tool", "it is grasped"
        return job

    @property
    def labels(self) -> tuple[str, ...]:
        """What the stages are called, in order."""
        return tuple(label(stage) for stage in self.stages)

    def seat_names(self) -> dict[str, str | None]:
        """Where parts can be placed, and which part alone fits there."""
        seats: dict[str, str | None] = {f.name: None for f in self.fixtures if isinstance(f, Vise)}
        kits = (f for f in self.fixtures if isinstance(f, Kit))
        return seats | {f"{kit.name}.{p.name}": p.holds for kit in kits for p in kit.pockets}

    @staticmethod
    def of(cell: Any) -> "HandlingTask":
        """The task of a cell (a CellSpec) that is known to be of this kind."""
        assert isinstance(cell.task, HandlingTask)
        return cell.task

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        parts, doors = [p.name for p in self.parts], [f.name for f in self.fixtures if isinstance(f, Door)]
        vises = [f.name for f in self.fixtures if isinstance(f, Vise)]
        _distinct("parts", parts)
        _distinct("fixtures", [f.name for f in self.fixtures])
        _distinct("stages", list(self.labels))
        for i, part in enumerate(self.parts):
            _known(f"parts.{i}.start", part.start, [f.name for f in self.fixtures if isinstance(f, Tray)], "tray")
        for i, kit in enumerate(self.fixtures):
            for j, pocket in enumerate(kit.pockets if isinstance(kit, Kit) else ()):
                _known(f"fixtures.{i}.pockets.{j}.holds", pocket.holds, parts, "part")
        for i, stage in enumerate(self.stages):
            valid = {"part": parts, "through": doors, "fixture": vises, "at": list(self.seat_names())}
            valid["retry_from"] = list(self.labels[: i + 1])
            for key, names in valid.items():
                if getattr(stage, key, None) is not None:
                    what = "stage up to this one" if key == "retry_from" else "seat" if key == "at" else key
                    _known(f"stages.{i}.{key}", getattr(stage, key), names, what)
        return self

    @model_validator(mode="after")
    def _order_makes_sense(self) -> Self:
        held: str | None = None
        for i, stage in enumerate(self.stages):
            named = getattr(stage, "part", None)
            if stage.do == "grasp":
                if held:
                    raise Wrong(f"stages.{i}.part", f"'{held}' is still in the hand", "place and release it before")
                held = named
            elif stage.do in (*CARRYING, "release") and named != held and not (stage.do == "move" and not named):
                raise Wrong(f"stages.{i}.part", "it is not in the hand at this stage", "grasp it in a stage before")
            if isinstance(stage, Place):
                _fits(f"stages.{i}.at", stage, self.seat_names()[stage.at])
                self._fits_the_vise(f"stages.{i}", stage)
            if stage.do == "release":
                if self.stages[i - 1].do not in ("place", "close"):
                    raise Wrong(f"stages.{i}", "a part is released before it is placed", "add a 'place' stage before")
                held = None
        return self

    def _fits_the_vise(self, at: str, stage: Place) -> None:
        """The part goes between the open jaws, and stays within its tolerance while they close."""
        vise = next((f for f in self.fixtures if isinstance(f, Vise) and f.name == stage.at), None)
        if vise is None:
            return
        part = next(p for p in self.parts if p.name == stage.part)
        if isinstance(part, Casting):
            part.fits_jaws(at, vise.jaw_mm)
        play = vise.opening_mm - part.size_mm[0]
        if play <= 0:
            raise Wrong(f"{at}.at", f"the part is {-play:g} mm wider than the open vise", "widen `opening_mm`")
        if play / 2 >= stage.tolerance_mm:
            reason = f"the closing jaw moves the part by up to {play / 2:g} mm: it would no longer stand at its seat"
            raise Wrong(f"{at}.tolerance_mm", reason, "allow more, or narrow the vise's `opening_mm`")

    @model_validator(mode="after")
    def _grip_is_on_the_part(self) -> Self:
        for i, part in enumerate(self.parts):
            if part.grip_mm >= part.size_mm[2]:
                raise Wrong(f"parts.{i}.grip_mm", f"the part is only {part.size_mm[2]:g} mm high", "grip it lower")
        return self

    @model_validator(mode="after")
    def _room_for_all(self) -> Self:
        for i, tray in enumerate(self.fixtures):
            lying = [p for p in self.parts if isinstance(tray, Tray) and p.start == tray.name]
            if not isinstance(tray, Tray) or not lying:
                continue
            if len(lying) > tray.slots[0] * tray.slots[1]:
                raise Wrong(f"fixtures.{i}.slots", f"{len(lying)} parts start here", "add slots")
            widest = max((p.size_mm[0] ** 2 + p.size_mm[1] ** 2) ** 0.5 for p in lying)
            need = widest + tray.jitter_mm[1] - tray.jitter_mm[0]
            if len(lying) > 1 and need > min(tray.pitch_mm):
                raise Wrong(f"fixtures.{i}.pitch_mm", f"parts would touch: they need {need:.1f} mm", "widen it")
        return self


def _known(at: str, name: str, valid: list[str], what: str) -> None:
    if name not in valid:
        reason = f"there is no such {what}; there are {', '.join(valid) or 'none'}"
        raise Wrong(at, reason, did_you_mean(name, valid))


def _distinct(at: str, names: list[str]) -> None:
    twice = next((i for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise Wrong(f"{at}.{twice}", f"a second one is called '{names[twice]}'", "give it another `name`")


def _fits(at: str, stage: Place, holds: str | None) -> None:
    if holds not in (None, stage.part):
        raise Wrong(at, f"this pocket holds '{holds}', not '{stage.part}'", "choose the pocket that is made for it")
