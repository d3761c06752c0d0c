"""What a cell demands of a policy, as its file says it; `cell.limits` has it as a table."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, model_serializer, model_validator

from robot_rlaas.cell.calibration import NonNegative
from robot_rlaas.cell.explain import Wrong
from robot_rlaas.cell.quantities import Fraction, Triple
from robot_rlaas.cell.strict_yaml import Spec

ADDED = ("contact_impulse_Ns", "speed_zones", "joint_margin", "untouched")  # since cells have hashes


class Box(Spec):
    """An axis-aligned box in the base frame.

    Attributes:
        name: of what stands in it.
        center_mm: x, y, z of its middle.
        size_mm: its whole extent in x, y and z.
    """

    name: str
    center_mm: Triple
    size_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class SuccessRequirement(Spec):
    """At least `rate` of all parts."""

    rate: Fraction


class QuantileRequirement(Spec):
    """The `quantile` of a figure over episodes stays at or below `limit`."""

    limit: PositiveFloat
    quantile: Fraction = 0.95


class ImpulseRequirement(QuantileRequirement):
    """The `quantile` of the hardest impact's impulse, N s, over episodes stays at or below `limit`.

    An impact lasts as long as the contact force stays above `above_N` without a break, to a step of the simulation; its
    impulse is the integral of the force over that time.

    Attributes:
        above_N: what is lighter is no impact: the weight of a part in the hand, a gentle press.
    """

    above_N: NonNegative = 5.0


class KeepOutRequirement(Spec):
    """At most `rate` of all episodes enter a keep-out box."""

    rate: Fraction


class SustainedForceRequirement(Spec):
    """At most `rate` of all episodes press harder than `force_N` for `duration_s` on end."""

    force_N: PositiveFloat
    duration_s: PositiveFloat
    rate: Fraction


class SpeedZone(Box):
    """A box in which no corner of the tool's bounding box may be faster, in the mean over a control period.

    Attributes:
        name: of the zone.
        speed_mm_s: of the tool, as soon as its bounding box reaches into the zone.
    """

    speed_mm_s: PositiveFloat


class SpeedZonesRequirement(Spec):
    """At most `rate` of all episodes are too fast in a zone. The safety filter slows commands down in and before it."""

    zones: Annotated[tuple[SpeedZone, ...], Field(min_length=1)]
    rate: Fraction

    @model_validator(mode="after")
    def _names_of_their_own(self) -> "SpeedZonesRequirement":
        distinct("zones", [zone.name for zone in self.zones], "another zone has that name")
        return self


class JointMarginRequirement(Spec):
    """At most `rate` of all episodes bring a joint nearer to an end of its range than `margin_deg`.

    The range is the tighter of the arm's model and its hardware profile. The safety filter keeps targets out of the
    margin.

    Attributes:
        margin_deg: of every joint, from either end.
    """

    margin_deg: Annotated[float, Field(gt=0, lt=180)]
    rate: Fraction


class Surface(Spec):
    """Something that must never be touched.

    Attributes:
        name: "table", a keep-out box (what stands in it), the "plate", a fixture, a part, or a link of the arm.
        by: "anything": the tool, what it holds and free parts, at any time. "tool": gripper and fingers alone.
    """

    name: str
    by: Literal["anything", "tool"] = "anything"


class UntouchedRequirement(Spec):
    """At most `rate` of all episodes touch a surface that must never be touched."""

    surfaces: Annotated[tuple[Surface, ...], Field(min_length=1)]
    rate: Fraction

    @model_validator(mode="after")
    def _named_once(self) -> "UntouchedRequirement":
        names = [surface.name for surface in self.surfaces]
        distinct("surfaces", names, "it is named twice", fix="name it once")
        return self

    def not_the_jobs_own(self, job: Mapping[str, tuple[str, str]]) -> None:
        """The job itself does not touch them; see `InsertionTask.touched`."""
        for i, surface in enumerate(self.surfaces):
            by, how = job.get(surface.name, ("", ""))
            if by == "tool" or (by and surface.by == "anything"):
                fix = "take it out" if by == "tool" else "add 'by: tool', or take it out"
                raise Wrong(f"requirements.untouched.surfaces.{i}.name", f"the job itself touches it: {how}", fix)


class Requirements(Spec):
    """What the cell demands. Every requirement is judged with 95 % confidence.

    Attributes:
        keep_out: how many episodes may enter a keep-out box.
        sustained_force: no pressing for long.
        contact_impulse_Ns: of the hardest impact.
        speed_zones: boxes in which the tool has to be slow.
        joint_margin: room that is left to the ends of the joints' ranges.
        untouched: surfaces that must never be touched.
    """

    success: SuccessRequirement
    cycle_time_s: QuantileRequirement
    contact_force_N: QuantileRequirement
    keep_out: KeepOutRequirement
    sustained_force: SustainedForceRequirement | None = None
    contact_impulse_Ns: ImpulseRequirement | None = None
    speed_zones: SpeedZonesRequirement | None = None
    joint_margin: JointMarginRequirement | None = None
    untouched: UntouchedRequirement | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: Any) -> dict[str, Any]:
        """A cell that does not ask for what was added later keeps its hash."""
        content = handler(self)
        return {key: value for key, value in content.items() if key not in ADDED or value is not None}


def distinct(at: str, names: Sequence[str], reason: str, fix: str = "give each a name of its own") -> None:
    """No two boxes, zones or surfaces of a list have the same name."""
    for i, name in enumerate(names):
        if name in names[:i]:
            raise Wrong(f"{at}.{i}.name", reason, fix)
