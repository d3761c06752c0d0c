"""Whether the arm in production still is the arm that was calibrated, and if not, what of it has changed.

A reference of accepted cycles says what the scores are while nothing changes. From then on one CUSUM per parameter
and direction (Page, Biometrika 41, 1954) adds up what lies beyond: S = max(0, S + w (z - 1/2) - w^2 / 2), with a weight
w in [0, 1] that is small for a cycle that could not show the change. While a cycle's z has, whatever came before it, a
mean of at most 1/2 and tails no heavier than a normal distribution of variance 1, the exponential of what is added has
a mean of at most 1. Then the sum of exp(S) over m CUSUMs, less m for every cycle, is a supermartingale, so that with a
threshold of log(m * cycles) the mean run to a false alarm is at least `cycles` (e-detectors: Shin, Ramdas and Rinaldo,
New England Journal of Statistics in Data Science 2, 2024). Cycles need not be independent.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError, model_validator

from robot_rlaas.calibrate.drift.production import LEAST_INFORMATION, Score, Scorer, Suspect, read_cycles
from robot_rlaas.calibrate.log import start_ns
from robot_rlaas.calibrate.rounding import short
from robot_rlaas.cell.calibration import Calibration, Sha256
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.cell.strict_yaml import Spec
from robot_rlaas.files import write_atomic
from robot_rlaas.sim.model import Workcell

REFERENCE_CYCLES = 50
FALSE_ALARM_CYCLES = 10_000  # mean number of cycles to a false alarm, at least
NOTICED_CYCLES = 20  # a change that takes longer is called hard to see
WOBBLE = 0.25  # parameters may vary from cycle to cycle by this part of a change: temperature, grease
CLIP = 4.0  # so that no single odd cycle raises an alarm
SLACK = 0.5  # mean of a z up to which nothing has changed
ALIKE_NATS = np.log(100.0)  # an explanation is ruled out that is less likely than the best by more than this,
ALIKE_PART = 0.03  # and by more than this part of the best: a signature bends with the size of the change
ALREADY = 0.5  # part of a change by which the reference may differ from the calibration
RECENT = 100  # cycles that are kept for the explanation and the picture


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


def drift(
    cell: CellSpec,
    workcell: Workcell,
    calibration: Calibration,
    logs: Iterable[Path],
    state: Path | None,
    on_event: Callable[[str], None] = print,
) -> Drift | None:
    """Score the cycles in logs, in the order of recording -> what has changed, or None so far.

    Args:
        cell: says how high the plate is.
        workcell: built from it.
        calibration: of this arm, accepted.
        logs: MCAP files of production, each of one cycle or many, in any order; what is older than what the watch has
            seen is passed over.
        state: where the watch is kept, as JSON, with its picture beside it. None begins anew and keeps nothing.
        on_event: gets a line about each file, about the reference and about a change.

    Raises:
        InputError: if a log cannot be read, the calibration is not for this arm, or the state not for the calibration.
    """
    from robot_rlaas.calibrate.drift.drift_plot import draw

    scorer = Scorer(cell, workcell, calibration)
    suspects = scorer.suspects
    watch = load(state, calibration, suspects) if state and state.exists() else begin(calibration, suspects)
    if state and state.suffix == ".svg":
        raise InputError("the picture goes there", file=state, fix="name a .json file")
    for path in sorted(logs, key=lambda path: start_ns(path, workcell.profile)):
        before = watch.cycles
        for end_ns, log in read_cycles(path, workcell, on_event):
            score = scorer.score(log) if end_ns > watch.until_ns and not watch.found else None
            if score is not None:
                watch = update(watch.model_copy(update={"until_ns": end_ns}), score, suspects)
                if watch.cycles == REFERENCE_CYCLES:
                    on_event(_tell_reference(watch, suspects))
        on_event(f"{path.name}: {watch.cycles - before} cycles scored, {watch.cycles} in all")
        if watch.found:
            break
    if state:
        write_atomic(state, watch.model_dump_json() + "\n")
        if watch.recent:
            write_atomic(state.with_suffix(".svg"), draw(watch, suspects))
    on_event(str(watch.found or "no change"))
    return watch.found


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


def update(watch: Watch, score: Score, suspects: tuple[Suspect, ...]) -> Watch:
    """Take in one more cycle: into the reference first, then into the CUSUMs."""
    number = watch.cycles + 1
    if watch.reference.cycles < REFERENCE_CYCLES:
        return watch.model_copy(update={"cycles": number, "reference": _add(watch.reference, score)})
    before = np.array(watch.level)
    level = np.maximum(0.0, before + step(watch.reference, score.value, score.response))
    cycle = Cycle(number=number, value=short(score.value, 5), response=short(score.response, 5), level=short(level, 5))
    watch = watch.model_copy(
        update={
            "cycles": number,
            "level": tuple(level.tolist()),
            "since": tuple(np.where(before > 0, watch.since, number - 1).tolist()),
            "recent": (*watch.recent, cycle)[-RECENT:],
        }
    )
    if level.max() < watch.threshold:
        return watch
    return watch.model_copy(update={"found": explain(watch, suspects)})


def step(reference: Reference, value: np.ndarray, response: np.ndarray) -> np.ndarray:
    """What a cycle adds to the CUSUMs, nats.

    The weight is the one with which the CUSUM would rise most were the change there, at most 1.

    Args:
        reference: what the scores are while nothing changes.
        value, response: (..., p) of a cycle's score.
    """
    n = reference.cycles
    mean = np.array(reference.value) / n
    spread = np.sqrt(np.diag(_covariance(reference)) + (WOBBLE * response) ** 2 + 1e-12)
    z = np.clip((value - mean) / spread, -CLIP, CLIP)
    weight = np.clip(response / spread - SLACK, 0.0, 1.0)
    return weight * (z - SLACK) - weight**2 / 2


def cycles_to_notice(reference: Reference) -> np.ndarray:
    """About how many cycles (p,) it takes to notice each change; infinite: it never shows."""
    response = np.array(reference.response) / reference.cycles
    rise = step(reference, np.array(reference.value) / reference.cycles + response, response)
    threshold = np.log(len(rise) * FALSE_ALARM_CYCLES)
    return np.where(rise > 0, threshold / np.maximum(rise, 1e-9), np.inf)


def explain(watch: Watch, suspects: tuple[Suspect, ...]) -> Drift:
    """Which one change explains best what the cycles have in common since the alarmed CUSUM began to rise."""
    strongest = int(np.argmax(watch.level))
    since = watch.since[strongest]
    cycles = [c for c in watch.recent if c.number > since]
    reference = watch.reference
    shift = np.mean([c.value for c in cycles], axis=0) - np.array(reference.value) / reference.cycles
    share = len(cycles) * reference.cycles / (len(cycles) + reference.cycles)  # the reference's mean is uncertain too
    likelihood = _likelihood(reference, shift, share)
    best = int(np.argmax(likelihood))
    one, rise = suspects[best], float(np.mean([c.response[best] for c in cycles]))
    change = one.change * shift[best] / rise
    half = 1.96 * abs(one.change) * np.sqrt(_covariance(reference)[best, best] / share) / rise
    enough = (1.0 - ALIKE_PART) * likelihood[best] - ALIKE_NATS
    ranked = [str(suspects[i]) for i in np.argsort(-likelihood) if likelihood[i] > enough]
    return Drift(
        cycle=watch.cycles,
        since=since,
        name=one.name,
        joint=one.joint,
        unit=one.unit,
        calibrated=one.value,
        change=change,
        lower_95=change - half,
        upper_95=change + half,
        evidence=watch.level[strongest],
        alike=tuple(name for name in dict.fromkeys(ranked) if name != str(one)),
    )


def _likelihood(reference: Reference, shift: np.ndarray, share: float) -> np.ndarray:
    """Log-likelihood ratios (p,) of each change alone, of the size that suits it, against none.

    Were it the one, the scores of all would rise as the information says; they scatter as they did in the reference.

    Args:
        reference: of the watch.
        shift: (p,) of the scores' mean.
        share: over how many cycles that mean was taken.
    """
    information = np.array(reference.information) / reference.cycles
    scale = np.sqrt(np.diag(information) + LEAST_INFORMATION)
    response = information / scale[:, None]
    noise = response / scale
    noise = np.where(np.abs(noise) < np.abs(noise.T), noise, noise.T)  # what leaves delay out does not scatter with it
    scatter = _covariance(reference) + noise + 1e-3 * np.eye(len(scale))
    filtered = np.linalg.solve(scatter, response)
    norm = np.maximum(np.einsum("ji,ji->i", response, filtered), 1e-12)
    return 0.5 * share * np.maximum(filtered.T @ shift, 0.0) ** 2 / norm


def _add(reference: Reference, score: Score) -> Reference:
    return Reference(
        cycles=reference.cycles + 1,
        value=_plus(reference.value, score.value),
        outer=_plus(reference.outer, np.outer(score.value, score.value)),
        response=_plus(reference.response, score.response),
        information=_plus(reference.information, score.information),
    )


def _plus(total: Vector | Matrix, more: np.ndarray) -> Any:
    return (np.array(total) + more).tolist()


def _covariance(reference: Reference) -> np.ndarray:
    """Of the scores' values (p, p)."""
    n = reference.cycles
    mean = np.array(reference.value) / n
    return (np.array(reference.outer) - n * np.outer(mean, mean)) / (n - 1)


def _tell_reference(watch: Watch, suspects: tuple[Suspect, ...]) -> str:
    """What its reference lets a watch see, and whether the arm is the calibrated one to begin with."""
    reference = watch.reference
    shown = {name for name, n in zip(watch.suspects, cycles_to_notice(reference)) if n <= NOTICED_CYCLES}
    late = [name for name in dict.fromkeys(watch.suspects) if name not in shown]
    text = f"the reference of {reference.cycles} cycles is complete"
    if late:
        text += f"; these motions hardly show a change of {', '.join(late)}"
    likelihood = _likelihood(reference, np.array(reference.value) / reference.cycles, reference.cycles)
    best = int(np.argmax(likelihood))
    size = reference.value[best] / max(reference.response[best], 1e-12)
    if size > ALREADY and likelihood[best] > watch.threshold:
        differs = f"{suspects[best]} by {size * suspects[best].change:+.3g}"
        text += f"; the arm already differs from its calibration, most likely in {differs}: calibrate again"
    return text


def _hash(calibration: Calibration) -> str:
    return hashlib.sha256(calibration.model_dump_json().encode()).hexdigest()
