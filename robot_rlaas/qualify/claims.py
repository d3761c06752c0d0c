"""Each requirement as a claim about single episodes, and the verdicts on all of them together.

As `cell.limits` has them, all requirements are of one form. So one test serves all.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from scipy import stats

from robot_rlaas.cell.limits import limits_of
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import Outcome
from robot_rlaas.qualify.sequential import Sequential, looks_of
from robot_rlaas.qualify.statistics import Verdict, holm
from robot_rlaas.qualify.trials import Trial

ALPHA = 0.05  # of any wrong PASS, and of any wrong FAIL, over all requirements together
BATCH = 50


class Plan(NamedTuple):
    """How many episodes are run.

    Attributes:
        episodes: exactly so many, or at most where it is sequential. The test is made for that end: to go on beyond it
            with the same episodes because it left something open is no plan.
        sequential: look after every BATCH episodes and stop once every verdict stands.
        held_out: episodes per held-out factor; 0 for none.
        sensitivity: episodes per point of the sensitivity curves; 0 for none.
    """

    episodes: int
    sequential: bool = True
    held_out: int = 0
    sensitivity: int = 0


class Judgement(NamedTuple):
    """What the episodes prove.

    Attributes:
        trials: the episodes that were run, in order of their numbers.
        verdicts: by requirement.
        more_needed: of a sequential plan, about how many more a plan would need to decide each undecided one; None for
            very many.
    """

    trials: list[Trial]
    verdicts: dict[str, Verdict]
    more_needed: dict[str, int | None]


def limits(cell: CellSpec) -> dict[str, float]:
    """The least probability, by requirement, with which an episode has to be good."""
    return {limit.name: limit.rate for limit in limits_of(cell)}


def good(cell: CellSpec, outcomes: Sequence[Outcome]) -> np.ndarray:
    """Whether each episode is good by each requirement, (n, requirements) bool, in the order of `limits`."""
    rows = limits_of(cell)
    return np.array([[limit.kept(o) for limit in rows] for o in outcomes], bool).reshape(-1, len(rows))


def judge(cell: CellSpec, trials: Iterator[Trial], plan: Plan) -> Judgement:
    """Draw as many trials as the plan says and judge them."""
    if not plan.sequential:
        seen = list(islice(trials, plan.episodes))
        counts = good(cell, [t.outcome for t in seen]).sum(axis=0).tolist()
        return Judgement(seen, fixed_verdicts(dict(zip(limits(cell), counts)), len(seen), limits(cell)), {})
    seen, test = [], Sequential(limits(cell), looks_of(plan.episodes, BATCH), ALPHA)
    while len(seen) < plan.episodes and Verdict.UNDECIDED in test.verdicts.values():
        batch = list(islice(trials, min(BATCH, plan.episodes - len(seen))))
        seen += batch
        test.update(good(cell, [t.outcome for t in batch]))
    return Judgement(seen, test.verdicts, test.more_needed())


def fixed_verdicts(
    counts: Mapping[str, int], total: int, limits: Mapping[str, float], alpha: float = ALPHA
) -> dict[str, Verdict]:
    """Verdicts from a number of episodes that was fixed beforehand: exact binomial tests, adjusted by Holm.

    Args:
        counts: good episodes, by claim.
        total: all episodes.
        limits: least probability of a good episode, by claim.
        alpha: how likely any wrong PASS may be, and any wrong FAIL.
    """
    passes = holm([float(stats.binom.sf(counts[name] - 1, total, limit)) for name, limit in limits.items()])
    fails = holm([float(stats.binom.cdf(counts[name], total, limit)) for name, limit in limits.items()])
    return {
        name: Verdict.PASS if p <= alpha else Verdict.FAIL if f <= alpha else Verdict.UNDECIDED
        for name, p, f in zip(limits, passes, fails)
    }
