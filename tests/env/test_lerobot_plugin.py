"""A cell as LeRobot's environment: found by its name, run by LeRobot's own loop and its own command, unchanged."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="LeRobot is not installed: pip install 'robot_rlaas[train]'")

import torch
from lerobot import envs
from lerobot.envs.utils import env_to_policy_features, preprocess_observation
from lerobot.policies.factory import make_policy, make_policy_config, make_pre_post_processors
from lerobot.scripts.lerobot_eval import rollout
from lerobot.utils.feature_utils import dataset_to_policy_features
from samples import TINY_ACT

import robot_rlaas
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.data.lerobot import features
from robot_rlaas.env.gym import CellEnv
from robot_rlaas.env.lerobot_plugin import RlaasEnvConfig
from robot_rlaas.env.tasks import contract_of, expert_of
from robot_rlaas.jobs.policies import load
from robot_rlaas.sim.render import RenderingUnavailable

CELL = "peg_insertion"
SEEDS = [1000, 1001]


def act(folder: Path) -> tuple[Any, Any, Any]:
    """An ACT policy made for the cell by LeRobot itself, with random weights, and its processors; also saved."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = make_policy_config("act", **TINY_ACT)
    policy = make_policy(config, env_cfg=RlaasEnvConfig(CELL)).eval()
    sizes = {name: feature.shape for name, feature in (config.input_features | config.output_features).items()}
    draw = lambda size: {"mean": rng.normal(0, 0.1, size), "std": rng.uniform(0.2, 0.5, size)}  # noqa: E731
    processors = make_pre_post_processors(config, dataset_stats={name: draw(size) for name, size in sizes.items()})
    for part in (policy, *processors):
        part.save_pretrained(folder)
    return policy, *processors


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    """The directory of an ACT policy, and what LeRobot's own loop did with it."""
    folder = tmp_path_factory.mktemp("lerobot") / "act"
    return folder, lerobots_own_rollout(*act(folder))


def lerobots_own_rollout(policy: Any, before: Any, after: Any) -> dict[str, np.ndarray]:
    """What LeRobot's evaluation does in one batch; arrays (rows, steps, ...)."""
    config = RlaasEnvConfig(CELL)
    made = envs.make_env(config, n_envs=len(SEEDS))
    ran = rollout(made["rlaas"][0], policy, *config.get_env_processors(), before, after, seeds=SEEDS)
    envs.close_envs(made)
    return {name: values.numpy() for name, values in ran.items()}


