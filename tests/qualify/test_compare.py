"""Paired comparisons against published figures and against their own promise."""

import json

import numpy as np
import pytest
from scipy import stats

from robot_rlaas.cell.errors import InputError
from robot_rlaas.env.batch import Outcome
from robot_rlaas.qualify.compare import compare, discordant_p, holm, median_difference, paired_proportions


def ran(good, times=None, forces=None, first: int = 0) -> list[Outcome]:
    """Outcomes of these successes (n,), cycle times and peak forces, numbered from `first`."""
    n = len(good)
    times = np.full(n, 3.0) if times is None else times
    forces = np.full(n, 30.0) if forces is None else forces
    reached = [(1.0, 2.0, float(t)) if g else (1.0, np.inf, np.inf) for g, t in zip(good, times)]
    return [
        Outcome(first + i, bool(good[i]), reached[i][-1], float(forces[i]), False, 3, 60, 0.0, reached[i], 1.5)
        for i in range(n)
    ]


def test_published_example() -> None:
    """Airway hyper-responsiveness, 1 and 7 discordant of 21 pairs (Fagerland, Lydersen, Laake: Stat. Med. 33, 2014)."""
    estimate = paired_proportions(1, 7, 21)
    assert estimate == pytest.approx((-0.286, -0.508, -0.013), abs=5e-4)
    assert discordant_p(1, 7) == pytest.approx(0.0703, abs=5e-5)


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("discordant", [0.5, 3, 10, 20])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_paired_proportions_cover(n: int, discordant: float, share: float) -> None:
    """Exactly, by summing over all tables: rates near one differ in 0.05 % to 20 % of the pairs, to either side."""
    p_a, p_b = discordant / n * share, discordant / n * (1 - share)
    likely = int(discordant + 8 * np.sqrt(discordant)) + 5
    covered = 0.0
    for only_a in range(likely if share else 1):
        only_b = np.arange(likely)
        tables = np.stack([np.full(likely, only_a), only_b, n - only_a - only_b], axis=1)
        weight = stats.multinomial.pmf(tables, n, [p_a, p_b, 1 - p_a - p_b])
        for k in np.flatnonzero(weight > 1e-9):
            estimate = paired_proportions(only_a, int(k), n)
            covered += weight[k] * (estimate.lower <= p_a - p_b <= estimate.upper)
    assert covered >= 0.935
    assert covered <= 1.0 + 1e-9


def test_rates_without_any_difference_still_have_an_interval() -> None:
    estimate = paired_proportions(0, 0, 1000)
    assert estimate.value == 0.0
    assert estimate.upper == -estimate.lower == pytest.approx(2.77 / 1002, rel=1e-2)
    assert paired_proportions(50, 0, 50).upper == 1.0


@pytest.mark.parametrize("n", [6, 25, 200])
def test_median_difference_covers(n: int) -> None:
    """2,000 samples of a lopsided law whose median is 0: no more than 5 % and three standard errors miss it."""
    rng = np.random.default_rng(0)
    found = [median_difference(rng.exponential(1.0, n) - np.log(2)) for _ in range(2000)]
    missed = np.mean([f.lower > 0 or f.upper < 0 for f in found])
    assert missed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert missed > (0.01 if n > 6 else 0.0)  # an interval that is far too wide would not be


def test_the_interval_of_the_median_is_the_sign_test_turned_round() -> None:
    """Whatever median lies inside the interval is not rejected, whatever lies outside is."""
    differences = np.random.default_rng(1).standard_normal(40)
    lower, upper = median_difference(differences)[1:]

    def p(median: float) -> float:
        return discordant_p(int(np.sum(differences > median)), int(np.sum(differences < median)))

    assert p(lower + 1e-9) > 0.05
    assert p(lower - 1e-9) <= 0.05
    assert p(upper - 1e-9) > 0.05
    assert p(upper + 1e-9) <= 0.05
    assert np.isinf(median_difference(differences[:5]).lower)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_every_figure_of_the_first_policy_against_the_others() -> None:
    rng = np.random.default_rng(0)
    n, start = 400, rng.random(400)  # a hard start is hard for all
    quick = ran(start < 0.99, 2.0 + start + 0.1 * rng.random(n), 30 + 5 * start + rng.random(n))
    slow = ran(start < 0.95, 2.1 + start + 0.1 * rng.random(n), 30 + 5 * start + rng.random(n))
    shuffled = [slow[i] for i in rng.permutation(n)]
    rows = {row.figure: row for row in compare(["quick", "slow"], [quick, shuffled])}
    assert list(rows) == ["success", "cycle_time_s", "peak_force_N"]
    success, time, force = rows.values()
    lost = np.mean(start < 0.99) - np.mean(start < 0.95)
    assert success.difference == pytest.approx(lost)
    assert success.value_a - success.value_b == pytest.approx(lost)
    assert success.real
    assert success.lower > 0
    assert time.pairs == sum(start < 0.95)
    assert time.difference == pytest.approx(-0.1, abs=0.02)
    assert time.real
    assert force.pairs == n
    assert force.lower < 0 < force.upper
    assert not force.real


