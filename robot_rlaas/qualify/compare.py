"""What sets policies apart that ran on the same starts: paired tests, and intervals of the paired differences.

Intervals here are two-sided and hold one at a time; the p-values are adjusted for the whole table. Policies that share
their starts share their luck: what is left of a difference is theirs.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import stats

from robot_rlaas.cell.errors import InputError
from robot_rlaas.env.batch import Outcome
from robot_rlaas.qualify.statistics import Estimate, holm, quantile

IMPULSE = "impulse_Ns"  # of the cell's further limits, the only figure that is judged by a quantile


class Difference(NamedTuple):
    """One figure of two policies. What is not finite is None, so that a row goes into JSON as it is.

    Attributes:
        a, b: names of the policies.
        figure: "success" (a rate), "cycle_time_s" (of pairs in which both succeeded), "peak_force_N" or, where the
            cell limits it, "impulse_Ns".
        pairs: starts that count for this figure.
        value_a, value_b: each policy's rate, or its median over those starts.
        difference: a minus b; of times and forces the median of the differences, which need not be the difference of
            the medians.
        lower, upper: two-sided interval of the difference.
        p: two-sided, adjusted by Holm over all rows of the table.
        real: p says so and the interval excludes zero.
    """

    a: str
    b: str
    figure: str
    pairs: int
    value_a: float | None
    value_b: float | None
    difference: float | None
    lower: float | None
    upper: float | None
    p: float
    real: bool


def compare(
    names: Sequence[str], outcomes: Sequence[Sequence[Outcome]], confidence: float = 0.95, every_pair: bool = False
) -> list[Difference]:
    """Compare the first policy with each of the others, or every one with every other.

    Args:
        names: of the policies.
        outcomes: per policy, the same episode numbers in any order.
        confidence: of each interval, and of calling a difference real over the table as a whole.
        every_pair: also compare the others among themselves; each added pair makes every test stricter.

    Raises:
        InputError: with fewer than two policies, or if they did not run the same episodes.
    """
    ordered = _paired(names, outcomes)
    pairs = [(i, j) for i, j in combinations(range(len(names)), 2) if every_pair or i == 0]
    rows = [row for i, j in pairs for row in _rows(names[i], names[j], ordered[i], ordered[j], confidence)]
    adjusted = holm([row.p for row in rows])
    return [row._replace(p=p, real=p <= 1.0 - confidence and _excludes_zero(row)) for row, p in zip(rows, adjusted)]


def discordant_p(more: int, less: int) -> float:
    """Two-sided exact p-value of "`more` and `less` are equally likely" among the pairs that differ.

    For success this is McNemar's exact test (Psychometrika 12, 1947); for signs of differences, the sign test.
    """
    return min(1.0, 2.0 * float(stats.binom.cdf(min(more, less), more + less, 0.5)))


def paired_proportions(only_a: int, only_b: int, pairs: int, confidence: float = 0.95) -> Estimate:
    """The difference of two success rates on the same starts, a minus b, with a two-sided interval.

    Bonett and Price's adjusted Wald interval (British Journal of Mathematical and Statistical Psychology 65, 2012): one
    pair of each discordant kind is added. Where almost every start succeeds under both, it covers more and is narrower
    than Tango's score interval (Statistics in Medicine 17, 1998), and it does not degenerate without discordant pairs.

    Args:
        only_a: pairs in which a succeeded and b did not.
        only_b: the reverse.
        pairs: all of them, at least 1.
        confidence: of the interval.
    """
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    p_a, p_b = (only_a + 1) / (pairs + 2), (only_b + 1) / (pairs + 2)
    half = z * math.sqrt((p_a + p_b - (p_a - p_b) ** 2) / (pairs + 2))
    return Estimate((only_a - only_b) / pairs, max(p_a - p_b - half, -1.0), min(p_a - p_b + half, 1.0))


def median_difference(differences: np.ndarray, confidence: float = 0.95) -> Estimate:
    """The median of paired differences (n,) with a two-sided distribution-free interval.

    The interval is the sign test turned round: from an order statistic to its mirror image. Infinite where n is too
    small for it.
    """
    bounds = quantile(differences, 0.5, 0.5 + confidence / 2)
    return Estimate(float(np.median(differences)), bounds.lower, bounds.upper)


def _paired(names: Sequence[str], outcomes: Sequence[Sequence[Outcome]]) -> list[list[Outcome]]:
    """Each policy's outcomes in order of their episode numbers, which are the same for all."""
    if len(names) < 2 or len(names) != len(outcomes):
        raise InputError(
            f"{len(names)} policies with {len(outcomes)} sets of episodes", fix="name two or more policies"
        )
    ordered = [sorted(each, key=lambda outcome: outcome.episode) for each in outcomes]
    numbers = [[outcome.episode for outcome in each] for each in ordered]
    if not numbers[0] or len(set(numbers[0])) < len(numbers[0]):
        raise InputError(f"{names[0]} ran no episodes, or one of them twice", fix="run each episode once")
    for name, mine in zip(names, numbers):
        if mine != numbers[0]:
            apart = len(set(mine) ^ set(numbers[0]))
            raise InputError(
                f"{name} did not run the same episodes as {names[0]}: {len(mine)} against {len(numbers[0])}, {apart} "
                "of them run by one alone",
                fix="run all policies on the same seed and the same number of episodes",
            )
    return ordered


