"""What a contact file says: how a cell's holes, friction and wrist sensor showed themselves in its logs."""

from typing import Literal

from robot_rlaas.cell.calibration import DataFile, Sha256
from robot_rlaas.cell.strict_yaml import Spec


class ContactFigure(Spec):
    """One figure with its 95 % interval, and what the cell file allows for it."""

    name: str
    unit: str
    value: float
    lower_95: float
    upper_95: float
    allowed: tuple[float, float]
    within: bool


class ContactReport(Spec):
    """A whole contact file. `findings` are sentences, and each says what to do."""

    rlaas_contact: Literal[1]
    cell: str
    cell_hash: Sha256
    date: str
    logs: tuple[DataFile, ...]
    attempts: int
    inserted: int
    figures: tuple[ContactFigure, ...]
    findings: tuple[str, ...]