def test_what_is_paired_shows_what_the_spread_over_starts_would_hide() -> None:
    """0.05 s apart, over starts that differ by seconds."""
    rng = np.random.default_rng(2)
    start = rng.random(60) * 4
    a, b = (ran(np.ones(60), 2 + shift + start + 0.02 * rng.random(60)) for shift in (0.0, 0.05))
    time = compare(["a", "b"], [a, b])[1]
    assert time.real
    unpaired = stats.mannwhitneyu(*([o.cycle_time_s for o in each] for each in (a, b))).pvalue
    assert unpaired > 0.5


def test_p_values_are_adjusted_over_the_whole_table() -> None:
    good, other = np.ones(200, bool), np.arange(200) >= 6
    alone = compare(["a", "b"], [ran(good), ran(other)])
    assert discordant_p(6, 0) == pytest.approx(0.03125)
    assert alone[0].p == pytest.approx(3 * 0.03125)
    assert not alone[0].real
    many = compare(["a", "b", "c"], [ran(good), ran(other), ran(good)])
    assert [(row.a, row.b) for row in many[::3]] == [("a", "b"), ("a", "c")]
    assert many[0].p == pytest.approx(6 * 0.03125)
    each = compare(["a", "b", "c"], [ran(good), ran(other), ran(good)], every_pair=True)
    assert [(row.a, row.b) for row in each[::3]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert each[0].p == pytest.approx(9 * 0.03125)


@pytest.mark.parametrize("figure", [0, 1, 2])
def test_the_same_policy_twice_seldom_differs(figure: int) -> None:
    """300 tables of two equal policies: "real" in no more than 5 % and three standard errors of them."""
    rng = np.random.default_rng(figure)

    def again() -> list[Outcome]:
        return ran(rng.random(80) < 0.9, np.round(2 + rng.random(80), 1), rng.random(80))

    found = np.mean([compare(["a", "b"], [again(), again()])[figure].real for _ in range(300)])
    assert found <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_rows_go_into_json_even_without_a_common_success() -> None:
    rows = compare(["a", "b"], [ran(np.arange(10) < 5), ran(np.arange(10) >= 5)])
    time = json.loads(json.dumps([row._asdict() for row in rows], allow_nan=False))[1]
    assert time["pairs"] == 0
    assert [time[key] for key in ("value_a", "difference", "lower", "p", "real")] == [None, None, None, 1.0, False]


def test_most_pairs_equal_is_no_real_difference_of_the_median() -> None:
    """The signs differ for sure, but the typical difference is 0.00 s."""
    times = np.full(100, 3.0)
    slower = times + (np.arange(100) < 20) * 0.05
    time = compare(["a", "b"], [ran(np.ones(100), times), ran(np.ones(100), slower)])[1]
    assert time.p < 0.001
    assert time.difference == 0.0
    assert not time.real


@pytest.mark.parametrize(
    ("names", "outcomes", "message"),
    [
        (["a", "b"], [ran(np.ones(5)), ran(np.ones(5), first=1)], "2 of them run by one alone"),
        (["a", "b"], [ran(np.ones(5)), ran(np.ones(4))], "5|4"),
        (["a", "b"], [ran(np.ones(5)), ran(np.ones(5)) + ran(np.ones(1))], "6 against 5"),
        (["a", "b"], [ran(np.ones(5)) * 2, ran(np.ones(5)) * 2], "twice"),
        (["a", "b"], [[], []], "no episodes"),
        (["a"], [ran(np.ones(5))], "1 policies"),
    ],
)
def test_what_cannot_be_paired_is_refused(names, outcomes, message) -> None:
    with pytest.raises(InputError, match=message):
        compare(names, outcomes)


def test_impulses_are_compared_where_the_cell_limits_them() -> None:
    rng = np.random.default_rng(0)
    one, other = ([o._replace(figures={"impulse_Ns": hit}) for o, hit in zip(ran([True] * 60), 1 + hits)]
                  for hits in (rng.random(60), 1 + rng.random(60)))  # fmt: skip
    *_, row = compare(["soft", "hard"], [one, other])
    assert (row.figure, row.pairs, row.real) == ("impulse_Ns", 60, True)
    assert row.difference == pytest.approx(-1.0, abs=0.2)
    assert "impulse_Ns" not in {row.figure for row in compare(["a", "b"], [ran([True] * 60), ran([True] * 60)])}
