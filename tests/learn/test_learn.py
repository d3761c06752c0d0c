"""Cloning and PPO on things that take seconds; what is exported computes what was trained."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from robot_rlaas.bundle import OnnxPolicy
from robot_rlaas.cell.errors import InputError
from robot_rlaas.data.episode import Episode
from robot_rlaas.learn.clone import clone, returns, statistics, successes
from robot_rlaas.learn.improve import Averaged, Progress, Validation, actor_parameters, improve, make_model
from robot_rlaas.learn.network import export_onnx, mean_action, save_stock
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.learn.validate import judge
from robot_rlaas.learn.vec_env import BatchVecEnv

SMOKE = load_recipe("smoke")


@pytest.fixture
def model(make_env) -> PPO:
    vec_env = BatchVecEnv(make_env(4))
    rng = np.random.default_rng(0)
    size = vec_env.observation_space.shape[0]
    return make_model(vec_env, SMOKE, rng.normal(0, 0.1, size), rng.uniform(1e-3, 1, size), 0, "cpu")


def observations(make_env, count: int) -> np.ndarray:
    return make_env(count).reset()


def test_onnx_computes_what_torch_does(model: PPO, make_env, tmp_path: Path) -> None:
    (tmp_path / "policy.onnx").write_bytes(export_onnx(model.policy))
    seen = observations(make_env, 64)
    with torch.no_grad():
        expected = mean_action(model.policy, torch.as_tensor(seen)).clamp(-1, 1).numpy()
    acted = OnnxPolicy(tmp_path / "policy.onnx", make_env(1).contract).act(seen)
    np.testing.assert_allclose(acted, expected, atol=2e-6)


def test_the_saved_model_loads_in_stock_sb3(model: PPO, make_env, tmp_path: Path) -> None:
    """In a process that cannot import robot_rlaas at all."""
    save_stock(model, tmp_path / "model.zip")
    seen = observations(make_env, 16)
    np.save(tmp_path / "seen.npy", seen)
    script = (
        "import sys; sys.modules['robot_rlaas'] = None\n"
        "import numpy as np; from stable_baselines3 import PPO\n"
        f"model = PPO.load(r'{tmp_path}/model.zip', device='cpu')\n"
        f"np.save(r'{tmp_path}/acted.npy', model.predict(np.load(r'{tmp_path}/seen.npy'), deterministic=True)[0])\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    with torch.no_grad():
        expected = mean_action(model.policy, torch.as_tensor(seen)).clamp(-1, 1).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "acted.npy"), expected, atol=1e-4)


def demonstration(size: int, success: bool = True, count: int = 400) -> Episode:
    rng = np.random.default_rng(1)
    seen = rng.normal(0, 1, (count, size)).astype(np.float32)
    action = np.tanh(seen[:, :4]).astype(np.float32)
    none = np.zeros(count, dtype=bool)
    return Episode(
        *(0, seen, action, action, np.ones(count, np.float32), success, 1.0, np.zeros(12)), np.zeros(count), none, none
    )


def test_cloning_fits_the_demonstrator(model: PPO) -> None:
    size = model.observation_space.shape[0]
    model.policy.features_extractor.mean.zero_()
    model.policy.features_extractor.std.fill_(1.0)
    before = clone(model.policy, [demonstration(size)], 1, 0.9, 0)
    after = clone(model.policy, [demonstration(size)], 300, 0.9, 0)
    assert after < 0.02 < before


def test_only_successes_are_imitated() -> None:
    good, bad = demonstration(25), demonstration(25, success=False)
    assert successes([good, bad]) == [good]
    with pytest.raises(InputError, match="nothing to imitate"):
        successes([bad])


def test_statistics_and_returns_by_hand() -> None:
    episode = demonstration(25)._replace(reward=np.array([1.0, 0.0, 2.0], np.float32))
    np.testing.assert_allclose(returns(episode, 0.5), [1.5, 1.0, 2.0])
    mean, std = statistics([episode])
    np.testing.assert_allclose(mean, episode.observation.mean(0))
    np.testing.assert_allclose(std, episode.observation.std(0))


class Target(gymnasium.Env):
    """Reward is how close the action is to a fixed one."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)

    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), -float(np.square(action - 0.5).sum()), True, False, {}


class TargetVec(DummyVecEnv):
    on_outcome = staticmethod(lambda outcome: None)

    def __init__(self) -> None:
        super().__init__([Target] * 16)
        self.term_sums: dict[str, float] = {}


def test_improvement_finds_the_target_and_keeps_the_best_average() -> None:
    changes = {"hidden": (16,), "learning_rate": (5e-3, 1e-3), "noise_std": (0.3, 0.05), "critic_warmup": 1,
               "budget_steps": 12_000, "validate_every": 5, "average": 0.5, "target_kl": 0.2,
               "epochs": 5, "discount": 0.99}  # fmt: skip
    recipe = SMOKE.model_copy(update=changes)
    model = make_model(TargetVec(), recipe, np.zeros(3), np.ones(3), 0, "cpu")

    def validate() -> Validation:
        with torch.no_grad():
            error = float((mean_action(model.policy, torch.zeros(1, 3)) - 0.5).abs().max())
        return Validation(1.0 - error, -error, error < 0.03)

    curve: list[Progress] = []
    best = improve(model, recipe, validate(), validate, curve.append)
    assert best.good_enough
    assert validate().score == pytest.approx(best.score)


def test_what_nothing_beats_stays() -> None:
    """An actor that is worth more than anything that comes after it is the one that is left in the model."""
    changes = {"hidden": (16,), "critic_warmup": 1, "budget_steps": 1_000, "validate_every": 2}
    model = make_model(TargetVec(), SMOKE.model_copy(update=changes), np.zeros(3), np.ones(3), 0, "cpu")
    before = [p.detach().clone() for p in actor_parameters(model.policy)]
    worse, judged = Validation(0.1, 0.1, False), []
    best = improve(
        model,
        SMOKE.model_copy(update=changes),
        Validation(0.8, 0.8, False),
        lambda: judged.append(1) or worse,
        judged.append,
    )
    assert (best.score, len(judged) >= 2) == (0.8, True)
    for live, kept in zip(actor_parameters(model.policy), before):
        torch.testing.assert_close(live.detach(), kept)


def test_the_average_swaps_in_and_out(model: PPO) -> None:
    average = Averaged(model.policy, 0.5)
    first = actor_parameters(model.policy)[0]
    old = first.detach().clone()
    first.data.add_(1.0)
    average.update()
    average.swap()
    torch.testing.assert_close(first.detach(), old + 0.5)
    average.swap()
    torch.testing.assert_close(first.detach(), old + 1.0)


def test_a_validation_wants_margin(cell) -> None:
    from robot_rlaas.env.batch import Outcome

    def outcomes(count: int, failures: int, force: float) -> list[Outcome]:
        times = [np.inf if i < failures else 3.0 for i in range(count)]
        return [Outcome(i, t < np.inf, t, force, False, 3, 60, 1.0, (1.0, 2.0, t), 1.0) for i, t in enumerate(times)]

    assert judge(cell, outcomes(500, 0, 30.0)).good_enough
    assert not judge(cell, outcomes(500, 3, 30.0)).good_enough
    assert not judge(cell, outcomes(500, 0, 58.0)).good_enough
    assert judge(cell, outcomes(500, 1, 30.0)).score > judge(cell, outcomes(500, 1, 90.0)).score
