"""From episodes to verdicts on all requirements together."""

from itertools import count

import numpy as np
import pytest
from scipy import stats

from robot_rlaas.env.batch import Outcome
from robot_rlaas.qualify.claims import ALPHA, BATCH, Plan, fixed_verdicts, good, judge, limits
from robot_rlaas.qualify.statistics import Verdict, proportion, quantile
from robot_rlaas.qualify.trials import START_AXES, Trial

DONE = {"reward": 1.0, "stage": 3, "steps": 60, "stage_s": (1.0, 2.0, 3.0), "peak_at_s": 1.0}


def outcome(number: int, success=True, cycle_time_s=3.0, peak_force_N=30.0, keep_out=False) -> Outcome:
    return Outcome(
        episode=number,
        success=success,
        cycle_time_s=cycle_time_s if success else float("inf"),
        peak_force_N=peak_force_N,
        keep_out=keep_out,
        **DONE,
    )


def episodes(rng: np.random.Generator, success: float, force: float = 1.0):
    """Endless trials: good with these probabilities."""
    for number in count():
        yield Trial(
            outcome(number, bool(rng.random() < success), peak_force_N=30.0 if rng.random() < force else 90.0),
            np.zeros(len(START_AXES)),
        )


def test_each_requirement_is_a_claim_about_an_episode(cell) -> None:
    shown = [
        outcome(0),
        outcome(1, success=False),
        outcome(2, cycle_time_s=6.05),
        outcome(3, peak_force_N=60.5),
        outcome(4, keep_out=True),
        outcome(5, cycle_time_s=6.0, peak_force_N=60.0),
        outcome(6, peak_force_N=float("nan")),
    ]
    assert list(limits(cell)) == ["success", "cycle_time", "contact_force", "keep_out"]
    assert good(cell, shown).tolist() == [
        [True, True, True, True],
        [False, False, True, True],
        [True, False, True, True],
        [True, True, False, True],
        [True, True, True, False],
        [True, True, True, True],
        [True, True, False, True],
    ]


@pytest.mark.parametrize(("count", "verdict"), [(1000, "PASS"), (996, "PASS"), (995, "UNDECIDED"), (970, "FAIL")])
def test_one_claim_alone_is_the_exact_test(count: int, verdict: str) -> None:
    assert fixed_verdicts({"success": count}, 1000, {"success": 0.99})["success"] == verdict
    assert (proportion(count, 1000).lower >= 0.99) == (verdict == "PASS")


def test_a_quantile_within_its_limit_is_the_same_claim() -> None:
    """The order-statistic bound and the binomial test agree, whatever the values."""
    rng = np.random.default_rng(0)
    for spread in (10.0, 14.0, 18.0, 22.0):
        forces = 30 + spread * rng.random(400) * 2
        within = int((forces <= 60.0).sum())
        verdict = fixed_verdicts({"force": within}, 400, {"force": 0.95})["force"]
        assert (quantile(forces, 0.95).upper <= 60.0) == (verdict == Verdict.PASS)


def test_four_claims_at_their_limits_rarely_pass_together_or_alone() -> None:
    rng = np.random.default_rng(1)
    edge = dict.fromkeys("abcd", 0.95)
    wrong = 0
    for _ in range(2000):
        counts = dict(zip(edge, rng.binomial(300, 0.95, 4).tolist()))
        wrong += Verdict.PASS in fixed_verdicts(counts, 300, edge).values()
    assert wrong / 2000 <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 2000)
    assert stats.binom.sf(wrong - 1, 2000, ALPHA / 40) < 1e-6, "so strict that nothing ever passes"


def test_a_sequential_plan_stops_once_everything_stands(cell) -> None:
    bad = judge(cell, episodes(np.random.default_rng(0), 0.5), Plan(4000))
    assert bad.verdicts["success"] == Verdict.FAIL
    assert set(bad.verdicts.values()) == {Verdict.FAIL, Verdict.PASS}
    fine = judge(cell, episodes(np.random.default_rng(0), 1.0), Plan(4000))
    assert set(fine.verdicts.values()) == {Verdict.PASS}
    assert len(bad.trials) <= 500, "success fails at once, keep_out needs its episodes all the same"
    assert len(fine.trials) <= 500
    assert len(fine.trials) % BATCH == 0
    assert fine.more_needed == {}


def test_a_borderline_policy_uses_the_budget_and_is_told_how_much_is_missing(cell) -> None:
    judgement = judge(cell, episodes(np.random.default_rng(3), 0.9945), Plan(600))
    assert len(judgement.trials) == 600
    assert judgement.verdicts["success"] == Verdict.UNDECIDED
    more = judgement.more_needed["success"]
    assert more is not None
    assert more > 100


def test_a_fixed_plan_runs_exactly_its_number(cell) -> None:
    judgement = judge(cell, episodes(np.random.default_rng(0), 0.2), Plan(130, sequential=False))
    assert [t.outcome.episode for t in judgement.trials] == list(range(130))
    assert judgement.verdicts["success"] == Verdict.FAIL
