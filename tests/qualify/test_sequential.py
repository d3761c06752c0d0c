"""The evidence against its definition, and the bounds and verdicts against their promise under peeking."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from robot_rlaas.qualify.sequential import (
    TILTS,
    WEIGHT_PERFECT,
    WEIGHTS,
    Sequential,
    log_e,
    proportion,
    quantile,
)
from robot_rlaas.qualify.statistics import Verdict

LEVEL = np.log(20)
LIMITS = {"success": 0.99, "keep_out": 0.99, "cycle_time": 0.95, "contact_force": 0.95}


@pytest.mark.parametrize("limit", [0.05, 0.5, 0.95, 0.99])
def test_evidence_is_a_mixture_of_likelihood_ratios(limit: float) -> None:
    odds = limit / (1 - limit) * np.exp(TILTS)
    rates = np.append(odds / (1 + odds), 1.0)
    weights = np.append(WEIGHTS, WEIGHT_PERFECT)
    assert weights.sum() == 1
    for good, total in [(0, 0), (0, 7), (7, 7), (95, 100), (297, 300)]:
        ratios = stats.binom.logpmf(good, total, rates) - stats.binom.logpmf(good, total, limit)
        assert log_e(good, total, limit) == pytest.approx(logsumexp(ratios, b=weights), abs=1e-9)


def test_evidence_is_finite_where_likelihoods_are_not() -> None:
    assert log_e(100_000, 100_000, 0.99) == pytest.approx(np.log(WEIGHT_PERFECT) - 1e5 * np.log(0.99))
    assert np.isfinite(log_e([0, 50_000, 99_000, 99_999], 100_000, 0.99)).all()
    assert np.isfinite(log_e([0, 1, 100_000], 100_000, [[0.0], [1.0]])).all()


@pytest.mark.parametrize("limit", [0.01, 0.5, 0.99])
def test_evidence_never_grows_on_average_unless_the_claim_holds(limit: float) -> None:
    """Exactly: over all outcomes of 200 episodes, and from any of them over the next episode."""
    good = np.arange(201)
    now = log_e(good, 200, limit)

    def log_mean(p: float) -> float:
        return float(np.logaddexp.reduce(now + stats.binom.logpmf(good, 200, p)))

    assert log_mean(limit) == pytest.approx(0.0, abs=1e-9)
    assert log_mean((1 + limit) / 2) > 0
    for p in (limit, 0.99 * limit, 0.5 * limit):
        assert log_mean(p) <= 1e-9
        following = np.logaddexp(np.log(p) + log_e(good + 1, 201, limit), np.log1p(-p) + log_e(good, 201, limit))
        assert (following <= now + 1e-9).all()


def test_evidence_falls_as_the_limit_rises() -> None:
    limits = np.linspace(0.001, 0.999, 999)
    for good, total in [(1, 1), (1, 3), (50, 100), (990, 1000), (1000, 1000)]:
        assert (np.diff(log_e(good, total, limits)) < 0).all()


@pytest.mark.parametrize("limit", [0.9, 0.95, 0.99])
def test_bounds_invert_the_verdict(limit: float) -> None:
    for total in (1, 30, 400, 3000):
        for bad in range(0, min(total, 150) + 1, 3):
            estimate = proportion(total - bad, total)
            proved, refuted = log_e(total - bad, total, limit) >= LEVEL, log_e(bad, total, 1 - limit) >= LEVEL
            assert _verdict(estimate.lower >= limit, estimate.upper < limit) == _verdict(proved, refuted)
            assert estimate.lower <= estimate.value <= estimate.upper
            mirrored = proportion(bad, total)
            assert mirrored.lower == pytest.approx(1 - estimate.upper)
            assert mirrored.upper == pytest.approx(1 - estimate.lower)


def _verdict(proved: bool, refuted: bool) -> Verdict:
    return Verdict.PASS if proved else Verdict.FAIL if refuted else Verdict.UNDECIDED


@pytest.mark.parametrize(("q", "n"), [(0.5, 60), (0.95, 40), (0.95, 500)])
def test_quantile_bounds_invert_the_verdict(q: float, n: int) -> None:
    """Also with ties and with failures, which take for ever."""
    values = np.random.default_rng(0).random(n).round(2)
    values[: n // 20] = np.inf
    estimate = quantile(values, q)
    seen = set()
    for limit in np.linspace(-0.005, 1.005, 102):
        within = int((values <= limit).sum())
        verdict = _verdict(log_e(within, n, q) >= LEVEL, log_e(n - within, n, 1 - q) >= LEVEL)
        assert _verdict(estimate.upper <= limit, estimate.lower > limit) == verdict
        seen.add(verdict)
    assert Verdict.FAIL in seen


def test_too_few_values_have_no_bound() -> None:
    assert quantile(np.arange(10.0), 0.95).upper == np.inf
    assert quantile(np.arange(2.0), 0.5).lower == -np.inf


def test_perfect_and_bad_policies_are_decided_soon() -> None:
    assert proportion(366, 366).lower >= 0.99 > proportion(365, 365).lower
    assert proportion(45, 50).upper < 0.99


def test_verdicts_stay() -> None:
    test = Sequential({"success": 0.99})
    assert test.update(np.ones((400, 1), bool)) == {"success": Verdict.PASS}
    assert test.update(np.zeros((400, 1), bool)) == {"success": Verdict.PASS}
    assert Sequential({"success": 0.99}).update(np.arange(800)[:, None] < 400) == {"success": Verdict.FAIL}


def test_many_looks_decide_whatever_one_look_decides() -> None:
    rng = np.random.default_rng(0)
    for rates in rng.uniform(0.9, 1.0, (40, 4)):
        good = rng.random((600, 4)) < rates
        once, often = Sequential(LIMITS).update(good), Sequential(LIMITS)
        for batch in np.split(good, 24):
            often.update(batch)
        decided = [name for name, verdict in once.items() if verdict != Verdict.UNDECIDED]
        assert [often.verdicts[name] for name in decided] == [once[name] for name in decided]


def test_decides_whatever_holm_decides() -> None:
    rng = np.random.default_rng(0)
    limits = np.array(list(LIMITS.values()))
    sooner = 0
    for rates in rng.uniform(0.97, 1.0, (30, 4)):
        test, peak = Sequential(LIMITS), np.full(4, -np.inf)
        for _ in range(40):
            verdicts = test.update(rng.random((25, 4)) < rates)
            passed = np.array([v == Verdict.PASS for v in verdicts.values()])
            peak = np.maximum(peak, log_e(test.good, test.total, limits))
            assert passed[_holm(peak)].all()
            sooner += passed.sum() - _holm(peak).sum()
    assert sooner > 0


def _holm(peak: np.ndarray) -> np.ndarray:
    """Which claims (claims,) Holm's step-down at 5 % proves (Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(-peak)
    enough = peak[order] >= LEVEL + np.log(np.arange(len(peak), 0, -1))
    return np.isin(np.arange(len(peak)), order[: np.argmin(np.append(enough, False))])