class Expert(torch.nn.Module):
    """The scripted expert in the place of a network."""

    def __init__(self, cell) -> None:
        super().__init__()
        self._expert = expert_of(cell, contract_of(cell), len(SEEDS))

    def reset(self) -> None:
        self._expert.reset(np.arange(len(SEEDS)))

    def select_action(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        assert observation["observation.environment_state"].equal(observation["observation.state"])
        return torch.from_numpy(self._expert.act(observation["observation.state"].numpy()))


def test_features_and_rate_are_the_contracts(cell) -> None:
    config, contract = envs.make_env_config("rlaas", task=CELL), contract_of(cell)
    assert config.fps == contract.rate_hz
    shapes = {config.features_map[name]: feature.shape for name, feature in config.features.items()}
    size = (contract.observation_size,)
    assert shapes == {
        "action": (contract.action_size,),
        "observation.state": size,
        "observation.environment_state": size,
    }
    with pytest.raises(InputError, match="neither a shipped name nor a file"):
        envs.make_env_config("rlaas", task="nowhere")


def test_what_is_trained_on_demonstrations_fits_the_cell(cell) -> None:
    """`lerobot-train` reads the policy's inputs from the dataset, `lerobot-eval` feeds it what the cell has."""
    demonstrated = dataset_to_policy_features(features(contract_of(cell), (), {}))
    assert demonstrated == env_to_policy_features(RlaasEnvConfig(CELL))


def test_lerobots_loop_sees_success_where_there_is_success(cell) -> None:
    ran = lerobots_own_rollout(Expert(cell), lambda observation: observation, lambda action: action)
    assert ran["success"].any(axis=1).all()
    alone, expert = CellEnv(CELL, space="VALIDATE"), expert_of(cell, contract_of(cell), 1)
    for row, seed in enumerate(SEEDS):
        observation, done, earned = alone.reset(seed=seed)[0], False, []
        expert.reset(np.zeros(1, np.int64))
        while not done:
            observation, reward, *ended, info = alone.step(expert.act(observation[None])[0])
            done = any(ended)
            earned.append(reward)
        assert info["is_success"]
        assert ran["reward"][row, : len(earned)].tolist() == earned
        assert not ran["reward"][row, len(earned) :].any()
        assert ran["success"][row].argmax() == len(earned) - 1


def test_a_policy_acts_in_lerobot_as_it_does_when_it_is_qualified(cell, make_env, evaluated) -> None:
    """Two episodes of an ACT directory: LeRobot's loop, and the policy that `rlaas qualify --policy` runs."""
    folder, ran = evaluated
    policy = load(folder, cell, len(SEEDS)).policy
    batches = [make_env(1, seed, Space.VALIDATE) for seed in SEEDS]
    observation = np.concatenate([batch.reset() for batch in batches])
    policy.reset(np.arange(len(SEEDS)))
    for t in range(min(np.argmax(ran["done"], axis=1)) + 1):
        action = policy.act(observation)
        np.testing.assert_allclose(action, ran["action"][:, t].clip(-1, 1), atol=1e-5)
        steps = [batch.step(action[row : row + 1]) for row, batch in enumerate(batches)]
        np.testing.assert_allclose([step.reward[0] for step in steps], ran["reward"][:, t], atol=1e-5)
        observation = np.concatenate([step.observation for step in steps])
    assert t > 20
    assert np.ptp(ran["action"][:, : t + 1], axis=1).min() > 0.01


def test_lerobot_eval_reports_how_often_a_policy_succeeds(evaluated, tmp_path: Path) -> None:
    """The command itself, offline, finds the cell by the distribution's name and does what its loop did here."""
    folder, ran = evaluated
    distribution = importlib.metadata.metadata("lerobot_env_rlaas")
    assert distribution["Name"] == "lerobot_env_rlaas"  # LeRobot skips it with hyphens
    assert distribution["Version"] == robot_rlaas.__version__
    command = [
        *(str(Path(sys.executable).parent / "lerobot-eval"), f"--policy.path={folder}"),
        *("--policy.device=cpu", "--env.type=rlaas", f"--env.task={CELL}", "--env.films=false", f"--seed={SEEDS[0]}"),
        *(f"--eval.n_episodes={len(SEEDS)}", f"--eval.batch_size={len(SEEDS)}", "--eval.use_async_envs=false"),
        f"--output_dir={tmp_path / 'out'}",
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "eval_info.json").read_text())
    assert report["overall"]["n_episodes"] == len(SEEDS)
    assert report["overall"]["pc_success"] == 100 * ran["success"].any(axis=1).mean()
    told = report["per_task"][0]["metrics"]["sum_rewards"]
    np.testing.assert_allclose(told, ran["reward"].sum(axis=1), atol=1e-4)


def test_pictures_are_features_only_when_they_are_asked_for() -> None:
    cell = "peg_insertion_camera"
    wanted = {f"observation.images.{name}": (3, 96, 96) for name in ("wrist", "cell")}
    blind, seeing = (env_to_policy_features(RlaasEnvConfig(cell, cameras=asked)) for asked in (False, True))
    assert {name: feature.shape for name, feature in seeing.items() if name not in blind} == wanted
    env = envs.make_env(RlaasEnvConfig(cell, cameras=True), n_envs=2)["rlaas"][0]
    try:
        observation, _ = env.reset(seed=SEEDS)
    except RenderingUnavailable as error:
        pytest.skip(str(error))
    seen = preprocess_observation(observation)
    assert {name: tuple(value.shape[1:]) for name, value in seen.items() if name in wanted} == wanted
    assert seen["observation.state"].shape == (2, contract_of(load_cell(cell)).observation_size)
    assert (seen["observation.images.wrist"][0] != seen["observation.images.wrist"][1]).any()
    env.close()


def test_films_that_cannot_be_made_say_what_to_do(monkeypatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    for films, pictures in ((True, None), (False, (64, 64, 3))):
        env = envs.make_env(RlaasEnvConfig(CELL, films=films))["rlaas"][0]
        env.reset(seed=SEEDS[:1])
        if pictures:
            assert env.call("render")[0].shape == pictures
        else:
            with pytest.raises(InputError, match=r"--env\.films=false"):
                env.call("render")
        env.close()
