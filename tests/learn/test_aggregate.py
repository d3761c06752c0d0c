"""Aggregation: the expert labels where its clone goes, the clone learns it, and what does not help is not kept."""

import numpy as np
import pytest
import torch

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.data.episode import SCRIPTED, Episode, record, start_axes
from robot_rlaas.data.lineage import Lineage, Made, attempt_of, lineage_of
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.tasks import expert_of
from robot_rlaas.learn.aggregate import Mixture, Round, aggregate, teacher_of
from robot_rlaas.learn.clone import clone, statistics, successes
from robot_rlaas.learn.improve import Validation, make_model
from robot_rlaas.learn.network import MeanActor, acted
from robot_rlaas.learn.recipe import load_recipe, recipe_for
from robot_rlaas.learn.validate import judge, run_episodes
from robot_rlaas.learn.vec_env import BatchVecEnv
from robot_rlaas.sim.cpu import CpuBackend

RECIPE = load_recipe("default").model_copy(
    update={"hidden": (64, 64), "aggregate_rounds": 1, "aggregate_episodes": 24, "aggregate_epochs": 30}
)
JUDGED = 64


@pytest.fixture(scope="module")
def demonstrated(cell, workcell) -> list[Episode]:
    env = BatchEnv(cell, workcell, CpuBackend(workcell, cell, 8), Seeds(0, Space.DEMONSTRATE))
    return record(env, expert_of(cell, env.contract, 8), 8, 0.1, np.random.default_rng(0), lambda: None)


class Weak:
    """The clone of a few demonstrations, and how to judge it on the same episodes again and again."""

    def __init__(self, cell, make_env, demonstrated: list[Episode]) -> None:
        self.good, self.env = successes(demonstrated), make_env(24, space=Space.TRAIN)
        self.model = make_model(BatchVecEnv(self.env), RECIPE, *statistics(self.good), 0, "cpu")
        clone(self.model.policy, self.good, 60, RECIPE.discount, 0)
        self._cell, self._make_env = cell, make_env

    def validate(self) -> Validation:
        actor, env = MeanActor(self.model.policy), self._make_env(48, space=Space.VALIDATE)
        return judge(self._cell, run_episodes(env, actor.act, JUDGED, []))


def test_a_weak_clone_succeeds_more_often(cell, make_env, demonstrated) -> None:
    weak, rounds = Weak(cell, make_env, demonstrated), list[Round]()
    before = weak.validate()
    expert = expert_of(cell, weak.env.contract, weak.env.nsim)
    best = aggregate(weak.model.policy, expert, weak.env, weak.good, RECIPE, 0, before, weak.validate, rounds.append)
    assert best.success > before.success + 0.2
    assert weak.validate() == best
    assert rounds[0].frames > sum(len(e.action) for e in weak.good)
    assert (rounds[0].number, rounds[0].of) == (1, 1)


class Idle:
    """An expert that does nothing."""

    def reset(self, ids: np.ndarray) -> None: ...

    def act(self, observation: np.ndarray) -> np.ndarray:
        return np.zeros((len(observation), 4))


def test_what_an_expert_spoils_is_not_kept(cell, make_env, demonstrated) -> None:
    weak, rounds = Weak(cell, make_env, demonstrated), list[Round]()
    before, weights = weak.validate(), {k: v.clone() for k, v in weak.model.policy.state_dict().items()}
    recipe = RECIPE.model_copy(update={"aggregate_rounds": 2})
    best = aggregate(weak.model.policy, Idle(), weak.env, weak.good, recipe, 0, before, weak.validate, rounds.append)
    assert (best, len(rounds)) == (before, 1)
    for name, tensor in weak.model.policy.state_dict().items():
        torch.testing.assert_close(tensor, weights[name])


def test_the_expert_labels_and_the_learner_acts(cell, make_env, demonstrated) -> None:
    weak = Weak(cell, make_env, demonstrated)
    expert, rng = expert_of(cell, weak.env.contract, 24), np.random.default_rng(0)
    learner = Mixture(expert, MeanActor(weak.model.policy), 0.0, rng)
    episode = record(weak.env, expert, 1, 0.0, rng, lambda: None, learner)[0]
    np.testing.assert_allclose(episode.action, expert.act(episode.observation), atol=1e-6)
    np.testing.assert_allclose(episode.executed, acted(weak.model.policy, episode.observation), atol=1e-5)
    assert np.abs(episode.action - episode.executed).max() > 0.01


def lineage_by(cell, env, demonstrated, *operators: str) -> Lineage:
    attempts = [attempt_of(e._replace(operator=operator)) for e, operator in zip(demonstrated, operators)]
    lineage = lineage_of(cell, env.contract, start_axes(cell), Made(by="a test"))
    return lineage.model_copy(update={"episodes": tuple(attempts)})


def test_only_scripted_demonstrations_have_a_teacher(cell, make_env, demonstrated) -> None:
    env = make_env(2)
    expert, why = teacher_of(env, lineage_by(cell, env, demonstrated, SCRIPTED, SCRIPTED))
    assert expert is not None
    assert why.startswith("scripted demonstrations")
    nobody, why = teacher_of(env, lineage_by(cell, env, demonstrated, SCRIPTED, "anna", "anna, bob", "anna"))
    assert nobody is None
    assert why == "demonstrations of anna, anna, bob: no expert is asked where the clone goes wrong"


def test_a_cell_without_a_recipe_of_its_own_takes_the_default() -> None:
    assert recipe_for("my_cell") == "default"
    assert recipe_for("gear_meshing") == "gear_meshing"
    assert load_recipe("gear_meshing").aggregate_rounds == 0
