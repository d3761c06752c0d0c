"""Dataset aggregation (DAgger; Ross, Gordon and Bagnell 2011, arXiv 1011.0686): an expert labels where the clone goes.

A clone of demonstrations has never seen what its own mistakes lead to. An expert that acts on observations alone can be
asked what it would have done there, and in simulation that costs next to nothing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.seeds import Space
from robot_rlaas.data.episode import Episode, record
from robot_rlaas.data.lineage import Lineage
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.tasks import expert_of
from robot_rlaas.learn.clone import clone
from robot_rlaas.learn.improve import Validation
from robot_rlaas.learn.network import MeanActor
from robot_rlaas.learn.recipe import Recipe

EXPERT_SHARE = 0.5  # of the first round's actions; each further round has half of the share before


def teacher_of(env: BatchEnv, lineage: Lineage) -> tuple[Policy | None, str]:
    """The scripted expert for `env`, if all demonstrations are its own, and a line that says so or why not.

    Who else demonstrates may do the job in another way, and two ways in one data set are worse than either.
    """
    if lineage.led_by:
        return None, f"demonstrations of {', '.join(lineage.led_by)}: no expert is asked where the clone goes wrong"
    expert = expert_of(env.cell, env.contract, env.nsim)
    return expert, "scripted demonstrations: their expert is also asked what it would do where the clone goes"


class Round(NamedTuple):
    """One round of aggregation: its number from 1, of how many, frames learned from, and the clone after it."""

    number: int
    of: int
    frames: int
    validation: Validation


class Mixture:
    """Acts as the expert in a share of the periods, at random, and as the learner in the others."""

    def __init__(self, expert: Policy, learner: Policy, share: float, rng: np.random.Generator) -> None:
        self._expert, self._learner, self._share, self._rng = expert, learner, share, rng

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        by_expert = self._rng.random((len(observation), 1)) < self._share
        return np.where(by_expert, self._expert.act(observation), self._learner.act(observation))


def aggregate(
    learner: Any,
    expert: Policy,
    env: BatchEnv,
    demonstrated: list[Episode],
    recipe: Recipe,
    seed: int,
    cloned: Validation,
    validate: Callable[[], Validation],
    on_round: Callable[[Round], None],
) -> Validation:
    """Let the learner act, have the expert say what it would have done, learn that too; the best learner stays.

    Rounds end early once a validation is good enough, or worth less than the one before: an expert that succeeds less
    often than its clone pulls it down.

    Args:
        learner: a cloned SB3 policy, trained in place.
        expert: labels; one row per row of `env`.
        env: where the learner acts.
        demonstrated: what it was cloned from, and goes on being cloned from.
        recipe: how many rounds of how many episodes.
        seed: of the mixture and of the order of samples.
        cloned: what the learner is worth as it comes: it stays where nothing beats it.
        validate: judges the learner on fresh episodes.
        on_round: hears of every round.

    Returns:
        The best validation.
    """
    rng, rounds = np.random.default_rng([seed, int(Space.TRAIN)]), recipe.aggregate_rounds
    best, weights = cloned, _weights(learner)
    everything = list(demonstrated)
    for number in range(1, rounds + 1):
        if best.good_enough:
            break
        mixture = Mixture(expert, MeanActor(learner), EXPERT_SHARE**number, rng)
        everything += record(env, expert, recipe.aggregate_episodes, 0.0, rng, lambda: None, mixture)
        clone(learner, everything, recipe.aggregate_epochs, recipe.discount, seed)
        validation = validate()
        on_round(Round(number, rounds, sum(len(e.action) for e in everything), validation))
        if validation.score < best.score:
            break
        best, weights = validation, _weights(learner)
    learner.load_state_dict(weights)
    return best


def _weights(policy: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in policy.state_dict().items()}
