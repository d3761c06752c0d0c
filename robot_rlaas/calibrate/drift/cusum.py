"""How a watch takes in a cycle: CUSUMs that add up what lies beyond the reference, and what an alarm is about.

A reference of accepted cycles says what the scores are while nothing changes. From then on one CUSUM per parameter
and direction (Page, Biometrika 41, 1954) adds up what lies beyond: S = max(0, S + w (z - 1/2) - w^2 / 2), with a weight
w in [0, 1] that is small for a cycle that could not show the change. While a cycle's z has, whatever came before it, a
mean of at most 1/2 and tails no heavier than a normal distribution of variance 1, the exponential of what is added has
a mean of at most 1. Then the sum of exp(S) over m CUSUMs, less m for every cycle, is a supermartingale, so that with a
threshold of log(m * cycles) the mean run to a false alarm is at least `cycles` (e-detectors: Shin, Ramdas and Rinaldo,
New England Journal of Statistics in Data Science 2, 2024). Cycles need not be independent.
"""

from typing import Any

import numpy as np

from robot_rlaas.calibrate.drift.production import LEAST_INFORMATION, Score, Suspect
from robot_rlaas.calibrate.drift.watch import FALSE_ALARM_CYCLES, Cycle, Drift, Matrix, Reference, Vector, Watch
from robot_rlaas.calibrate.rounding import short

WOBBLE = 0.25  # parameters may vary from cycle to cycle by this part of a change: temperature, grease
CLIP = 4.0  # so that no single odd cycle raises an alarm
SLACK = 0.5  # mean of a z up to which nothing has changed
ALIKE_NATS = np.log(100.0)  # an explanation is ruled out that is less likely than the best by more than this,
ALIKE_PART = 0.03  # and by more than this part of the best: a signature bends with the size of the change
RECENT = 100  # cycles that are kept for the explanation and the picture


def update(watch: Watch, score: Score, suspects: tuple[Suspect, ...]) -> Watch:
    """Take in one more cycle: into the reference first, then into the CUSUMs."""
    number = watch.cycles + 1
    if not watch.reference.complete:
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
    likelihood = likelihoods(reference, shift, share)
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


def likelihoods(reference: Reference, shift: np.ndarray, share: float) -> np.ndarray:
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
