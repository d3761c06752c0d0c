"""What stands in a handling cell: trays, kits, vises and doors.

Lengths are in mm. A fixture's frame has its z upwards; its origin is the middle of the surface that parts stand on.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt

from robot_rlaas.cell.calibration import NonNegative
from robot_rlaas.cell.quantities import Fraction, Range, Triple
from robot_rlaas.cell.strict_yaml import Spec

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Pair = tuple[FiniteFloat, FiniteFloat]


class Standing(Spec):
    """What every fixture on the table has.

    `off_*`: how far it truly stands from where the robot believes it, drawn once per episode.
    """

    name: Name
    at_mm: Triple
    yaw_deg: FiniteFloat = 0.0
    off_mm: Range = (0.0, 0.0)
    off_deg: Range = (0.0, 0.0)


class Tray(Standing):
    """Where parts start: a grid of slots, and which part lies in which slot is drawn anew for every episode.

    With wide `jitter_mm` and `turned_deg` it is an area in which parts lie anyhow, but never on one another. A camera
    cannot tell a part that is turned by more than half of what its symmetry hides: keep `turned_deg` within that.
    """

    kind: Literal["tray"]
    slots: tuple[PositiveInt, PositiveInt]
    pitch_mm: tuple[PositiveFloat, PositiveFloat]
    jitter_mm: Range = (0.0, 0.0)
    turned_deg: Range = (0.0, 0.0)
    rim_mm: NonNegative = 0.0


class Pocket(Spec):
    """A seat for one part, walled in all round; `at_mm` is its middle, in the kit's frame."""

    name: Name
    holds: Name
    at_mm: Pair
    yaw_deg: FiniteFloat = 0.0


class Kit(Standing):
    """A plate with pockets. `clearance_mm` is per side, `chamfer_mm` at the pockets' edges."""

    kind: Literal["kit"]
    pockets: Annotated[tuple[Pocket, ...], Field(min_length=1)]
    depth_mm: PositiveFloat
    clearance_mm: PositiveFloat
    chamfer_mm: PositiveFloat
    wall_mm: PositiveFloat = 4.0


class Vise(Standing):
    """Two jaws, one of which moves along x. The part is put down between them; `opening_mm` apart, they are open."""

    kind: Literal["vise"]
    opening_mm: PositiveFloat
    jaw_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    force_N: PositiveFloat
    close_s: PositiveFloat


class Door(Spec):
    """A gate that opens and closes by itself, and the zone round it that nothing may be in unless it is wide open.

    A cycle takes `period_s`: the gate opens at its start and closes after `open_share` of it. Where in its cycle it is
    when an episode starts is drawn. `center_mm` and `size_mm` are the zone's; the panel, `panel_mm` large, stands in
    the middle of its lower face and slides by `slides_mm`, in `slide_s`, to open.
    """

    kind: Literal["door"]
    name: Name
    center_mm: Triple
    size_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    panel_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    slides_mm: Triple
    slide_s: PositiveFloat
    period_s: PositiveFloat
    open_share: Fraction

    @property
    def surely_open_s(self) -> float:
        """How long it stays wide open, once it is."""
        return max(self.open_share * self.period_s - self.slide_s, 0.0)

    @property
    def box_m(self) -> tuple[np.ndarray, np.ndarray]:
        """Two corners (3,) of the zone."""
        center, half = np.array(self.center_mm) / 1000, np.array(self.size_mm) / 2000
        return center - half, center + half


Fixture = Annotated[Tray | Kit | Vise | Door, Field(discriminator="kind")]
