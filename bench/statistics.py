"""What the statistics of qualification promise and what they cost.

Exact where possible: the number of bad episodes at each look follows by convolution, so the error rates and the mean
number of episodes of one claim's test need no simulation.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from bench.measurements import Figure, at_least, at_most
from robot_rlaas.qualify import statistics
from robot_rlaas.qualify.claims import ALPHA, BATCH, fixed_verdicts
from robot_rlaas.qualify.sequential import Sequential, boundary, looks_of
from robot_rlaas.qualify.statistics import Verdict

BUDGET = 4000
REPETITIONS = 2000
RATES = (0.5, 0.9, 0.95, 0.99, 0.995, 0.999)
LIMITS = (0.99, 0.95)
DISTANCES = (2, 3, 4, 5, 6, 8, 10)
CLAIMS = {"success": 0.99, "keep_out": 0.99, "cycle_time": 0.95, "contact_force": 0.95}
FAMILIES = 200


class Rule(NamedTuple):
    """At look i, after n[i] episodes: PASS with at most bad[i] bad ones, FAIL with at most good[i] good; -1: never."""

    n: np.ndarray
    bad: np.ndarray
    good: np.ndarray


class Course(NamedTuple):
    """Look by look: the probability of PASS and of FAIL by then, and the mean number of episodes if none follows."""

    passed: np.ndarray
    failed: np.ndarray
    episodes: np.ndarray


def rule(limit: float, end: int) -> Rule:
    """The sequential test of one claim, looked at after every batch up to `end`, a multiple of BATCH."""
    looks = looks_of(end, BATCH)
    return Rule(
        np.array(looks), boundary(limit, looks, ALPHA), boundary(float(np.round(1.0 - limit, 12)), looks, ALPHA)
    )


def course(rule: Rule, p: float) -> Course:
    """What becomes of a policy whose episodes are good with probability p."""
    batch = stats.binom.pmf(np.arange(BATCH + 1), BATCH, 1.0 - p)
    alive = np.ones(1)
    looks = []
    for n, most_bad, most_good in zip(*rule):
        before = alive.sum()
        alive = np.convolve(alive, batch)
        looks.append((alive[: most_bad + 1].sum(), alive[n - most_good :].sum(), before * BATCH))
        alive = alive[: n - most_good]
        alive[: most_bad + 1] = 0.0
    return Course(*np.cumsum(looks, axis=0).T)


def interval_coverage() -> dict[str, Figure]:
    """How often bounds hold, at one look and at all looks, and how often a policy on its limit gets PASS."""
    bounds = [statistics.proportion(k, 1000) for k in range(1001)]
    lower, upper = (np.array([getattr(b, side) for b in bounds]) for side in ("lower", "upper"))
    rng = np.random.default_rng(0)
    never = np.full(BUDGET // BATCH, -1)
    fixed, anytime = [], []
    print("  policy   fixed, n = 1000   every look to 4000   2,000 simulated (lower, upper bound)")
    for p in RATES:
        weight = stats.binom.pmf(np.arange(1001), 1000, p)
        once = float(weight[lower <= p].sum()), float(weight[upper >= p].sum())
        test = rule(p, BUDGET)
        excluded = course(test._replace(good=never), p).passed[-1], course(test._replace(bad=never), p).failed[-1]
        always = tuple(1.0 - float(x) for x in excluded)
        drawn = rng.binomial(BATCH, 1.0 - p, (REPETITIONS, len(never))).cumsum(axis=1)
        held = (drawn > test.bad).all(axis=1).mean(), (test.n - drawn > test.good).all(axis=1).mean()
        print(f"  {p:<7g} " + "   ".join(f"{a:7.4f} {b:7.4f}" for a, b in (once, always, held)), flush=True)
        fixed += once
        anytime += always
    alone = {limit: float(course(rule(limit, BUDGET)._replace(good=never), limit).passed[-1]) for limit in LIMITS}
    family = {together: _wrong_pass(together) for together in (False, True)}
    simulated = np.sqrt(ALPHA * (1 - ALPHA) / REPETITIONS)
    print(f"  wrong PASS: on the limit alone {alone}, two of four claims, independent or not {family}", flush=True)
    return {
        "interval_coverage/fixed": at_least(min(fixed), "1", 1 - ALPHA),
        "interval_coverage/anytime": at_least(min(anytime), "1", 1 - ALPHA),
        "interval_coverage/wrong_pass": at_most(max(alone.values()), "1", ALPHA),
        "interval_coverage/wrong_pass_of_family": at_most(max(family.values()), "1", ALPHA + 3 * simulated),
    }


def _wrong_pass(together: bool) -> float:
    """How often any of two claims on their limits gets PASS beside two that hold, looked at after every batch."""
    rates = [0.99, 0.999, 0.95, 0.97]
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(REPETITIONS):
        test = Sequential(CLAIMS, looks_of(BUDGET, BATCH), ALPHA)
        for _ in range(BUDGET // BATCH):
            verdicts = test.update(rng.random((BATCH, 1 if together else 4)) < rates)
            if Verdict.PASS in (verdicts["success"], verdicts["cycle_time"]):
                wrong += 1
                break
    return wrong / REPETITIONS


def fixed_power(n: np.ndarray, limit: float, p: float) -> np.ndarray:
    """How likely the exact one-sided test of size n decides rightly for a policy p off the limit."""
    if p < limit:
        limit, p = 1.0 - limit, 1.0 - p
    return stats.binom.sf(stats.binom.isf(ALPHA, n, limit), n, p)


def fewest_possible(limit: float, p: float, power: float) -> float:
    """Wald's bound on the mean number of episodes of any test with these errors (Annals 16, 1945)."""
    miss = 1.0 - power
    gain = stats.entropy([p, 1.0 - p], [limit, 1.0 - limit])
    return float(stats.entropy([power, miss], [ALPHA, 1.0 - ALPHA]) / gain)


