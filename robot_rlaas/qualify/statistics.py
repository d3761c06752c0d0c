"""Exact one-sided confidence bounds from a number of episodes that was fixed beforehand.

`lower_95` and `upper_95` are one-sided bounds: each alone holds with 95 % confidence. That is the convention under
which 30 successes in 30 trials claim 0.905 (NIST assembly task boards).
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from scipy import stats


class Verdict(StrEnum):
    """What can be said about a requirement at the stated confidence."""

    PASS = "PASS"
    FAIL = "FAIL"
    UNDECIDED = "UNDECIDED"


class Estimate(NamedTuple):
    """A figure with its one-sided lower and upper bounds."""

    value: float
    lower: float
    upper: float


def proportion(count: int, total: int, confidence: float = 0.95) -> Estimate:
    """A rate with Clopper and Pearson's exact bounds (Biometrika 26, 1934).

    Args:
        count: how often it happened.
        total: how often it could have, at least 1.
        confidence: of each bound alone.
    """
    alpha = 1.0 - confidence
    lower = stats.beta.ppf(alpha, count, total - count + 1) if count > 0 else 0.0
    upper = stats.beta.ppf(confidence, count + 1, total - count) if count < total else 1.0
    return Estimate(count / total, float(lower), float(upper))


def quantile(values: np.ndarray, q: float, confidence: float = 0.95) -> Estimate:
    """A quantile with distribution-free bounds from order statistics (David and Nagaraja, Order Statistics, 7.1).

    The k-th smallest of n values is an upper bound of the q-quantile when Binomial(n, q) < k with probability
    `confidence`, and a lower bound when Binomial(n, q) >= k with that probability. Where n is too small for a bound, it
    is infinite.

    Args:
        values: (n,); may hold inf.
        q: in (0, 1).
        confidence: of each bound alone.
    """
    ordered = np.sort(values)
    n = len(ordered)
    k_upper = int(stats.binom.ppf(confidence, n, q)) + 1
    k_lower = int(stats.binom.ppf(1.0 - confidence, n, q))
    upper = float(ordered[k_upper - 1]) if k_upper <= n else float("inf")
    lower = float(ordered[k_lower - 1]) if k_lower >= 1 else float("-inf")
    return Estimate(float(ordered[int(np.ceil(q * n)) - 1]), lower, upper)


def difference(count_a: int, total_a: int, count_b: int, total_b: int, confidence: float = 0.95) -> Estimate:
    """Rate a minus rate b of independent samples, with one-sided bounds.

    Newcombe's hybrid of Wilson's score bounds (Statistics in Medicine 17, 1998, method 10): unlike Wald's, it neither
    degenerates nor leaves [-1, 1] where a rate is 1.
    """
    a, b = (_wilson(count, total, confidence) for count, total in ((count_a, total_a), (count_b, total_b)))
    value = a.value - b.value
    below, above = np.hypot(a.value - a.lower, b.upper - b.value), np.hypot(a.upper - a.value, b.value - b.lower)
    return Estimate(value, float(value - below), float(value + above))


def _wilson(count: int, total: int, confidence: float) -> Estimate:
    z, rate = float(stats.norm.ppf(confidence)), count / total
    centre = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z * np.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return Estimate(rate, centre - half, centre + half)


def holm(p: Sequence[float]) -> list[float]:
    """P-values adjusted for there being several (Holm, Scandinavian Journal of Statistics 6, 1979), in their order."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return adjusted.tolist()
