"""The boundaries against their promise, exactly; the bounds and verdicts against each other, under peeking."""

import numpy as np
import pytest
from scipy import stats

from robot_rlaas.qualify.sequential import POWER, Sequential, boundary, looks_of, proportion, quantile
from robot_rlaas.qualify.statistics import Verdict

ALPHA = 0.05
LIMITS = {"success": 0.99, "keep_out": 0.99, "cycle_time": 0.95, "contact_force": 0.95}
LOOKS = looks_of(1000, 25)


def _proved(limit: float, looks: tuple[int, ...], alpha: float, p: float) -> np.ndarray:
    """The probability that more than `limit` is proved by each look, episode by episode, unlike the code."""
    going_on, proved, total = np.zeros(looks[-1] + 2), 0.0, []
    going_on[0] = 1.0
    allowed = dict(zip(looks, boundary(limit, looks, alpha)))
    for n in range(1, looks[-1] + 1):
        going_on = p * going_on + (1 - p) * np.append(0.0, going_on[:-1])
        if n in allowed:
            proved += going_on[: allowed[n] + 1].sum()
            going_on[: allowed[n] + 1] = 0.0
            total.append(proved)
    return np.array(total)


def test_looks_end_with_the_plan() -> None:
    assert looks_of(120, 50) == (50, 100, 120)
    assert looks_of(100, 50) == (50, 100)
    assert looks_of(30, 50) == (30,)


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.5, 0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("looks", [looks_of(1000, 50), looks_of(330, 50), (40,)])
def test_a_wrong_proof_is_no_likelier_than_what_may_be_spent(limit: float, looks: tuple[int, ...]) -> None:
    """At every look, exactly, on the limit and below it."""
    spent, may = _proved(limit, looks, ALPHA, limit), ALPHA * (np.array(looks) / looks[-1]) ** POWER
    assert (spent <= may + 1e-12).all()
    assert (_proved(limit, looks, ALPHA, 0.97 * limit) <= spent).all()


@pytest.mark.parametrize("limit", [0.05, 0.95, 0.99])
def test_little_is_left_unspent(limit: float) -> None:
    assert _proved(limit, looks_of(4000, 50), ALPHA, limit)[-1] > 0.047


def test_one_look_is_the_exact_test() -> None:
    """Lower neighbours are no obstacle where whole numbers cannot hurt."""
    for limit in (0.5, 0.9, 0.99):
        most = int(boundary(limit, (600,), ALPHA)[0])
        assert stats.binom.cdf(most, 600, 1 - limit) <= ALPHA < stats.binom.cdf(most + 1, 600, 1 - limit)


@pytest.mark.parametrize("alpha", [ALPHA, ALPHA / 4])
@pytest.mark.parametrize("limit", [0.05, 0.5, 0.95, 0.99])
def test_what_rejects_a_limit_rejects_all_below_it(limit: float, alpha: float) -> None:
    for end in (120, 1000, 4000):
        allowed = np.array([boundary(limit, looks_of(end, 50), alpha, step) for step in range(-40, 41)])
        assert (np.diff(allowed, axis=0) <= 0).all()
        assert (np.diff(allowed, axis=1) >= 0).all()


@pytest.mark.parametrize("limit", [0.05, 0.9, 0.99])
def test_bounds_and_verdict_agree_at_every_look(limit: float) -> None:
    rng, seen = np.random.default_rng(0), set()
    for p in limit + np.sqrt(limit * (1 - limit) / 1000) * np.array([-6, -3, -1.5, 0, 1.5, 3, 6]):
        good = rng.random(1000) < p
        test = Sequential({"claim": limit}, LOOKS)
        for before, n in zip((0, *LOOKS), LOOKS):
            verdict = test.update(good[before:n, None])["claim"]
            if n % 200 == 0:
                estimate = proportion(good[:n], limit, LOOKS)
                assert estimate.lower < estimate.upper
                assert _verdict(estimate.lower >= limit, estimate.upper <= limit) == verdict
                mirrored = proportion(~good[:n], round(1 - limit, 12), LOOKS)
                assert mirrored.lower == pytest.approx(1 - estimate.upper, abs=1e-9)
                seen.add(verdict)
    assert seen == set(Verdict)


def _verdict(proved: bool, refuted: bool) -> Verdict:
    return Verdict.PASS if proved else Verdict.FAIL if refuted else Verdict.UNDECIDED


@pytest.mark.parametrize("p", [0.5, 0.95, 0.99])
def test_bounds_hold_at_every_look(p: float) -> None:
    """Those of a limit far from p too; they tighten from look to look, so the last look has the tightest."""
    rng, missed = np.random.default_rng(0), np.zeros(2)
    for _ in range(300):
        estimate = proportion(rng.random(1000) < p, 0.9, LOOKS)
        missed += estimate.lower > p, estimate.upper < p
    assert (missed / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)).all()


def test_bounds_only_tighten() -> None:
    good = np.random.default_rng(1).random(1000) < 0.97
    found = [proportion(good[:n], 0.95, LOOKS) for n in LOOKS]
    assert (np.diff([e.lower for e in found]) >= 0).all()
    assert (np.diff([e.upper for e in found]) <= 0).all()
    assert proportion(good[:10], 0.95, LOOKS)[1:] == (0.0, 1.0), "before the first look there is none"


def test_bounds_at_the_ends() -> None:
    every, none = (proportion(np.full(1000, flag), 0.99, LOOKS) for flag in (True, False))
    assert (every.upper, none.lower) == (1.0, 0.0)
    assert every.lower > 0.99
    assert none.upper < 0.01


