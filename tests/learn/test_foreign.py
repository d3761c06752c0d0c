"""Policies of Stable-Baselines3 and LeRobot act as the tools themselves make them act; nothing in them is executed."""

import base64
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors
from samples import TINY_ACT
from stable_baselines3 import A2C, PPO, SAC, TD3
from stable_baselines3.common.torch_layers import FlattenExtractor

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError
from robot_rlaas.env.insertion.task import contract as contract_of
from robot_rlaas.learn.foreign_lerobot import load_lerobot
from robot_rlaas.learn.foreign_sb3 import load_sb3
from robot_rlaas.learn.improve import make_model
from robot_rlaas.learn.network import save_stock
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.learn.vec_env import BatchVecEnv

SMALL = {"net_arch": [16, 8]}


@pytest.fixture(scope="session")
def contract(cell) -> Contract:
    return contract_of(cell)


def seen(contract: Contract, rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (rows, contract.observation_size)).astype(np.float32)


# Stable-Baselines3


class Still(gymnasium.Env):
    def __init__(self, observation_size: int, action_space: gymnasium.Space) -> None:
        self.observation_space = Box(-np.inf, np.inf, (observation_size,), np.float32)
        self.action_space = action_space


def unit(size: int) -> Box:
    return Box(-1, 1, (size,), np.float32)


