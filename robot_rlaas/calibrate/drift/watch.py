"""What a watch over an arm in production knows, and keeps in its file: the reference, the CUSUMs, what has changed."""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError, model_validator

from robot_rlaas.calibrate.drift.production import Suspect
from robot_rlaas.cell.calibration import Calibration, Sha256
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.strict_yaml import Spec

REFERENCE_CYCLES = 50
FALSE_ALARM_CYCLES = 10_000  # mean number of cycles to a false alarm, at least

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]


class Drift(Spec):
    """A parameter has changed.

    Attributes:
        cycle, since: at which cycle it was noticed, and after which one it probably began; 1 is the first cycle of the
            watch.
        name, joint, unit: the parameter.
        calibrated: its value in the calibration.
        change, lower_95, upper_95: of that value since the reference, if nothing else has changed; exact to first
            order, and for a change as large as the suspected one.
        evidence: of the CUSUM that raised the alarm, in nats.
        alike: other parameters that would explain the cycles since then about as well.
    """

    cycle: int
    since: int
    name: str
    joint: str | None
    unit: str
    calibrated: float
    change: float
    lower_95: float
    upper_95: float
    evidence: float
    alike: tuple[str, ...]

    def __str__(self) -> str:
        where = f" of {self.joint}" if self.joint else ""
        unit = "" if self.unit in ("", "1") else f" {self.unit}"
        size = f"{self.change:+.3g}{unit} ({self.lower_95:+.3g} to {self.upper_95:+.3g})"
        was = f"it was {self.calibrated:.3g}{unit}"
        text = f"cycle {self.cycle}: {self.name}{where} has changed by {size} since cycle {self.since}; {was}"
        return text + (f". It may as well be {', '.join(self.alike)}" if self.alike else "")


class Cycle(Spec):
    """A cycle after the reference: its number, its score and the CUSUMs (p,) after it."""

    number: int
    value: Vector
    response: Vector
    level: Vector


class Reference(Spec):
    """Sums over the cycles in which nothing changes."""

    cycles: int
    value: Vector
    outer: Matrix
    response: Vector
    information: Matrix

    @property
    def complete(self) -> bool:
        """Whether cycles are judged by it from now on, instead of being added to it."""
        return self.cycles >= REFERENCE_CYCLES


class Watch(Spec):
    """All that a watch needs to go on.

    Attributes:
        calibration: hash of the one that the arm is compared with.
        suspects: what is watched, p of them.
        cycles: how many were scored.
        until_ns: when the last of them ended.
        reference: what they are compared with.
        level: (p,) CUSUMs, nats.
        since: (p,) the cycle after which each CUSUM began to rise.
        recent: the last cycles after the reference.
        found: what has changed. A watch that has found something is over.
    """

    rlaas_drift: Literal[1] = 1
    calibration: Sha256
    suspects: tuple[str, ...]
    cycles: int = 0
    until_ns: int = 0
    reference: Reference
    level: Vector
    since: tuple[int, ...]
    recent: tuple[Cycle, ...] = ()
    found: Drift | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Watch":
        p, reference = len(self.suspects), self.reference
        vectors = (self.level, self.since, reference.value, reference.response, reference.outer, reference.information)
        rows = (*reference.outer, *reference.information)
        scores = [v for c in self.recent for v in (c.value, c.response, c.level)]
        if any(len(vector) != p for vector in (*vectors, *rows, *scores)):
            raise ValueError(f"every vector must have {p} entries, one per suspect")
        return self

    @property
    def threshold(self) -> float:
        """Of every CUSUM, nats."""
        return float(np.log(len(self.suspects) * FALSE_ALARM_CYCLES))


def begin(calibration: Calibration, suspects: tuple[Suspect, ...]) -> Watch:
    """A watch that has seen nothing."""
    p = len(suspects)
    zero, square = (0.0,) * p, ((0.0,) * p,) * p
    return Watch(
        calibration=_hash(calibration),
        suspects=tuple(map(str, suspects)),
        reference=Reference(cycles=0, value=zero, outer=square, response=zero, information=square),
        level=zero,
        since=(0,) * p,
    )


def load(path: Path, calibration: Calibration, suspects: tuple[Suspect, ...]) -> Watch:
    """The watch that `drift` kept.

    Raises:
        InputError: if it is no such file, or of another calibration.
    """
    fix = "name another file; the watch begins anew, with a reference of its own"
    try:
        watch = Watch.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InputError(f"not the state of a watch ({reason})", file=path, fix=fix) from error
    if watch.calibration != _hash(calibration) or watch.suspects != tuple(map(str, suspects)):
        raise InputError("this watch is of another calibration", file=path, fix=fix)
    return watch


def _hash(calibration: Calibration) -> str:
    return hashlib.sha256(calibration.model_dump_json().encode()).hexdigest()
