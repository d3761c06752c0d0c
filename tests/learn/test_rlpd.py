"""Reinforcement learning from demonstrations: the ensemble, the buffers, what is learned, by values known by hand."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional

from robot_rlaas.bundle import OnnxPolicy
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.data.attempts import Practised
from robot_rlaas.data.episode import Episode, record
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.insertion.felt import felt_rewards
from robot_rlaas.env.reward import DONE_REWARD, TIME_COST
from robot_rlaas.env.tasks import contract_of, expert_of
from robot_rlaas.learn.clone import statistics
from robot_rlaas.learn.explore import Explorer
from robot_rlaas.learn.improve import make_model
from robot_rlaas.learn.network import load_actor
from robot_rlaas.learn.practice import Learner
from robot_rlaas.learn.practice_recipe import load_practice
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.learn.rlpd import RLPD, EnsemblePolicy
from robot_rlaas.learn.vec_env import BatchVecEnv
from robot_rlaas.sim.cpu import CpuBackend

SMALL = load_practice("default").model_copy(
    update={"hidden": (16, 16), "critic_hidden": (16, 16), "clone_epochs": 2, "steps_ahead": 2, "discount": 0.5}
)


@pytest.fixture(scope="module")
def demonstrated(cell, workcell) -> list[Episode]:
    env = BatchEnv(cell, workcell, CpuBackend(workcell, cell, 4), Seeds(0, Space.DEMONSTRATE))
    return record(env, expert_of(cell, env.contract, 4), 4, 0.0, np.random.default_rng(0), lambda: None)


@pytest.fixture
def learner(cell, demonstrated) -> Learner:
    made = Learner(cell, demonstrated, SMALL, 0)
    made.clone(demonstrated)
    return made


def bandit(goal: float, shown: float, hold: float) -> RLPD:
    """One step, worth less the further the action is from `goal`; `shown` was demonstrated, and is cloned."""
    torch.set_num_threads(1)
    kwargs = {"net_arch": [32, 32], "n_critics": 3, "activation_fn": nn.Tanh}
    model = RLPD(
        EnsemblePolicy, None, learning_rate=3e-3, tau=0.05, ent_coef=0.0, target_entropy=0.0, buffer_size=1000, seed=0,
        device="cpu", policy_kwargs=kwargs, _init_setup_model=False,
    )  # fmt: skip
    model.observation_space = spaces.Box(-1, 1, (2,), np.float32)
    model.action_space = spaces.Box(-1, 1, (1,), np.float32)
    model.n_envs = 1
    model._setup_model()
    model.hold = hold
    rng, nowhere, end = np.random.default_rng(0), np.zeros(2), np.array([True])
    for buffer, actions in ((model.replay_buffer, rng.uniform(-1, 1, 200)), (model.demonstrated, [shown] * 20)):
        for action in actions:
            worth = np.array(1.0 - (action - goal) ** 2)
            buffer.add(nowhere, nowhere, np.array([action]), worth, end, [{}])
    model.clone.mu.weight.data.zero_()
    model.clone.mu.bias.data.fill_(float(np.arctanh(shown)))
    return model


def answer(model: RLPD) -> float:
    with torch.no_grad():
        return float(model.actor(torch.zeros(1, 2), deterministic=True))


def test_it_finds_what_is_worth_more_than_what_was_shown():
    model = bandit(goal=0.5, shown=-0.2, hold=0.0)
    model.train(600, 64)
    assert answer(model) == pytest.approx(0.5, abs=0.1)
    assert model.updates == 600


def test_a_strong_hold_keeps_it_at_the_clone():
    model = bandit(goal=0.5, shown=-0.2, hold=100.0)
    model.train(400, 64)
    assert answer(model) == pytest.approx(-0.2, abs=0.1)


def test_the_actor_waits_for_the_critics():
    model = bandit(goal=0.5, shown=-0.2, hold=0.0)
    before, model.critics_first, model.actor_every = answer(model), 20, 4
    model.train(20, 64)
    assert answer(model) == before
    model.train(4, 64)
    assert answer(model) != before


def test_each_member_of_the_ensemble_is_a_network_of_its_own():
    critic = bandit(0.0, 0.0, 0.0).critic
    seen, action = torch.rand(5, 2), torch.rand(5, 1)
    together = critic(seen, action)
    assert together.shape == (3, 5)
    for member in range(3):
        x = torch.cat([seen, action], dim=1)
        for layer in range(2):
            x = x @ critic.weights[layer][member] + critic.biases[layer][member]
            x = functional.relu(functional.layer_norm(x, (32,)))
        alone = (x @ critic.weights[2][member] + critic.biases[2][member])[:, 0]
        torch.testing.assert_close(together[member], alone)
    torch.testing.assert_close(critic(seen, action, torch.tensor([2, 0])), together[[2, 0]])


def attempt_of(observation: np.ndarray, success: bool, ended: bool = True, corrected=()) -> Practised:
    count = len(observation)
    marks = np.isin(np.arange(count), corrected)
    action = np.arange(4 * count, dtype=np.float32).reshape(count, 4) / 100
    return Practised(observation, action, success, ended, marks, 0, 0.0)


def test_a_transition_sums_the_rewards_of_the_periods_ahead(cell, learner, demonstrated):
    attempt = attempt_of(demonstrated[0].observation[:4], success=True)
    reward = felt_rewards(cell, attempt.observation, attempt.action, True, SMALL.caution)
    learner.take(attempt)
    buffer = learner.model.replay_buffer
    assert buffer.size() == learner.periods == 4
    ahead = [reward[0] + reward[1] / 2, reward[1] + reward[2] / 2, reward[2] + reward[3] / 2, reward[3]]
    np.testing.assert_allclose(buffer.rewards[:4, 0], ahead, rtol=1e-6)
    np.testing.assert_array_equal(buffer.dones[:4, 0], [0, 0, 1, 1])
    np.testing.assert_array_equal(buffer.next_observations[:2, 0], attempt.observation[2:])
    assert learner.model.gamma == 0.25
    assert learner.due == 4 * SMALL.updates_per_period


def test_who_was_stopped_pays_for_the_force_that_nobody_saw_any_more(cell, learner, demonstrated):
    force_N = load_hardware(cell.robot.hardware).force_limit_N
    attempt = attempt_of(demonstrated[0].observation[:3], success=False)
    learner.take(attempt)
    reward = felt_rewards(cell, attempt.observation, attempt.action, False, SMALL.caution, force_N)
    assert learner.model.replay_buffer.rewards[2, 0] == pytest.approx(reward[2])
    assert reward[2] < felt_rewards(cell, attempt.observation, attempt.action, False, SMALL.caution)[2] - 1


def test_what_is_unknown_after_a_cut_is_left_out_and_what_a_person_did_is_demonstrated(learner, demonstrated):
    shown = learner.model.demonstrated.size()
    assert shown == sum(len(e.action) for e in demonstrated)
    attempt = attempt_of(demonstrated[0].observation[:5], success=False, ended=False, corrected=(1, 2, 4))
    learner.take(attempt)
    assert learner.model.replay_buffer.size() == 3
    assert not learner.model.replay_buffer.dones[:3].any()
    assert learner.model.demonstrated.size() == shown + 2, "the last one's future is not known"
    np.testing.assert_array_equal(learner.model.demonstrated.actions[shown : shown + 2, 0], attempt.action[1:3])


def test_an_attempt_that_was_cut_at_once_teaches_nothing(learner, demonstrated):
    learner.take(attempt_of(demonstrated[0].observation[:1], success=False, ended=False))
    assert (learner.periods, learner.due) == (1, 0)


def test_what_an_attempt_is_worth_is_what_the_arm_measured(cell, demonstrated):
    contract, seen = contract_of(cell), demonstrated[0].observation[:3].copy()
    force = contract.unpack(seen)["force"]
    still = np.zeros((3, 4), np.float32)
    force[:] = 0.0
    calm = contract.pack(contract.unpack(seen) | {"force": force})
    failed, done = felt_rewards(cell, calm, still, False), felt_rewards(cell, calm, still, True)
    np.testing.assert_array_equal(failed[:2], done[:2])
    assert failed[2] == pytest.approx(TIME_COST)
    assert done[2] > DONE_REWARD
    force[1:] = [0.0, 0.0, 2 * cell.requirements.contact_force_N.limit]
    hard = contract.pack(contract.unpack(seen) | {"force": force})
    charged = felt_rewards(cell, calm, still, False) - felt_rewards(cell, hard, still, False)
    assert charged[0] > 0.5, "the action before it was felt"
    np.testing.assert_allclose(charged[1:], 0.0, atol=1e-9)
    most_N = float(contract.unpack(hard)["force"][1, 2])
    stopped = felt_rewards(cell, calm, still, False, stop_N=most_N)
    assert failed[2] - stopped[2] == pytest.approx(charged[0])
    cautious = felt_rewards(cell, calm, still, False) - felt_rewards(cell, hard, still, False, caution=4.0)
    assert cautious[0] == pytest.approx(4 * charged[0])


def test_the_exported_network_does_what_the_learner_does(learner, demonstrated):
    seen = np.concatenate([e.observation for e in demonstrated])
    np.testing.assert_allclose(OnnxPolicy(learner.network()).act(seen), learner.act(seen), atol=1e-5)
    np.testing.assert_array_equal(OnnxPolicy(learner.cloned()).act(seen), OnnxPolicy(learner.network()).act(seen))


def test_ppo_does_not_begin_with_a_squashed_network(learner, make_env, demonstrated):
    recipe = load_recipe("default").model_copy(update={"hidden": SMALL.hidden})
    model = make_model(BatchVecEnv(make_env(2)), recipe, *statistics(demonstrated), 0, "cpu")
    with pytest.raises(InputError, match="was practised, not trained"):
        load_actor(model.policy, learner.network())


def test_a_resumed_learner_goes_on_as_if_nothing_had_been(cell, learner, demonstrated):
    attempt = attempt_of(demonstrated[1].observation, success=True)
    learner.take(attempt)
    learner.learn(8)
    other = Learner(cell, demonstrated, SMALL, 5)
    other.take(attempt)
    other.resume(learner.state())
    assert other.network() == learner.network()
    for one in (learner, other):
        torch.manual_seed(1)
        np.random.seed(1)
        one.learn(4)
    assert other.model.updates == 12
    assert other.network() == learner.network()


class Idle:
    def reset(self, ids): ...

    def act(self, observation):
        return np.zeros((len(observation), 4))


def test_exploring_wanders_by_another_strength_in_each_attempt():
    explorer, seen = Explorer(Idle(), 0.2, np.random.default_rng(0)), np.zeros((1, 3))
    spreads = []
    for _ in range(200):
        explorer.reset(np.zeros(1, np.int64))
        done = np.concatenate([explorer.act(seen) for _ in range(100)])
        spreads.append(done.std())
        assert np.abs(done[0]).max() < 0.6 * 0.2 * 5, "it begins where the policy is"
    assert min(spreads) < 0.02 < 0.15 < max(spreads) < 0.3
    assert np.corrcoef(done[:-1, 0], done[1:, 0])[0, 1] > 0.5
    exact = Explorer(Idle(), 0.0, np.random.default_rng(0))
    exact.reset(np.zeros(1, np.int64))
    np.testing.assert_array_equal(exact.act(seen), np.zeros((1, 4)))
