"""Policies that LeRobot saved. A processor file may name any Python class: only a few harmless ones are allowed."""

import contextlib
import copy
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError

Tensor = torch.Tensor

LEROBOT_TYPES = ("act",)
LEROBOT_STEPS = {  # each acts on every row alone and keeps no past
    "rename_observations_processor",
    "to_batch_processor",
    "device_processor",
    "normalizer_processor",
    "unnormalizer_processor",
}
LEROBOT_SEEN = ("observation.state", "observation.environment_state")


def load_lerobot(path: Path, contract: Contract, rows: int) -> "Chunks | Ensemble":
    """The policy in a directory that LeRobot's `save_pretrained` wrote, with the processors beside it.

    Its `observation.state` is the contract's observation vector, and so is `observation.environment_state` where it
    asks for one (ACT needs an image or that); its `action` is the contract's action.

    Args:
        path: config.json, model.safetensors, policy_preprocessor.json, policy_postprocessor.json and their statistics.
        contract: its sizes must be the policy's.
        rows: of the batches that it will see.

    Raises:
        InputError: if it is damaged, of a type or with a processor that is not allowed, or made for other sizes.
    """
    kind = _json(path / "config.json").get("type")
    if kind not in LEROBOT_TYPES:
        raise InputError(
            f"a LeRobot policy of type {kind!r}; allowed is {', '.join(LEROBOT_TYPES)}. Others draw their actions at "
            "random, so that no two runs agree, or need images or language",
            file=path / "config.json",
            fix="name a policy of an allowed type, or wrap it in Python and name it as module:attribute",
        )
    sides = {side: _vetted(path, f"policy_{side}.json") for side in ("preprocessor", "postprocessor")}
    policy, before, after = _lerobot_load(path, contract, sides)
    torch.set_num_threads(1)  # the same bits whatever the number of cores
    memory = Chunks if policy.config.temporal_ensemble_coeff is None else Ensemble
    return memory(policy, before, after, rows, contract.action_size)


def _vetted(path: Path, name: str) -> set[str]:
    """The names of a processor's steps. Loading one instantiates whatever class it names, with arguments it names."""
    found = set()
    steps = _json(path / name).get("steps", [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise InputError("'steps' is not a list of JSON objects", file=path / name)
    for step in steps:
        step_name, state = step.get("registry_name"), step.get("state_file", "state")
        if not isinstance(step_name, str) or step_name not in LEROBOT_STEPS:
            raise InputError(
                f"a processor step {step_name or step.get('class')!r}; allowed are {', '.join(sorted(LEROBOT_STEPS))}",
                file=path / name,
                fix="save the policy with the standard processors of its type",
            )
        if not isinstance(state, str) or Path(state).name != state:
            raise InputError(f"the statistics {state!r} do not lie beside it", file=path / name)
        found.add(step_name)
    return found


def _lerobot_load(path: Path, contract: Contract, sides: dict[str, set[str]]) -> tuple[Any, Any, Any]:
    """Policy, preprocessor and postprocessor as LeRobot makes them, on the CPU, from this directory only."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from lerobot.configs import PreTrainedConfig
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors
    except ImportError as error:
        raise InputError("LeRobot policies need lerobot", fix="pip install 'robot_rlaas[train]'") from error
    overrides = {
        side: {"device_processor": {"device": "cpu"}} if "device_processor" in steps else {}
        for side, steps in sides.items()
    }
    again = "save it again with LeRobot's save_pretrained, the processors too"
    try:
        config = PreTrainedConfig.from_pretrained(path, local_files_only=True, cli_overrides=["--device=cpu"])
        _lerobot_fits(config, contract, path / "config.json")
        with contextlib.redirect_stdout(io.StringIO()):  # it prints that it loads
            policy = get_policy_class(config.type).from_pretrained(
                path, config=config, local_files_only=True, strict=True
            )
        before, after = make_pre_post_processors(
            config,
            pretrained_path=str(path),
            preprocessor_overrides=overrides["preprocessor"],
            postprocessor_overrides=overrides["postprocessor"],
        )
    except InputError:
        raise
    except Exception as error:  # draccus, safetensors and LeRobot have classes of their own
        raise InputError(f"LeRobot cannot load it: {error}", file=path, fix=again) from error
    return policy, before, after


def _lerobot_fits(config: Any, contract: Contract, file: Path) -> None:
    seen = {name: tuple(feature.shape) for name, feature in (config.input_features or {}).items()}
    done = {name: tuple(feature.shape) for name, feature in (config.output_features or {}).items()}
    allowed = {name: (contract.observation_size,) for name in LEROBOT_SEEN}
    if not seen or not seen.items() <= allowed.items() or done != {"action": (contract.action_size,)}:
        raise InputError(
            f"the policy maps {seen} to {done}; the contract offers {allowed} and wants "
            f"{{'action': ({contract.action_size},)}}",
            file=file,
            fix="train it on the observation vector alone: a dataset's environment state is hidden from policies",
        )


class _Lerobot:
    """A LeRobot policy between its processors, for batches of observation vectors."""

    def __init__(self, policy: Any, before: Any, after: Any, rows: int, action_size: int) -> None:
        self._policy, self._before, self._after = policy, before, after
        self._rows, self._action_size = rows, action_size
        self._keys = {LEROBOT_SEEN[0], *policy.config.input_features}

    def _plan(self, observation: np.ndarray) -> Tensor:
        """Observations (n, observation_size) -> chunks (n, chunk_size, action_size), not postprocessed."""
        vector = torch.tensor(observation, dtype=torch.float32)
        return self._policy.predict_action_chunk(self._before({key: vector for key in self._keys}))

    def _finish(self, action: Tensor) -> np.ndarray:
        return self._after(action).clamp(-1.0, 1.0).numpy()


class Chunks(_Lerobot):
    """Every row works off a chunk of actions of its own and asks for the next one when it is used up.

    LeRobot's `select_action` keeps one queue for the whole batch: rows that start at different times would act on what
    was planned for the episode before.
    """

    def __init__(self, policy: Any, before: Any, after: Any, rows: int, action_size: int) -> None:
        super().__init__(policy, before, after, rows, action_size)
        self._length = policy.config.n_action_steps
        self._planned = torch.zeros(rows, self._length, action_size)
        self._used = np.full(rows, self._length)

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""
        self._used[ids] = self._length

    @torch.no_grad()
    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`: (rows, observation_size) -> (rows, action_size) float32."""
        empty = np.flatnonzero(self._used == self._length)
        if len(empty):
            self._planned[empty] = self._plan(observation[empty])[:, : self._length]
            self._used[empty] = 0
        action = self._planned[np.arange(self._rows), self._used]
        self._used += 1
        return self._finish(action)


class Ensemble(_Lerobot):
    """Every row plans anew at every step and acts on the weighted mean of what it has planned for now."""

    def __init__(self, policy: Any, before: Any, after: Any, rows: int, action_size: int) -> None:
        super().__init__(policy, before, after, rows, action_size)
        self._past = [copy.deepcopy(policy.temporal_ensembler) for _ in range(rows)]

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""
        for row in ids:
            self._past[row].reset()

    @torch.no_grad()
    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`: (rows, observation_size) -> (rows, action_size) float32."""
        chunks = self._plan(observation)
        return self._finish(torch.cat([past.update(chunk) for past, chunk in zip(self._past, chunks.split(1))]))


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read this part of a LeRobot policy ({error})", file=file) from error
    if not isinstance(content, dict):
        raise InputError("expected a JSON object", file=file)
    return content