class Saving(NamedTuple):
    """One policy, `distance` standard errors of the planned test off the limit; power: of deciding rightly.

    Attributes:
        planned: power of the exact test of fixed size BUDGET.
        power, episodes: of the sequential test that ends at BUDGET.
        ends, mean, reached: where a sequential test must end for the planned power, its mean number of episodes, and
            its power, which may fall short by those that got the wrong verdict first.
        ratio: BUDGET over `mean`: what is saved at equal power.
        possible: BUDGET over the fewest episodes any test with the planned test's errors may need (Wald).
    """

    limit: float
    distance: float
    p: float
    planned: float
    power: float
    episodes: float
    ends: int
    mean: float
    reached: float
    ratio: float
    possible: float


def saving(limit: float, distance: float) -> Saving:
    p = min(limit + distance * _se(limit), 1.0)
    planned = float(fixed_power(np.array(BUDGET), limit, p))
    ends = BUDGET
    first = last = course(rule(limit, ends), p)
    while last.passed[-1] + last.failed[-1] < planned - 1e-9:
        ends += BATCH
        last = course(rule(limit, ends), p)
    (power, episodes), (reached, mean) = (
        (float((run.passed if p > limit else run.failed)[-1]), float(run.episodes[-1])) for run in (first, last)
    )
    possible = BUDGET / fewest_possible(limit, p, planned)
    return Saving(limit, distance, p, planned, power, episodes, ends, mean, reached, BUDGET / mean, possible)


def _se(limit: float) -> float:
    return float(np.sqrt(limit * (1.0 - limit) / BUDGET))


def family_saving(distance: float) -> float:
    """Four independent claims, all `distance` standard errors better than their limits: simulated until all stand.

    Returns:
        BUDGET over the mean number of episodes of the sequential test that proves all four as often as the exact tests
        of fixed size BUDGET with Holm's adjustment do.
    """
    rates = [min(1.0, limit + distance * _se(limit)) for limit in CLAIMS.values()]
    rng = np.random.default_rng(0)
    batches = rng.binomial(BATCH, rates, (FAMILIES, 2 * BUDGET // BATCH, len(rates)))
    counts = batches[:, : BUDGET // BATCH].sum(axis=1).tolist()
    planned = np.mean([_all_pass(fixed_verdicts(dict(zip(CLAIMS, run)), BUDGET, CLAIMS)) for run in counts])
    ends = BUDGET
    first = last = _families(batches, ends)
    while last[0] < planned and ends < 2 * BUDGET:
        ends += 4 * BATCH
        last = _families(batches, ends)
    print(
        f"  four claims, {distance:+3g} se: {planned:.3f} | {first[0]:.3f} {first[1]:5.0f} {BUDGET / first[1]:6.2f}"
        f" | {ends:5d}: {last[0]:.3f} {last[1]:5.0f} {BUDGET / last[1]:6.2f}",
        flush=True,
    )
    return BUDGET / last[1]


def _families(batches: np.ndarray, end: int) -> tuple[float, float]:
    """How often the sequential test gives PASS to all claims, and its mean number of episodes.

    Args:
        batches: (families, batches, claims) good episodes.
        end: of the test.
    """
    looks, used, proved = looks_of(end, BATCH), [], []
    for run in batches:
        test = Sequential(CLAIMS, looks, ALPHA)
        for good in run[: len(looks)]:
            test.update(np.arange(BATCH)[:, None] < good)
            if Verdict.UNDECIDED not in test.verdicts.values():
                break
        used.append(test.total)
        proved.append(_all_pass(test.verdicts))
    return float(np.mean(proved)), float(np.mean(used))


def _all_pass(verdicts: dict[str, Verdict]) -> bool:
    return set(verdicts.values()) == {Verdict.PASS}


def sequential_saving() -> dict[str, Figure]:
    """How many times fewer episodes than an exact test of fixed size with equal power; the least of all policies."""
    signed = sorted(sign * d for d in DISTANCES for sign in (-1, 1))
    rows = [saving(limit, d) for limit in LIMITS for d in signed if limit + d * _se(limit) < 1.0]
    rows += [saving(limit, (1.0 - limit) / _se(limit)) for limit in LIMITS]
    print("  policy                   power | within the budget   | with the planned power")
    print("                                 | power   mean  saved | ends   power   mean  saved possible share")
    for r in rows:
        within = f"{r.power:.4f} {r.episodes:5.0f} {BUDGET / r.episodes:6.2f}"
        equal = (
            f"{r.ends:5d}: {r.reached:.4f} {r.mean:5.0f} {r.ratio:6.2f} {r.possible:6.2f} {r.ratio / r.possible:6.2f}"
        )
        print(f"  {r.limit} {r.distance:+6.2f} se {r.p:.5f} {r.planned:.4f} | {within} | {equal}")
    at = {d: [r for r in rows if abs(r.distance) == d] for d in DISTANCES}
    least = {d: min(r.ratio for r in found) for d, found in at.items()}
    share = {d: min(r.ratio / r.possible for r in found) for d, found in at.items()}
    families = {d: family_saving(d) for d in DISTANCES}
    return {
        "sequential_saving": at_least(min(least.values()), "1", 3),
        **{f"sequential_saving/{d}_se": Figure(ratio, "1", None, None) for d, ratio in least.items()},
        **{f"sequential_saving/{d}_se_of_possible": Figure(part, "1", None, None) for d, part in share.items()},
        **{f"sequential_saving/{d}_se_family": Figure(ratio, "1", None, None) for d, ratio in families.items()},
    }


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {
    "interval_coverage": interval_coverage,
    "sequential_saving": sequential_saving,
}
