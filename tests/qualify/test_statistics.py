"""The bounds against published values and against their own promise."""

import numpy as np
import pytest
from scipy import stats

from robot_rlaas.qualify.statistics import proportion, quantile


def test_nist_convention() -> None:
    """30 of 30 claims 0.905 at 95 % (NIST assembly task boards)."""
    assert proportion(30, 30).lower == pytest.approx(0.905, abs=5e-4)


def test_all_or_nothing() -> None:
    assert proportion(0, 50).lower == 0.0
    assert proportion(50, 50).upper == 1.0


def test_bounds_solve_the_binomial_tail_equations() -> None:
    estimate = proportion(990, 1000)
    assert stats.binom.sf(989, 1000, estimate.lower) == pytest.approx(0.05, abs=1e-9)
    assert stats.binom.cdf(990, 1000, estimate.upper) == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.99, 0.999])
def test_proportion_bounds_cover(p: float) -> None:
    """Exactly, by summing over all outcomes: no more than 5 % of them exclude the truth on either side."""
    n = 300
    weight = stats.binom.pmf(np.arange(n + 1), n, p)
    bounds = [proportion(k, n) for k in range(n + 1)]
    assert sum(w for w, b in zip(weight, bounds) if b.lower > p) <= 0.05
    assert sum(w for w, b in zip(weight, bounds) if b.upper < p) <= 0.05


@pytest.mark.parametrize(("q", "n"), [(0.5, 40), (0.95, 200), (0.95, 1000)])
def test_quantile_bounds_cover(q: float, n: int) -> None:
    """2,000 samples of a uniform law, whose q-quantile is q: misses stay within 5 % plus three standard errors."""
    rng = np.random.default_rng(0)
    found = [quantile(rng.random(n), q) for _ in range(2000)]
    slack = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert np.mean([f.lower > q for f in found]) <= slack
    assert np.mean([f.upper < q for f in found]) <= slack


def test_too_few_values_have_no_upper_bound() -> None:
    assert quantile(np.arange(10.0), 0.95).upper == np.inf


def test_failures_count_as_infinite_times() -> None:
    times = np.concatenate([np.full(900, 3.0), np.full(100, np.inf)])
    assert quantile(times, 0.95).lower == np.inf
    assert quantile(times, 0.80).upper == 3.0
