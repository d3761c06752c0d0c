"""What a contact file says: how a cell's holes, friction and wrist sensor showed themselves in its logs."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from robot_rlaas.cell.calibration import DataFile, NonNegative, Sha256
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.strict_yaml import Spec, load_spec

Quantity = Literal[
    "friction",
    "offset_x_mm",
    "offset_y_mm",
    "plate_x_mm",
    "plate_y_mm",
    "plate_yaw_deg",
    "plate_z_mm",
    "plate_tilt_x_deg",
    "plate_tilt_y_deg",
]
UNSEEN = ("offset", "plate_z", "plate_tilt")


class ContactFigure(Spec):
    """One figure with its 95 % interval, and what the cell file allows for it; None where it does not speak of it."""

    name: str
    unit: str
    value: float
    lower_95: float
    upper_95: float
    allowed: tuple[float, float] | None
    within: bool


class Learned(Spec):
    """What a quantity was over `parts` parts. Only where it is accepted may it take the place of the cell's ranges.

    Attributes:
        name: `friction` of part and plate. `offset_*`: where the part's tip has to be led against where the camera
            saw the hole, in the frame of the hole as seen: what camera and hand do wrong together. `plate_x_mm` and so
            on: the middle of where the plates lay, against `task.plate.top_mm`, in the base frame. `plate_z_mm`: how
            much higher their upper faces were, and `plate_tilt_*`: how they were turned about the base frame's x and y,
            which no camera sees.
        value: their mean.
        deviation: their standard deviation from part to part. What a fit to pressed spots found stands as the mean of
            so many parts that it has the fit's standard error and degrees of freedom.
        parts: how many.
        hidden: half width of what the logs cannot tell: a tip may be anywhere in its clearance, and a part stand out
            of the hand more or less.
        accepted: they foretell each other better than the cell did.
        reason: in words.
    """

    name: Quantity
    value: float
    deviation: NonNegative
    parts: Annotated[int, Field(ge=2)]
    hidden: NonNegative = 0.0
    accepted: bool
    reason: str


class ContactReport(Spec):
    """A whole contact file. `findings` are sentences, and each says what to do; `undetermined` says what the logs
    cannot tell, and what would."""

    rlaas_contact: Literal[1]
    cell: str
    cell_hash: Sha256
    date: str
    logs: tuple[DataFile, ...]
    attempts: int
    inserted: int
    pressed: int = 0
    figures: tuple[ContactFigure, ...]
    findings: tuple[str, ...]
    learned: tuple[Learned, ...] = ()
    undetermined: tuple[str, ...] = ()

    def accepted(self, *names: Quantity) -> tuple[Learned, ...]:
        """What was accepted of these quantities, in this order; nothing unless all were."""
        found = {one.name: one for one in self.learned if one.accepted}
        return tuple(found[name] for name in names) if all(name in found for name in names) else ()

    def wider(self, factor: float) -> "ContactReport":
        """The same with more of what nobody observes: offsets, height and tilts are less sure by this factor."""
        learned = tuple(
            one.model_copy(update={"deviation": factor * one.deviation, "hidden": factor * one.hidden})
            if one.name.startswith(UNSEEN)
            else one
            for one in self.learned
        )
        return self.model_copy(update={"learned": learned})


def load_contact(path: Path, cell: str) -> ContactReport:
    """A contact file that may replace ranges of the cell of this name.

    Raises:
        InputError: if the file cannot be read, is of another cell, or nothing in it was accepted.
    """
    again = "run `rlaas calibrate contact` on more logs of this cell, or take 'contact' out of the cell file"
    report = load_spec(path, ContactReport)
    if report.cell != cell:
        raise InputError(f"this file is of the cell '{report.cell}', not of '{cell}'", file=path, fix=again)
    if not any(one.accepted for one in report.learned):
        why = "; ".join(sorted({one.reason for one in report.learned})) or "it holds no estimates"
        raise InputError(f"nothing in this file may replace a range: {why}", file=path, fix=again)
    return report