def _rows(a: str, b: str, mine: list[Outcome], theirs: list[Outcome], confidence: float) -> list[Difference]:
    """The figures of one pair of policies, their p-values not yet adjusted."""
    good_a, good_b = (np.array([o.success for o in each]) for each in (mine, theirs))
    only_a, only_b = int(np.sum(good_a & ~good_b)), int(np.sum(good_b & ~good_a))
    rates = paired_proportions(only_a, only_b, len(mine), confidence)
    p = discordant_p(only_a, only_b)
    times_a, times_b = (np.array([o.cycle_time_s for o in each]) for each in (mine, theirs))
    forces_a, forces_b = (np.array([o.peak_force_N for o in each]) for each in (mine, theirs))
    rows = [
        _row(a, b, "success", len(mine), (float(good_a.mean()), float(good_b.mean())), rates, p),
        _medians(a, b, "cycle_time_s", times_a, times_b, confidence),
        _medians(a, b, "peak_force_N", forces_a, forces_b, confidence),
    ]
    if IMPULSE in mine[0].figures:
        hits_a, hits_b = (np.array([o.figures[IMPULSE] for o in each]) for each in (mine, theirs))
        rows.append(_medians(a, b, IMPULSE, hits_a, hits_b, confidence))
    return rows


def _medians(a: str, b: str, figure: str, x: np.ndarray, y: np.ndarray, confidence: float) -> Difference:
    """A row of paired values (n,), from the pairs in which both are finite: a time is infinite without success."""
    both = np.isfinite(x) & np.isfinite(y)
    if not both.any():
        return Difference(a, b, figure, 0, None, None, None, None, None, 1.0, False)
    x, y = x[both], y[both]
    p = discordant_p(int(np.sum(x > y)), int(np.sum(x < y)))
    medians = float(np.median(x)), float(np.median(y))
    return _row(a, b, figure, len(x), medians, median_difference(x - y, confidence), p)


def _row(
    a: str, b: str, figure: str, pairs: int, values: tuple[float, float], estimate: Estimate, p: float
) -> Difference:
    finite = (x if math.isfinite(x) else None for x in (*values, *estimate))
    return Difference(a, b, figure, pairs, *finite, p=p, real=False)


def _excludes_zero(row: Difference) -> bool:
    return row.lower is not None and row.upper is not None and not row.lower <= 0.0 <= row.upper
