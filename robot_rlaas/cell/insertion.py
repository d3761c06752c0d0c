"""What a cell file says of an insertion: the part in the hand, and the plate that receives it."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, PositiveFloat, model_serializer, model_validator

from robot_rlaas.cell.explain import Wrong
from robot_rlaas.cell.meshes import Housing
from robot_rlaas.cell.quantities import Triple
from robot_rlaas.cell.strict_yaml import Spec


class _Held(Spec):
    """What every part in the hand has."""

    housing: Housing | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: Any) -> dict[str, Any]:
        """A cell that does not speak of it keeps its hash."""
        content = handler(self)
        return {key: value for key, value in content.items() if key != "housing" or value}


class BoxPart(_Held):
    """A peg or a plug of rectangular section; square where `thickness_mm` is left out.

    `length_mm` is what stands out of the fingers.
    """

    shape: Literal["box"]
    width_mm: PositiveFloat
    thickness_mm: PositiveFloat | None = None
    length_mm: PositiveFloat
    mass_kg: PositiveFloat = 0.1

    @property
    def section_mm(self) -> tuple[float, float]:
        """What has to fit: its extent in x and in y."""
        return self.width_mm, self.thickness_mm or self.width_mm


class CylinderPart(_Held):
    """A round peg. `length_mm` is what stands out of the fingers."""

    shape: Literal["cylinder"]
    diameter_mm: PositiveFloat
    length_mm: PositiveFloat
    mass_kg: PositiveFloat = 0.1

    @property
    def section_mm(self) -> tuple[float, float]:
        """What has to fit: its extent in x and in y."""
        return self.diameter_mm, self.diameter_mm


class GearPart(_Held):
    """A spur gear, held by its hub. `length_mm` is from the fingertips to its lower face."""

    shape: Literal["gear"]
    teeth: Annotated[int, Field(ge=8, le=80)]
    module_mm: PositiveFloat
    face_mm: PositiveFloat
    bore_mm: PositiveFloat
    length_mm: PositiveFloat
    mass_kg: PositiveFloat = 0.1

    @property
    def section_mm(self) -> tuple[float, float]:
        """What has to fit: the bore, over a shaft."""
        return self.bore_mm, self.bore_mm

    @model_validator(mode="after")
    def _has_a_rim(self) -> Self:
        if self.bore_mm >= self.module_mm * (self.teeth - 6):
            raise ValueError(f"bore_mm {self.bore_mm} leaves no rim below the teeth of a gear of {self.teeth}")
        if self.length_mm < self.face_mm:
            raise ValueError(f"length_mm {self.length_mm} is less than face_mm: the fingers would hold the teeth")
        return self


Part = Annotated[BoxPart | CylinderPart | GearPart, Field(discriminator="shape")]


class Neighbour(Spec):
    """A gear that turns on the plate and that the part has to mesh with.

    Its shaft is `distance_mm` from the part's, in a direction about z.
    """

    teeth: Annotated[int, Field(ge=8, le=80)]
    direction_deg: FiniteFloat
    distance_mm: PositiveFloat
    friction_Nm: PositiveFloat = 0.01


class Shaft(Spec):
    """A shaft on the plate instead of a hole in it. `height_mm` is from the plate's upper face to the shaft's end."""

    height_mm: PositiveFloat
    neighbours: tuple[Neighbour, ...] = ()


class PlateSpec(Spec):
    """A plate with a hole for the part, or a shaft for the gear.

    `top_mm` is the middle of the hole at the plate's upper face, or the end of the shaft, in the base frame;
    `clearance_mm` is per side; `chamfer_mm` is at the hole's edge, or at the edge of the gear's bore. A policy is told
    where the plate lies, as something in the cell measures it, unless `observed` is false: then it has to see it.
    """

    top_mm: Triple
    size_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    clearance_mm: PositiveFloat
    chamfer_mm: PositiveFloat
    shaft: Shaft | None = None
    observed: bool = True

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: Any) -> dict[str, Any]:
        """A cell that does not speak of it keeps its hash."""
        content = handler(self)
        return {key: value for key, value in content.items() if key != "observed" or not value}

    @property
    def depth_mm(self) -> float:
        """How deep a part can go."""
        return self.shaft.height_mm if self.shaft else self.size_mm[2]

    @property
    def face_mm(self) -> float:
        """The height of the plate's upper face, in the base frame."""
        return self.top_mm[2] - (self.shaft.height_mm if self.shaft else 0.0)

    @property
    def bottom_mm(self) -> float:
        """The height of the plate's lower face, in the base frame."""
        return self.face_mm - self.size_mm[2]


