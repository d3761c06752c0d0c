"""Free parts of a handling cell. Lengths are in mm."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from robot_rlaas.cell.fixtures import Name
from robot_rlaas.cell.quantities import PositiveRange
from robot_rlaas.cell.strict_yaml import Spec


class _Workpiece(Spec):
    """What every part has. The gripper holds it `grip_mm` above its base; `start` is the tray that it starts on."""

    name: Name
    mass_kg: PositiveRange
    grip_mm: PositiveFloat
    start: Name


class Block(_Workpiece):
    """A box that stands upright. The gripper closes along its y."""

    shape: Literal["box"]
    size_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]

    @property
    def symmetry_deg(self) -> float:
        """Turned by so much about z it is the same."""
        return 90.0 if self.size_mm[0] == self.size_mm[1] else 180.0


class Cylinder(_Workpiece):
    """A cylinder that stands upright."""

    shape: Literal["cylinder"]
    diameter_mm: PositiveFloat
    height_mm: PositiveFloat

    @property
    def size_mm(self) -> tuple[float, float, float]:
        """Its extent in x, y and z."""
        return self.diameter_mm, self.diameter_mm, self.height_mm

    @property
    def symmetry_deg(self) -> float:
        """Zero: turned by any angle about z it is the same."""
        return 0.0


Workpiece = Annotated[Block | Cylinder, Field(discriminator="shape")]
