"""Free parts of a handling cell. Lengths are in mm."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, model_serializer, model_validator

from robot_rlaas.cell.explain import Wrong
from robot_rlaas.cell.fixtures import Name
from robot_rlaas.cell.meshes import Meshed, reach_mm
from robot_rlaas.cell.quantities import PositiveRange
from robot_rlaas.cell.strict_yaml import Spec

BASE_MM = 0.1  # so far a part's lowest point may be from the plane that it stands on
PAD_MM = 6.0  # half of what a pad covers: the SO-101's, the smallest of the shipped ones
OFF_MIDDLE_MM = 1.0


class _Workpiece(Spec):
    """What every part has. The gripper holds it `grip_mm` above its base; `start` is the tray that it starts on."""

    name: Name
    grip_mm: PositiveFloat
    start: Name


class _Weighed(_Workpiece):
    mass_kg: PositiveRange

    @property
    def mass_range_kg(self) -> tuple[float, float]:
        """From the lightest to the heaviest."""
        return self.mass_kg


class Block(_Weighed):
    """A box that stands upright. The gripper closes along its y."""

    shape: Literal["box"]
    size_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]

    @property
    def width_mm(self) -> float:
        """Between the pads."""
        return self.size_mm[1]

    @property
    def symmetry_deg(self) -> float:
        """Turned by so much about z it is the same."""
        return 90.0 if self.size_mm[0] == self.size_mm[1] else 180.0


class Cylinder(_Weighed):
    """A cylinder that stands upright."""

    shape: Literal["cylinder"]
    diameter_mm: PositiveFloat
    height_mm: PositiveFloat

    @property
    def size_mm(self) -> tuple[float, float, float]:
        """Its extent in x, y and z."""
        return self.diameter_mm, self.diameter_mm, self.height_mm

    @property
    def width_mm(self) -> float:
        """Between the pads."""
        return self.diameter_mm

    @property
    def symmetry_deg(self) -> float:
        """Zero: turned by any angle about z it is the same."""
        return 0.0


class Casting(Meshed, _Workpiece):
    """A part of any shape. It stands on the plane z = 0 of its mesh; the gripper closes along the mesh's y, about the
    mesh's z axis.

    Its inertia is that of the mesh, with the mass that is given or that its material gives the mesh's volume.

    Attributes:
        density_kg_m3: of its material, from the lightest to the heaviest, instead of `mass_kg`; the mesh is solid.
        symmetry_deg: turned by so much about z it is the same; 0: by any angle.
    """

    shape: Literal["cad"]
    mass_kg: PositiveRange | None = None
    density_kg_m3: PositiveRange | None = None
    symmetry_deg: Annotated[float, Field(ge=0, le=360)] = 360.0

    @property
    def mass_range_kg(self) -> tuple[float, float]:
        """From the lightest to the heaviest."""
        if self.mass_kg is not None:
            return self.mass_kg
        assert self.density_kg_m3 is not None
        low, high = self.density_kg_m3
        volume_m3 = self.mesh.volume_mm3 * 1e-9
        return low * volume_m3, high * volume_m3

    @property
    def size_mm(self) -> tuple[float, float, float]:
        """The box about the mesh's z axis that holds it: its extent in x, y and z."""
        low, high = self.mesh.low_mm, self.mesh.high_mm
        return 2 * max(-low[0], high[0]), 2 * max(-low[1], high[1]), high[2]

    @property
    def width_mm(self) -> float:
        """Between the pads."""
        low, high = self._gripped_mm
        return high - low

    @property
    def _gripped_mm(self) -> tuple[float, float]:
        """From where to where in y the pads meet it."""
        height = self.grip_mm - PAD_MM, self.grip_mm + PAD_MM
        return reach_mm(self.mesh, 1, (-PAD_MM, PAD_MM), height)

    def fits_jaws(self, stage: str, jaw_mm: tuple[float, float, float]) -> None:
        """Between a vise's jaws it is as wide as anywhere, and its middle is the mesh's z axis.

        Raises:
            Wrong: about the stage that puts it there.
        """
        _, wide, high = jaw_mm
        low, far = reach_mm(self.mesh, 0, (-wide / 2, wide / 2), (0.0, high))
        if max(abs(low + self.size_mm[0] / 2), abs(far - self.size_mm[0] / 2)) > OFF_MIDDLE_MM:
            reason = (
                f"between the jaws the part reaches from x = {low:.1f} to {far:.1f} mm, and its widest is "
                f"{self.size_mm[0]:g} mm about x = 0: they would not close evenly on it"
            )
            raise Wrong(f"{stage}.at", reason, fix="move the mesh's origin, or choose other jaws")

    @model_serializer(mode="wrap")
    def _without_density(self, handler: Any) -> dict[str, Any]:
        """A part that does not speak of it keeps its cell's hash."""
        content = handler(self)
        return {key: value for key, value in content.items() if key != "density_kg_m3" or value}

    @model_validator(mode="after")
    def _weighs_something(self) -> Self:
        if self.mass_kg is None and self.density_kg_m3 is None:
            reason = "it says what the part weighs, or density_kg_m3 does"
            raise Wrong("mass_kg", reason, fix="add one of them, as a range, such as density_kg_m3: [2650, 2750]")
        if self.mass_kg is not None and self.density_kg_m3 is not None:
            reason = "mass_kg says what the part weighs, too"
            raise Wrong("density_kg_m3", reason, fix="take one of them out")
        return self

    @model_validator(mode="after")
    def _can_stand_and_be_gripped(self) -> Self:
        lowest, (low, high) = self.mesh.low_mm[2], self._gripped_mm
        if abs(lowest) > BASE_MM:
            reason = f"its lowest point is at z = {lowest:g} mm; a part stands on the plane z = 0 of its mesh"
            raise Wrong("mesh", reason, fix="move the body or its origin, and export it anew")
        if low >= high:
            reason = "the mesh has nothing there about its z axis, where the gripper closes"
            raise Wrong("grip_mm", reason, fix="grip it at another height, or move the mesh's origin")
        if abs(low + high) / 2 > OFF_MIDDLE_MM:
            reason = f"where it is gripped it reaches from y = {low:.1f} to {high:.1f} mm; the pads close about y = 0"
            raise Wrong("mesh", reason, fix="move the mesh's origin into the middle of what is gripped")
        return self


Workpiece = Annotated[Block | Cylinder | Casting, Field(discriminator="shape")]
