"""Training that is killed goes on to the same bits; training that meets what is no number says what it was."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import Notes

from robot_rlaas.cell.contract import components
from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.data.lerobot import read_dataset, write_dataset
from robot_rlaas.data.lineage import read_lineage
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.env.insertion.task import contract
from robot_rlaas.jobs import pipeline, training
from robot_rlaas.learn import checkpoint
from robot_rlaas.learn.clone import clone
from robot_rlaas.learn.finite import NotFinite, watch_gradients
from robot_rlaas.learn.improve import Validation, actor_parameters, improve, make_model
from robot_rlaas.learn.network import mean_action
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.learn.vec_env import BatchVecEnv

CELL = "peg_insertion"
RECIPE = load_recipe("smoke").model_copy(
    update={"clone_epochs": 30, "aggregate_rounds": 0, "rollout_steps": 40, "critic_warmup": 1,
            "budget_steps": 16 * 40 * 6, "validate_every": 2, "validation_episodes": 16, "batch_size": 160}
)  # fmt: skip


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("survives") / "demonstrations"
    pipeline.demonstrate(CELL, RECIPE, 0, path, Notes())
    return path


@pytest.fixture(scope="module")
def whole(demonstrations: Path) -> Path:
    """A training that nothing interrupted."""
    out = demonstrations.parent / "whole"
    training.train(CELL, demonstrations, RECIPE, 0, "cpu", out, Notes())
    return out


def test_a_killed_training_goes_on_to_the_same_bits(demonstrations: Path, whole: Path, tmp_path: Path) -> None:
    out, recipe = tmp_path / "policy", tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.model_dump_json())
    command = [*(sys.executable, "-m", "robot_rlaas.cli", "train", CELL), "--recipe", recipe, "--demos", demonstrations]
    kept = checkpoint.path_of(out)
    with subprocess.Popen([*command, "--out", out], stdout=subprocess.DEVNULL) as process:
        while not (kept.exists() and updates(kept) >= 2):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not out.exists()
    assert updates(kept) < 6
    training.train(CELL, demonstrations, RECIPE, 0, "cpu", out, Notes(), resume=True)
    assert not kept.exists()
    for name in ("policy.onnx", "clone.onnx", "parity.npz"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert curve(out) == curve(whole)
    assert float(curve(out)[-1]["success"]) > 0.0
    one, other = (json.loads((path / "policy.json").read_text()) for path in (out, whole))
    assert one == other
    for name, tensor in stock(whole).items():  # the critic, too
        assert torch.equal(stock(out)[name], tensor), name


def updates(kept: Path) -> int:
    with np.load(kept) as file:
        return json.loads(file[checkpoint.WORDS].tobytes())["updates"]


def curve(policy: Path) -> list[dict[str, str]]:
    with (policy / "progress.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def stock(policy: Path) -> dict[str, torch.Tensor]:
    with zipfile.ZipFile(policy / "sb3_model.zip") as file, file.open("policy.pth") as weights:
        return torch.load(weights, weights_only=True)


def test_episodes_are_joined_again_to_the_bit(make_env) -> None:
    """Rows of any age; and what happens in them next is the same as well."""
    env, again = BatchVecEnv(make_env(8)), BatchVecEnv(make_env(8))
    observation, expert = env.reset(), InsertionExpert(env.env.cell, env.env.contract, 8)
    rng = np.random.default_rng(0)

    def go(into: BatchVecEnv, action: np.ndarray) -> tuple[np.ndarray, ...]:
        into.step_async(action)
        return into.step_wait()[:3]

    for _ in range(100):
        noise = rng.normal(0, 0.3, (8, 4))
        observation, *_ = go(env, (expert.act(observation) + noise).clip(-1, 1).astype(np.float32))
    batch = env.env
    assert len(set(batch.steps.tolist())) > 2
    state = checkpoint.of_env(env)
    model = make_model(again, RECIPE, np.zeros(observation.shape[1]), np.ones(observation.shape[1]), 0, "cpu")
    checkpoint.into_env(again, model, state)
    assert again.env.simulated_s == batch.simulated_s
    for _ in range(100):
        action = rng.uniform(-1, 1, (8, 4)).astype(np.float32)
        for one, other in zip(go(env, action), go(again, action)):
            assert one.tobytes() == other.tobytes()
    assert again.env.episode.tolist() == batch.episode.tolist()


def test_a_checkpoint_of_another_training_is_refused_by_what_differs(tmp_path: Path) -> None:
    kept = tmp_path / "policy.checkpoint"
    checkpoint.write(kept, {"seed": 0, "recipe": {"epochs": 2}}, checkpoint.State({}, {"updates": 1}))
    assert checkpoint.read(kept, {"seed": 0, "recipe": {"epochs": 2}}).words == {"updates": 1}
    with pytest.raises(InputError, match="differs in: recipe\n  fix: train as it was begun, or remove it"):
        checkpoint.read(kept, {"seed": 0, "recipe": {"epochs": 3}})
    kept.write_bytes(kept.read_bytes()[:-10])
    with pytest.raises(InputError, match="not a checkpoint"):
        checkpoint.read(kept, {"seed": 0, "recipe": {"epochs": 2}})


def test_a_demonstration_with_a_nan_is_refused_by_name(demonstrations: Path, cell, tmp_path: Path) -> None:
    episodes, spoilt = read_dataset(demonstrations, contract(cell)), tmp_path / "spoilt"
    names = components(contract(cell).observation)
    observation = episodes[2].observation.copy()
    observation[7, names.index("force.z")] = np.nan
    episodes[2] = episodes[2]._replace(observation=observation)
    with np.errstate(invalid="ignore"):
        write_dataset(spoilt, read_lineage(demonstrations), episodes)
    with pytest.raises(InputError, match=r"observation force\.z is nan in frame 7 of episode 2: .*\n  fix: .*clean"):
        training.train(CELL, spoilt, RECIPE, 0, "cpu", tmp_path / "policy", Notes())
    assert os.listdir(tmp_path) == ["spoilt"]


def test_a_loss_that_is_no_number_is_named_before_anything_is_learned_from_it(demonstrations: Path, make_env) -> None:
    env = BatchVecEnv(make_env(2))
    episodes = read_dataset(demonstrations, env.env.contract)
    size = env.env.contract.observation_size
    model = make_model(env, RECIPE, np.zeros(size), np.ones(size), 0, "cpu")
    watch_gradients(model.policy)
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    huge = [episodes[0]._replace(reward=np.full_like(episodes[0].reward, 3e38))]
    with np.errstate(over="ignore"), pytest.raises(StageError, match="epoch 1 of 5 of cloning: the critic's loss"):
        clone(model.policy, huge, 5, 1.0, 0)
    for parameter, old in zip(model.policy.parameters(), before):
        assert torch.equal(parameter, old)


@pytest.mark.parametrize("spoilt", ["actor", "critic"])
def test_the_loss_that_spoils_a_gradient_is_named_frozen_weights_or_not(make_env, spoilt: str) -> None:
    env = BatchVecEnv(make_env(2))
    size = env.env.contract.observation_size
    policy = make_model(env, RECIPE, np.zeros(size), np.ones(size), 0, "cpu").policy
    watch_gradients(policy)
    seen = torch.zeros(3, size)

    def learn(actor: float, critic: float) -> None:
        (actor * mean_action(policy, seen).sum() + critic * policy.predict_values(seen).sum()).backward()

    for frozen in (actor_parameters(policy), []):  # as while the critic warms up, and afterwards
        for parameter in policy.parameters():
            parameter.requires_grad_(all(parameter is not other for other in frozen))
        learn(1.0, 1.0)
        if spoilt == "critic" or not frozen:
            with pytest.raises(NotFinite, match=f"the {spoilt}'s loss"):
                learn(np.nan if spoilt == "actor" else 1.0, np.inf if spoilt == "critic" else 1.0)
    learn(1.0, 1.0)


def test_an_observation_that_is_no_number_ends_ppo_by_name(make_env, cell, workcell) -> None:
    """From the simulation itself: a wrench sensor whose noise, in the third period of one episode, is NaN."""
    env = make_env(4, space=Space.TRAIN)
    env.draw.wrench_noise[:] = 0.0
    vec_env, size = BatchVecEnv(env), env.contract.observation_size
    recipe = RECIPE.model_copy(update={"critic_warmup": 0})
    model = make_model(vec_env, recipe, np.zeros(size), np.ones(size), 0, "cpu")

    def spoil(*_) -> None:
        env.draw.wrench_noise[2, 3, 2] = np.nan

    with pytest.raises(StageError, match=r"update 1 of PPO: the observation's force\.\w is nan in episode 2 of"):
        improve(model, recipe, Validation(0, 0, False), lambda: Validation(0, 0, False), print, keep=spoil)
    assert env.seeds == Seeds(0, Space.TRAIN)
