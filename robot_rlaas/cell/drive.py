"""What a drive calibration file says: the dynamics, friction and drive gains of one arm, from its motor currents."""

from typing import Literal

from pydantic import PositiveFloat, model_validator

from robot_rlaas.cell.calibration import DataFile, Estimate, NonNegative
from robot_rlaas.cell.hardware import HardwareProfile
from robot_rlaas.cell.strict_yaml import Spec


class DriveLog(Spec):
    """A log that was fitted, or part of it; `payload` names the load that the arm carried."""

    source: DataFile
    seconds: PositiveFloat
    payload: str | None = None
    payload_kg: PositiveFloat | None = None


class CurrentError(Spec):
    """Root mean square of predicted minus measured current over that of the measured one, both low-passed."""

    source: DataFile
    joints: tuple[str, ...]
    before: tuple[NonNegative, ...]
    after: tuple[NonNegative, ...]
    mean_before: NonNegative
    mean_after: NonNegative


class DriveCalibration(Spec):
    """A whole drive calibration file.

    `current_delay_s` is how much later the log states a current than the motion it belongs to. A joint's current is

        (rigid-body torque + armature a + viscous v + sum curve tanh(v / speed) + sum slip z + load |torque| z) / gain

    plus an offset, with z in [-1, 1] the states of `elements`, each a way to slip, rad, and a memory at rest, s (see
    calibrate/drives/drive.py), the first one for the load.
    """

    rlaas_drive: Literal[1]
    hardware: HardwareProfile
    date: str
    versions: dict[str, str]
    logs: tuple[DriveLog, ...]
    heldout: CurrentError
    accepted: bool
    reason: str
    elements: tuple[tuple[float, float], ...]
    speeds_rad_s: tuple[float, ...]
    current_delay_s: float
    not_told: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    covariance: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _consistent(self) -> "DriveCalibration":
        size = len(self.estimates)
        if len(self.covariance) != size or any(len(row) != size for row in self.covariance):
            raise ValueError(f"the covariance must be {size} by {size}, one row per estimate")
        return self
