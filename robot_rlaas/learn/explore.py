"""How a policy tries out what it would not do, gently enough for an arm."""

import numpy as np

from robot_rlaas.cell.contract import Policy

KEPT, NEW = 0.8, 0.6  # of the drift, per period: it wanders over about 0.2 s, and keeps its size


class Explorer:
    """A policy whose actions wander slowly round what it would do, by a strength that is drawn for each attempt.

    White noise is filtered by an arm's inertia, and shakes it; what lasts brings it somewhere.

    Args:
        policy: acts on batches of one; may be replaced between attempts.
        most_std: the largest standard deviation, as a fraction of an action. The least is none.
        rng: for the noise.
    """

    def __init__(self, policy: Policy, most_std: float, rng: np.random.Generator) -> None:
        self.policy, self._most_std, self._rng = policy, most_std, rng
        self._std, self._drift = 0.0, np.zeros(1)

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`. An attempt begins."""
        if len(ids):
            self.policy.reset(ids)
            self._std, self._drift = self._rng.uniform(0.0, self._most_std), np.zeros(1)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        action = self.policy.act(observation)
        self._drift = KEPT * self._drift + NEW * self._rng.standard_normal(action.shape)
        return action + self._std * self._drift
