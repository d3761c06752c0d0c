"""What an actor is worth, on episodes that were never run before."""

from collections.abc import Callable
from typing import Any

import numpy as np

from robot_rlaas.cell.limits import limits_of
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.learn.improve import Validation
from robot_rlaas.learn.network import MeanActor

CONFIRM = 3  # a good validation is confirmed on so many times as many episodes


class Validate:
    """Judges an actor on episodes that were never run before.

    `seen` has the observations of the last ones, `simulated_s` how long all of them lasted, added up, `next` is the
    number of the first that comes.
    """

    def __init__(self, cell: CellSpec, env_from: Callable[[int], BatchEnv], count: int, policy: Any) -> None:
        self._cell, self._env_from, self._count, self._policy = cell, env_from, count, policy
        self.next, self.seen, self.simulated_s = 0, list[np.ndarray](), 0.0

    def __call__(self) -> Validation:
        """Judge the actor as it is now; one that seems good enough, on more episodes."""
        outcomes = self._fresh(self._count)
        verdict = judge(self._cell, outcomes)
        if not verdict.good_enough:
            return verdict
        return judge(self._cell, outcomes + self._fresh((CONFIRM - 1) * self._count))  # a first look may be luck

    def _fresh(self, count: int) -> list[Outcome]:
        env = self._env_from(self.next)
        self.next += count + env.nsim
        self.seen.clear()
        outcomes = run_episodes(env, MeanActor(self._policy).act, count, self.seen)
        self.simulated_s += env.simulated_s
        return outcomes


def run_episodes(
    env: BatchEnv, act: Callable[[np.ndarray], np.ndarray], count: int, seen: list[np.ndarray]
) -> list[Outcome]:
    """Outcomes of the environment's next `count` episodes under a deterministic actor; `seen` gets what it saw."""
    observation = env.reset()
    first, outcomes = int(env.episode.min()), []
    while len(outcomes) < count:
        seen.append(observation.copy())
        step = env.step(act(observation))
        outcomes += [o for o in step.outcomes if o.episode < first + count]
        observation = step.observation
    return outcomes


def judge(cell: CellSpec, outcomes: list[Outcome]) -> Validation:
    """Rank an actor: success first, then how far its quantiles stay below the limits.

    The score takes a standard error off the success rate, so that a few lucky episodes do not outrank many good ones.
    Good enough means a sixth of the failures that the cell allows, a twentieth of the limits of quantiles in hand and a
    third of what else may happen, so that a qualification on other episodes is likely to confirm it.
    """
    (success, *others), n = limits_of(cell), len(outcomes)
    count = sum(o.success for o in outcomes)
    likely = (count + 1) / (n + 2)
    quantiles, rates = ([limit for limit in others if limit.is_rate == is_rate] for is_rate in (False, True))
    use = [_quantile([limit.of(o) for o in outcomes], limit.rate) / limit.limit for limit in quantiles]
    excess = sum(max(0.0, share - 0.95) for share in use)
    broken = [float(np.mean([not limit.kept(o) for o in outcomes])) for limit in rates]
    good = (
        n - count <= n * (1.0 - success.rate) / 6
        and excess == 0.0
        and all(share <= limit.limit / 3 for share, limit in zip(broken, rates))
    )
    score = likely - np.sqrt(likely * (1.0 - likely) / n) - 0.2 * min(excess, 1.0) - sum(broken)
    return Validation(count / n, float(score), good)


def _quantile(values: list[float], q: float) -> float:
    return float(np.sort(values)[int(np.ceil(q * len(values))) - 1])
