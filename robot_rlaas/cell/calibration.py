"""What a calibration file says: how one arm differs from its nominal model, how surely, and who says so."""

from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, model_serializer, model_validator

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.strict_yaml import Spec, load_spec

LONGEST_DELAY_S = 0.095  # the simulation keeps 0.1 s of commands
SCALE = (0.3, 3.0)  # what lies beyond is no calibration but another arm
PHYSICAL = {  # what a simulation can take over, and where physics ends
    "command_delay_s": (0.0, LONGEST_DELAY_S),
    "servo_gain_scale": SCALE,
    "joint_damping_scale": SCALE,
    "armature_scale": SCALE,
    "joint_friction_Nm": (0.0, inf),
    "payload_kg": (0.0, inf),
    "payload_x_m": (-inf, inf),
    "payload_y_m": (-inf, inf),
    "payload_z_m": (-inf, inf),
}
NonNegative = Annotated[FiniteFloat, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Estimate(Spec):
    """One parameter. A scale multiplies the nominal model's value.

    An estimate that is not identifiable says little more than was assumed before: its interval is mostly the prior's.
    """

    name: str
    joint: str | None = None
    unit: str
    nominal: float
    value: float
    lower_95: float
    upper_95: float
    identifiable: bool

    @model_validator(mode="after")
    def _ordered(self) -> "Estimate":
        if not self.lower_95 <= self.value <= self.upper_95:
            raise ValueError(f"value {self.value} lies outside its interval [{self.lower_95}, {self.upper_95}]")
        return self


class DataFile(Spec):
    """A log that was used, and what is missing of it: a line per file that was cut off."""

    file: str
    sha256: Sha256
    lost: tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: Any) -> dict[str, Any]:
        """A cell that names a calibration by whole logs keeps its hash."""
        return {name: value for name, value in handler(self).items() if name != "lost" or value}


class TrackingError(Spec):
    """Root mean square of measured minus predicted joint position on a log that the fit never saw."""

    joints: tuple[str, ...]
    before_mrad: tuple[NonNegative, ...]
    after_mrad: tuple[NonNegative, ...]
    mean_before_mrad: NonNegative
    mean_after_mrad: NonNegative


class Calibration(Spec):
    """A whole calibration file. Only an accepted one may replace the nominal model.

    `undetermined` names the directions that the log did not tell and the prior around the nominal values holds: along
    them the estimates may be wrong together, but the predicted motion is not. Nothing is known of them where it is
    empty and some estimates are not identifiable: the file is older than the field. `unmodelled` names what the log
    certainly shows and no estimate stands for: the intervals do not cover it.
    """

    rlaas_calibration: Literal[1]
    cell: str
    cell_hash: Sha256
    date: str
    versions: dict[str, str]
    fit_log: DataFile
    heldout_log: DataFile
    accepted: bool
    reason: str
    heldout: TrackingError
    estimates: tuple[Estimate, ...]
    covariance: tuple[tuple[float, ...], ...]
    undetermined: tuple[str, ...] = ()
    unmodelled: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "Calibration":
        size = len(self.estimates)
        if len(self.covariance) != size or any(len(row) != size for row in self.covariance):
            raise ValueError(f"the covariance must be {size} by {size}, one row per estimate")
        columns = (self.heldout.before_mrad, self.heldout.after_mrad)
        if any(len(column) != len(self.heldout.joints) for column in columns):
            raise ValueError("heldout needs one error per joint")
        return self

    def values(self, name: str) -> tuple[float, ...]:
        """The estimates of one name, one per joint in the file's order, or a single one.

        Raises:
            KeyError: listing the names there are.
        """
        found = tuple(e.value for e in self.estimates if e.name == name)
        if not found:
            raise KeyError(f"no estimate '{name}'; there are {', '.join(sorted({e.name for e in self.estimates}))}")
        return found


def load_accepted(path: Path) -> Calibration:
    """A calibration that may replace the nominal model.

    Raises:
        InputError: if the file cannot be read, is no calibration, says of itself that it was not accepted, or estimates
            what no simulation knows.
    """
    again = "run `rlaas calibrate arm` again, or take 'calibration' out of the cell file"
    if not path.is_file():
        raise InputError("there is no such calibration; its path is relative to the cell file", file=path, fix=again)
    calibration = load_spec(path, Calibration)
    if not calibration.accepted:
        raise InputError(f"this calibration was not accepted: {calibration.reason}", file=path, fix=again)
    unknown = sorted({e.name for e in calibration.estimates} - PHYSICAL.keys())
    if unknown:
        message = f"a simulation cannot take over {', '.join(unknown)}; it knows {', '.join(PHYSICAL)}"
        raise InputError(message, file=path, fix=again)
    return calibration
