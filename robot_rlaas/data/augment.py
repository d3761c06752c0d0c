"""Many demonstrations out of a few: attempts at new starts by a policy that does again what the few did."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.data.episode import Episode, attempts
from robot_rlaas.data.retarget import Retarget


class Augmented(NamedTuple):
    """What came of it.

    Attributes:
        kept: the attempts that succeeded, in the order of their numbers.
        tried: attempts, the first `tried` numbers of the environment's seed space.
        past: per stage of the task that an attempt can fail in: its name, how many got so far, and how many past it.
    """

    kept: list[Episode]
    tried: int
    past: list[tuple[str, int, int]]


def augment(
    env: Any,
    sources: list[Episode],
    count: int,
    tries: int,
    noise: float,
    rng: np.random.Generator,
    on_try: Callable[[int, int], None],
) -> Augmented:
    """Attempt new starts until `count` attempts have succeeded or `tries` were made.

    Attempts count in the order of their numbers, not in that in which they end: quick ones are not preferred.

    Args:
        env: a BatchEnv of the cell that the sources were recorded in.
        sources: demonstrations, all successful.
        count: successes that are wanted.
        tries: attempts at most.
        noise, rng: as in `record`.
        on_try: called after each attempt with how many were kept and how many made.
    """
    policy = Retarget(env.cell, env.contract, env.nsim, sources)
    operator = ", ".join(dict.fromkeys(source.operator for source in sources))
    env.reset()
    first, stages = int(env.episode.min()), env.task.stages
    ended: dict[int, tuple[Episode, Any]] = {}
    kept: list[Episode] = []
    got_to, tried = np.zeros(len(stages), int), 0
    for episode, outcome in attempts(env, policy, noise, rng):
        ended[episode.number] = episode, outcome
        while len(kept) < count and tried < tries and first + tried in ended:
            episode, outcome = ended.pop(first + tried)
            tried += 1
            if outcome.success:
                kept.append(episode._replace(operator=operator))
            else:
                got_to[outcome.stage] += 1
            on_try(len(kept), tried)
        if len(kept) == count or tried == tries:
            break
    came = len(kept) + np.cumsum(got_to[::-1])[::-1]
    past = [(name, int(n), int(n - failed)) for name, n, failed in zip(stages, came, got_to) if failed]
    return Augmented(kept, tried, past)