def saved(path: Path, kind: Any, observation_size: int, actions: gymnasium.Space, **settings: Any) -> Any:
    """A stock model, its weights large enough that clipping and squashing matter."""
    off_policy = {} if kind in (PPO, A2C) else {"buffer_size": 1}
    settings["policy_kwargs"] = dict(settings.get("policy_kwargs", SMALL))  # Stable-Baselines3 adds to it
    model = kind("MlpPolicy", Still(observation_size, actions), device="cpu", seed=0, **off_policy, **settings)
    for parameter in model.policy.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save(path)
    return model


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (PPO, {}),
        (PPO, {"policy_kwargs": {}}),
        (PPO, {"policy_kwargs": SMALL | {"activation_fn": torch.nn.ReLU}}),
        (PPO, {"policy_kwargs": {"net_arch": []}}),
        (PPO, {"use_sde": True}),
        (A2C, {"policy_kwargs": SMALL | {"activation_fn": torch.nn.ELU, "share_features_extractor": False}}),
        (A2C, {"policy_kwargs": SMALL | {"features_extractor_class": FlattenExtractor}}),
        (SAC, {}),
        (SAC, {"policy_kwargs": SMALL | {"activation_fn": torch.nn.Tanh}}),
        (TD3, {}),
    ],
)
def test_a_stock_zip_acts_as_in_sb3(kind, settings: dict, contract: Contract, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    model = saved(path, kind, contract.observation_size, unit(contract.action_size), **settings)
    policy, observation = load_sb3(path, contract), seen(contract, 32)
    expected = model.predict(observation, deterministic=True)[0]
    assert np.ptp(expected) > 1.0
    np.testing.assert_allclose(policy.act(observation), expected, atol=1e-6)
    assert policy.act(observation[:0]).shape == (0, contract.action_size)


def test_our_own_zip_acts_as_it_was_trained(make_env, contract: Contract, tmp_path: Path) -> None:
    rng, size = np.random.default_rng(0), contract.observation_size
    vec_env = BatchVecEnv(make_env(4))
    model = make_model(vec_env, load_recipe("smoke"), rng.normal(0, 0.1, size), rng.uniform(1e-3, 1, size), 0, "cpu")
    save_stock(model, tmp_path / "model.zip")
    observation = make_env(16).reset()
    expected = model.predict(observation, deterministic=True)[0]
    np.testing.assert_allclose(load_sb3(tmp_path / "model.zip", contract).act(observation), expected, atol=1e-4)


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def rewrite(path: Path, **entries: Callable[[bytes], bytes]) -> None:
    """Change entries of a zip in place; `policy` stands for policy.pth."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, entries.get(name.removesuffix(".pth"), bytes)(content))


def test_a_pickle_in_the_settings_is_not_executed(contract: Contract, tmp_path: Path) -> None:
    path, mark = tmp_path / "model.zip", tmp_path / "executed"
    model = saved(path, PPO, contract.observation_size, unit(contract.action_size))
    code = base64.b64encode(pickle.dumps(Bomb(mark))).decode()

    def poison(content: bytes) -> bytes:
        data = json.loads(content)
        for value in data.values():
            if isinstance(value, dict) and ":serialized:" in value:
                value[":serialized:"] = code
        return json.dumps(data).encode()

    rewrite(path, data=poison)
    expected = model.predict(seen(contract, 4), deterministic=True)[0]
    np.testing.assert_allclose(load_sb3(path, contract).act(seen(contract, 4)), expected, atol=1e-6)
    assert not mark.exists()
    pickle.loads(base64.b64decode(code))
    assert mark.exists()


def test_a_pickle_in_the_weights_is_refused(contract: Contract, tmp_path: Path) -> None:
    path, mark = tmp_path / "model.zip", tmp_path / "executed"
    saved(path, PPO, contract.observation_size, unit(contract.action_size))
    poisoned = io.BytesIO()
    torch.save({"log_std": Bomb(mark)}, poisoned)
    rewrite(path, policy=lambda content: poisoned.getvalue())
    with pytest.raises(InputError, match="plain tensors"):
        load_sb3(path, contract)
    assert not mark.exists()


def test_wrong_sizes_are_both_named(contract: Contract, tmp_path: Path) -> None:
    saved(tmp_path / "model.zip", PPO, 3, unit(2))
    with pytest.raises(InputError, match=f"maps 3 numbers to 2; the contract says {contract.observation_size} to 4"):
        load_sb3(tmp_path / "model.zip", contract)


class Extractor(torch.nn.Module):
    """Looks stock from its weights: it has none."""

    features_dim = 25

    def __init__(self, observation_space: Box) -> None:
        super().__init__()

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return 2 * observation


def test_what_the_weights_do_not_determine_is_refused(contract: Contract, tmp_path: Path) -> None:
    path, size = tmp_path / "model.zip", contract.observation_size
    refused = [
        ({"actions": Discrete(4)}, "action_space is .*Discrete"),
        ({"actions": Box(-2, 2, (4,), np.float32)}, "low .-2.0"),
        ({"policy_kwargs": SMALL | {"activation_fn": torch.nn.Softsign}}, "Softsign.*; allowed are .*Tanh"),
        ({"policy_kwargs": SMALL | {"features_extractor_class": Extractor}}, "features extractor"),
        ({"policy_kwargs": SMALL | {"squash_output": True}, "use_sde": True}, "squash_output"),
        ({"kind": SAC, "use_sde": True}, "lacks 'actor.mu.weight'"),
    ]
    for settings, reason in refused:
        saved(path, **{"kind": PPO, "observation_size": size, "actions": unit(4), **settings})
        with pytest.raises(InputError, match=reason):
            load_sb3(path, contract)


def test_a_class_of_somebody_is_refused(contract: Contract, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    saved(path, PPO, contract.observation_size, unit(contract.action_size))
    rewrite(path, data=lambda content: content.replace(b'"stable_baselines3.common.policies"', b'"mine.policies"'))
    with pytest.raises(InputError, match=r"comes from 'mine\.policies'"):
        load_sb3(path, contract)


def test_damaged_zips_are_refused(contract: Contract, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(InputError, match="not a zip"):
        load_sb3(path, contract)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "{}")
    with pytest.raises(InputError, match=r"policy\.pth"):
        load_sb3(path, contract)
    saved(path, PPO, contract.observation_size, unit(contract.action_size))
    rewrite(path, data=lambda content: b"[]")
    with pytest.raises(InputError, match="not a Stable-Baselines3 zip"):
        load_sb3(path, contract)
    empty = io.BytesIO()
    torch.save({}, empty)
    saved(path, PPO, contract.observation_size, unit(contract.action_size))
    rewrite(path, policy=lambda content: empty.getvalue())
    with pytest.raises(InputError, match="lacks 'log_std'"):
        load_sb3(path, contract)


# LeRobot


def saved_act(folder: Path, contract: Contract, **settings: Any) -> tuple[Any, Any, Any]:
    """A policy with random weights and its processors with random statistics, as LeRobot makes and saves them."""
    rng, sizes = np.random.default_rng(0), {"action": contract.action_size}
    sizes |= dict.fromkeys(("observation.state", "observation.environment_state"), contract.observation_size)
    kinds = {"action": FeatureType.ACTION, "observation.state": FeatureType.STATE}
    features = {name: PolicyFeature(kinds.get(name, FeatureType.ENV), (size,)) for name, size in sizes.items()}
    outputs = {"action": features.pop("action")}
    torch.manual_seed(0)
    config = make_policy_config("act", input_features=features, output_features=outputs, **(TINY_ACT | settings))
    policy = get_policy_class("act")(config).eval()
    draw = lambda size: {"mean": rng.normal(0, 0.3, size), "std": rng.uniform(0.2, 1.0, size)}  # noqa: E731
    processors = make_pre_post_processors(config, dataset_stats={name: draw(size) for name, size in sizes.items()})
    for part in (policy, *processors):
        part.save_pretrained(folder)
    return policy, *processors


def their_actions(lerobot: tuple[Any, Any, Any], observations: np.ndarray) -> np.ndarray:
    """What LeRobot's own loop does in one episode of a single row, (steps, action_size)."""
    policy, before, after = lerobot
    policy.reset()
    actions = []
    for observation in observations:
        vector = torch.from_numpy(observation)
        batch = before({"observation.state": vector, "observation.environment_state": vector})
        actions.append(after(policy.select_action(batch))[0].clamp(-1, 1).numpy())
    return np.array(actions)


@pytest.mark.parametrize("settings", [{}, {"n_action_steps": 1, "temporal_ensemble_coeff": 0.01}])
def test_every_row_acts_as_if_it_were_alone(settings: dict, contract: Contract, tmp_path: Path, capsys) -> None:
    """Rows that start their episodes at different times, against LeRobot's own loop over each episode."""
    lerobot = saved_act(tmp_path / "act", contract, **settings)
    capsys.readouterr()
    policy = load_lerobot(tmp_path / "act", contract, 3)
    assert capsys.readouterr().out == ""
    starts = {0: (0, 7), 1: (0, 2, 4, 9), 2: (0,)}
    observations = np.stack([seen(contract, 3, seed) for seed in range(12)])
    acted = []
    for step, observation in enumerate(observations):
        policy.reset(np.array([row for row, at in starts.items() if step in at], dtype=np.int64))
        acted.append(policy.act(observation))
    acted = np.array(acted)
    assert acted.dtype == np.float32
    assert acted.shape == (12, 3, contract.action_size)
    assert np.ptp(acted, axis=0).min() > 0.01
    for row, at in starts.items():
        for begin, end in zip(at, (*at[1:], 12)):
            expected = their_actions(lerobot, observations[begin:end, row])
            np.testing.assert_allclose(acted[begin:end, row], expected, atol=1e-5)


def test_a_processor_cannot_name_a_class(contract: Contract, tmp_path: Path) -> None:
    """LeRobot itself imports and calls what stands there."""
    saved_act(tmp_path / "act", contract)
    file, mark = tmp_path / "act/policy_postprocessor.json", tmp_path / "executed"
    content = json.loads(file.read_text())
    call = {"class": "subprocess.check_call", "config": {"args": ["touch", str(mark)]}}
    file.write_text(json.dumps(content | {"steps": [call, *content["steps"]]}))
    with pytest.raises(InputError, match=r"processor step 'subprocess\.check_call'; allowed are device_processor"):
        load_lerobot(tmp_path / "act", contract, 1)
    assert not mark.exists()


def change(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def test_what_lerobot_cannot_be_is_refused(contract: Contract, tmp_path: Path) -> None:
    folder = tmp_path / "act"

    def broken(file: str, edit: Callable[[dict[str, Any]], object], reason: str) -> None:
        saved_act(folder, contract)
        change(folder / file, edit)
        with pytest.raises(InputError, match=reason):
            load_lerobot(folder, contract, 1)

    image = {"type": "VISUAL", "shape": [3, 96, 96]}
    broken("config.json", lambda c: c.update(type="diffusion"), "type 'diffusion'; allowed is act. Others draw")
    broken("config.json", lambda c: c.pop("type"), "type None")
    broken("config.json", lambda c: c["input_features"].update({"observation.images.top": image}), "images.top.*offers")
    broken("config.json", lambda c: c["output_features"]["action"].update(shape=[7]), r"\(7,\).* wants .*\(4,\)")
    broken("config.json", lambda c: c.update(input_features=None), r"maps \{\} to")
    broken("config.json", lambda c: c.update(dim_model=64), "LeRobot cannot load it")
    broken("config.json", lambda c: c.update(unheard_of=1), "LeRobot cannot load it")
    preprocessor = "policy_preprocessor.json"
    broken(preprocessor, lambda c: c["steps"][-1].update(state_file="../s.safetensors"), "do not lie beside it")
    broken(preprocessor, lambda c: c["steps"][-1].update(state_file="s.safetensors"), "LeRobot cannot load it")
    broken(preprocessor, lambda c: c["steps"][-1].update(registry_name="tokenizer_processor"), "'tokenizer_processor'")
    broken(preprocessor, lambda c: c["steps"][-1].update(registry_name=["device_processor"]), r"step \['device_")
    broken(preprocessor, lambda c: c["steps"][-1].update(state_file=5), "statistics 5 do not lie beside it")
    for steps in (5, None, {"a": 1}, ["normalizer_processor"], [None]):
        broken(preprocessor, lambda c, steps=steps: c.update(steps=steps), "'steps' is not a list of JSON objects")


def test_a_missing_file_is_named(contract: Contract, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "policy_preprocessor.json", "policy_postprocessor.json"):
        saved_act(tmp_path / "act", contract)
        (tmp_path / "act" / name).unlink()
        with pytest.raises(InputError, match=name):
            load_lerobot(tmp_path / "act", contract, 1)
    (tmp_path / "act/config.json").write_text("[]")
    with pytest.raises(InputError, match="JSON object"):
        load_lerobot(tmp_path / "act", contract, 1)