@pytest.mark.parametrize(("q", "n"), [(0.5, 50), (0.95, 25), (0.95, 500)])
def test_quantile_bounds_invert_the_verdict(q: float, n: int) -> None:
    """Also with ties, with failures, which take for ever, and with what nobody could measure."""
    values = np.random.default_rng(0).random(n).round(2)
    values[: n // 20], values[-1] = np.inf, np.nan
    estimate = quantile(values, q, LOOKS)
    seen = set()
    for limit in np.linspace(-0.005, 1.005, 102):
        test = Sequential({"claim": q}, LOOKS)
        for batch in np.split(values <= limit, n // 25):
            test.update(batch[:, None])
        assert _verdict(estimate.upper <= limit, estimate.lower > limit) == test.verdicts["claim"]
        seen.add(test.verdicts["claim"])
    assert Verdict.FAIL in seen


def test_too_few_values_have_no_bound() -> None:
    assert quantile(np.arange(25.0), 0.95, LOOKS).upper == np.inf
    assert quantile(np.arange(2.0), 0.5, LOOKS).lower == -np.inf


def test_perfect_and_bad_policies_are_decided_soon() -> None:
    looks = looks_of(4000, 50)
    perfect, bad = (Sequential({"success": 0.99}, looks) for _ in range(2))
    for _ in range(7):
        assert perfect.update(np.ones((50, 1), bool)) == {"success": Verdict.UNDECIDED}
    assert perfect.update(np.ones((50, 1), bool)) == {"success": Verdict.PASS}
    assert bad.update(np.arange(50)[:, None] < 45) == {"success": Verdict.FAIL}


def test_verdicts_stay() -> None:
    test = Sequential({"success": 0.99}, (400, 800))
    assert test.update(np.ones((400, 1), bool)) == {"success": Verdict.PASS}
    assert test.update(np.zeros((400, 1), bool)) == {"success": Verdict.PASS}


@pytest.mark.parametrize("batches", [[30], [50, 49], [50, 50, 20, 1]])
def test_looks_that_were_not_planned_are_refused(batches: list[int]) -> None:
    test = Sequential({"success": 0.99}, looks_of(120, 50))
    for size in batches[:-1]:
        test.update(np.ones((size, 1), bool))
    with pytest.raises(ValueError, match="were planned at"):
        test.update(np.ones((batches[-1], 1), bool))


def test_verdicts_of_a_family_are_those_of_the_closed_test() -> None:
    """Against its definition, written out; it decides all that Bonferroni's adjustment does, and more."""
    rng, more = np.random.default_rng(0), 0
    for _ in range(30):
        rates = rng.uniform(0.97, 1.0, 4)
        test, missed, ever = Sequential(LIMITS, LOOKS), np.zeros(4, int), np.zeros((4, 4), bool)
        for look in range(len(LOOKS)):
            batch = rng.random((25, 4)) < rates
            test.update(batch)
            missed += (~batch).sum(axis=0)
            for level in range(4):
                allowed = [boundary(x, LOOKS, ALPHA / (level + 1))[look] for x in LIMITS.values()]
                ever[level] |= missed <= allowed
        for claim, verdict in enumerate(test.verdicts.values()):
            holding = [s for s in _subsets() if claim in s]
            passed = all(any(ever[len(s) - 1][i] for i in s) for s in holding)
            assert passed == (verdict == Verdict.PASS)
            assert passed >= ever[3][claim]
            more += int(passed) - int(ever[3][claim])
    assert more > 0


def _subsets() -> list[set[int]]:
    return [{i for i in range(4) if number >> i & 1} for number in range(1, 16)]


@pytest.mark.parametrize("together", [False, True])
def test_peeking_does_not_raise_the_error(together: bool) -> None:
    """Two of four claims on their limits, alike or independent: wrong PASS and wrong FAIL within 5 % + 3 errors."""
    rng = np.random.default_rng(0)
    wrong = np.zeros(2)
    for _ in range(300):
        test = Sequential(LIMITS, LOOKS)
        for _ in LOOKS:
            test.update(rng.random((25, 1 if together else 4)) < [0.99, 0.999, 0.95, 0.97])
        at_limit = test.verdicts["success"], test.verdicts["cycle_time"]
        wrong += Verdict.PASS in at_limit, Verdict.FAIL in test.verdicts.values()
    assert (wrong / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)).all()


def test_more_needed_is_about_what_a_longer_plan_takes() -> None:
    test = Sequential({"success": 0.99}, looks_of(1000, 50))
    assert test.more_needed() == {"success": None}
    good = np.arange(1000) % 200 > 0
    for batch in np.split(good, 20):
        test.update(batch[:, None])
    more = test.more_needed()["success"]
    assert more is not None
    for factor, verdict in ((0.7, Verdict.UNDECIDED), (1.3, Verdict.PASS)):
        end = round((1000 + more) * factor / 50) * 50
        longer = Sequential({"success": 0.99}, looks_of(end, 50))
        for batch in np.split(np.arange(end) % 200 > 0, end // 50):
            longer.update(batch[:, None])
        assert longer.verdicts["success"] == verdict


def test_more_needed_of_several_claims() -> None:
    test = Sequential(LIMITS, looks_of(100, 50))
    for batch in np.split(np.arange(100)[::-1, None] >= [0, 1, 8, 50], 2):
        test.update(batch)
    needed = test.more_needed()
    assert set(needed) == {"success", "keep_out", "cycle_time"}
    assert needed["keep_out"] is None
    assert needed["cycle_time"] is not None
