"""What a calibration file says: how one arm differs from its nominal model, how surely, and who says so."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from robot_rlaas.cell.spec import NonNegative
from robot_rlaas.cell.strict_yaml import Spec

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
    """A log that was used."""

    file: str
    sha256: Sha256


class TrackingError(Spec):
    """Root mean square of measured minus predicted joint position on a log that the fit never saw."""

    joints: tuple[str, ...]
    before_mrad: tuple[NonNegative, ...]
    after_mrad: tuple[NonNegative, ...]
    mean_before_mrad: NonNegative
    mean_after_mrad: NonNegative


class Calibration(Spec):
    """A whole calibration file. Only an accepted one may replace the nominal model."""

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