@pytest.mark.parametrize("together", [False, True])
def test_peeking_does_not_raise_the_error(together: bool) -> None:
    """Two of four claims on their limits, alike or independent: wrong PASS and wrong FAIL within 5 % + 3 errors."""
    rng = np.random.default_rng(0)
    wrong = np.zeros(2)
    for _ in range(300):
        test = Sequential(LIMITS)
        for _ in range(60):
            test.update(rng.random((25, 1 if together else 4)) < [0.99, 0.999, 0.95, 0.97])
        at_limit = test.verdicts["success"], test.verdicts["cycle_time"]
        wrong += Verdict.PASS in at_limit, Verdict.FAIL in test.verdicts.values()
    assert (wrong / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)).all()


@pytest.mark.parametrize("p", [0.5, 0.95, 0.99])
def test_bounds_hold_at_every_look(p: float) -> None:
    looks = np.arange(25, 1001, 25)
    good = np.random.default_rng(0).binomial(25, p, (1000, len(looks))).cumsum(axis=1)
    slack = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)
    assert (log_e(good, looks, p) >= LEVEL).any(axis=1).mean() <= slack
    assert (log_e(looks - good, looks, 1 - p) >= LEVEL).any(axis=1).mean() <= slack


def test_more_needed_is_what_it_takes() -> None:
    test = Sequential({"success": 0.99})
    assert test.more_needed() == {"success": None}
    test.update(np.ones((100, 1), bool))
    needed = test.more_needed()["success"]
    assert needed is not None
    assert 266 <= needed <= 1.03 * 266
    assert test.update(np.ones((265, 1), bool)) == {"success": Verdict.UNDECIDED}
    assert test.update(np.ones((1, 1), bool)) == {"success": Verdict.PASS}


def test_more_needed_of_several_claims() -> None:
    test = Sequential(LIMITS)
    episodes = np.arange(100)[:, None] >= [0, 1, 8, 50]
    test.update(episodes)
    needed = test.more_needed()
    assert set(needed) == {"success", "keep_out", "cycle_time"}
    assert needed["keep_out"] is None
    assert needed["cycle_time"] is not None
    for _ in range(100 + needed["cycle_time"], 0, -100):
        test.update(episodes)
    assert test.verdicts["cycle_time"] == Verdict.FAIL