class InsertionTask(Spec):
    """Put the part where it belongs. Done when its tip is `depth_mm` below the top of the hole or of the shaft."""

    kind: Literal["insertion"]
    part: Part
    plate: PlateSpec
    depth_mm: PositiveFloat
    start_height_mm: PositiveFloat
    timeout_s: PositiveFloat

    @property
    def start_ranges(self) -> dict[str, tuple[float, float]]:
        """What differs from start to start besides the cell's variation: how the gears on the plate are turned."""
        gears = self.plate.shaft.neighbours if self.plate.shaft else ()
        return {f"gear_{i}_deg": (-180 / gear.teeth, 180 / gear.teeth) for i, gear in enumerate(gears)}

    @property
    def table_mm(self) -> float:
        """The height of the table, on which the plate lies, in the base frame."""
        return self.plate.bottom_mm

    @property
    def things(self) -> list[str]:
        """What the task calls by a name."""
        return ["plate", "part"]

    @property
    def bearers(self) -> list[str]:
        """What an obstacle can stand on."""
        return ["plate"]

    @property
    def watched(self) -> int:
        """How many poses a camera follows: none, the plate's is told once."""
        return 0

    @property
    def touched(self) -> dict[str, tuple[str, str]]:
        """What the job itself touches, by "tool" or "part", and how."""
        return {"plate": ("part", "the part goes there")}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        plate, part = self.plate, self.part
        if isinstance(part, GearPart) != (plate.shaft is not None):
            reason = "a gear goes onto a plate with a `shaft`, and every other part into a plate without one"
            raise Wrong("part.shape", reason, fix="add or take out task.plate.shaft, or choose another shape")
        if self.depth_mm > plate.depth_mm:
            thing = "shaft is high" if plate.shaft else "plate is thick"
            raise Wrong("depth_mm", f"more than the {thing} ({plate.depth_mm:g} mm)")
        if self.depth_mm > part.length_mm and not plate.shaft:
            raise Wrong("depth_mm", f"more than the part is long ({part.length_mm:g} mm)")
        self._housing_stays_out()
        for at in plate.shaft.neighbours if plate.shaft and isinstance(part, GearPart) else ():
            least = part.module_mm * (part.teeth + at.teeth) / 2
            if not least <= at.distance_mm < least + 1.5 * part.module_mm:
                raise ValueError(
                    f"a neighbour of {at.teeth} teeth stands {at.distance_mm} mm away; teeth mesh from {least:g} mm "
                    f"to less than {least + 1.5 * part.module_mm:g} mm"
                )
        hole = max(part.section_mm) / 2 + plate.clearance_mm + plate.chamfer_mm
        if not plate.shaft and hole >= min(plate.size_mm[:2]) / 2:
            reason = f"the hole and its chamfer take {2 * hole:g} mm and would be wider than the plate"
            raise Wrong("plate.size_mm", reason, fix="make the plate larger")
        return self

    def _housing_stays_out(self) -> None:
        housing, room_mm = self.part.housing, self.part.length_mm - self.depth_mm
        if housing and housing.mesh.high_mm[2] > room_mm:
            raise Wrong(
                "part.housing.mesh",
                f"it reaches to z = {housing.mesh.high_mm[2]:g} mm: at depth_mm {self.depth_mm:g} all beyond "
                f"{room_mm:g} mm from the fingertips is in the plate, and what goes there is the part's own shape",
                fix="leave out of the mesh what goes into the hole, or move its origin between the fingertips",
            )
