"""What an interrupted training goes on from: all that it was at that moment, in one file without code in it."""

import io
import json
import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3 import PPO

from robot_rlaas.cell.errors import InputError
from robot_rlaas.files import write_atomic
from robot_rlaas.learn.vec_env import BatchVecEnv

FORMAT = 1
WORDS = "words"  # the entry that holds what is no array, as JSON


class State(NamedTuple):
    """Arrays, and what else there is that JSON can say, by name."""

    arrays: dict[str, np.ndarray]
    words: dict[str, Any]

    def __or__(self, other: "State") -> "State":  # type: ignore[override]
        """Both."""
        return State(self.arrays | other.arrays, self.words | other.words)

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays whose names begin so, without that beginning."""
        return {name.removeprefix(prefix): array for name, array in self.arrays.items() if name.startswith(prefix)}


def path_of(out: Path) -> Path:
    """Where the checkpoint of a training lies whose policy directory is to be `out`: beside it."""
    out = Path(os.path.abspath(out))
    return out.with_name(f"{out.name}.checkpoint")


def write(path: Path, made_from: dict[str, Any], state: State) -> None:
    """Write a checkpoint, whole or not at all. `made_from`: by name, all that decides what the training does."""
    words = json.dumps({"format": FORMAT, "made_from": made_from, **state.words})
    file = io.BytesIO()
    arrays: dict[str, Any] = {WORDS: np.frombuffer(words.encode(), np.uint8), **state.arrays}
    np.savez(file, **arrays)
    write_atomic(path, file.getvalue())


def read(path: Path, made_from: dict[str, Any]) -> State:
    """The checkpoint of a training made from just this.

    Raises:
        InputError: if it is damaged, or of another training.
    """
    fix = "remove it to begin anew"
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        words = json.loads(arrays.pop(WORDS).tobytes())
        theirs, version = words.pop("made_from"), words.pop("format")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"not a checkpoint of a training ({error})", file=path, fix=fix) from error
    ours = json.loads(json.dumps({"format": FORMAT, **made_from}))
    theirs = {"format": version, **theirs}
    other = [name for name in ours if ours[name] != theirs.get(name)]
    if other:
        message = f"this checkpoint is of a training that differs in: {', '.join(other)}"
        raise InputError(message, file=path, fix=f"train as it was begun, or {fix}")
    return State(arrays, words)


def of_model(model: PPO) -> State:
    """The networks, Adam, and the generators that exploration and the order of samples come from."""
    numpy = np.random.get_state(legacy=False)
    arrays = {f"policy/{name}": tensor.cpu().numpy().copy() for name, tensor in model.policy.state_dict().items()}
    arrays |= of_optimiser(model.policy.optimizer, "adam/")
    arrays |= {"torch": torch.get_rng_state().numpy(), "numpy": numpy["state"]["key"]}
    if model.device.type == "cuda":
        arrays["cuda"] = torch.cuda.get_rng_state(model.device).numpy()
    generator = {"pos": numpy["state"]["pos"], "has_gauss": numpy["has_gauss"], "gauss": numpy["gauss"]}
    return State(arrays, {"num_timesteps": model.num_timesteps, "numpy": generator})


def of_optimiser(optimiser: torch.optim.Optimizer, prefix: str) -> dict[str, np.ndarray]:
    """What Adam remembers of each parameter, by names that begin so."""
    kept = optimiser.state_dict()["state"]
    return {
        f"{prefix}{index}/{name}": tensor.cpu().numpy().copy()
        for index, parts in kept.items()
        for name, tensor in parts.items()
    }


def into_optimiser(optimiser: torch.optim.Optimizer, state: State, prefix: str) -> None:
    """The inverse of `of_optimiser`."""
    kept: dict[int, dict[str, torch.Tensor]] = {}
    for name, array in state.under(prefix).items():
        index, part = name.split("/")
        kept.setdefault(int(index), {})[part] = torch.tensor(array)
    optimiser.load_state_dict({**optimiser.state_dict(), "state": kept})


def into_model(model: PPO, state: State) -> None:
    """The inverse of `of_model`, into a model that `make_model` just made."""
    weights = OrderedDict((name, torch.tensor(array)) for name, array in state.under("policy/").items())
    model.policy.load_state_dict(weights)
    into_optimiser(model.policy.optimizer, state, "adam/")
    torch.set_rng_state(torch.tensor(state.arrays["torch"]))
    if model.device.type == "cuda":
        torch.cuda.set_rng_state(torch.tensor(state.arrays["cuda"]), model.device)
    generator = state.words["numpy"]
    key = {"key": state.arrays["numpy"], "pos": generator["pos"]}
    np.random.set_state({**generator, "bit_generator": "MT19937", "state": key})
    model.num_timesteps = state.words["num_timesteps"]


def of_env(env: BatchVecEnv) -> State:
    """The episodes that are under way: their numbers and what was done in them."""
    batch = env.env
    longest = int(batch.steps.max())
    arrays = {
        "env/episode": batch.episode.copy(),
        "env/steps": batch.steps.copy(),
        "env/taken": env.taken[:, :longest].copy(),
        "env/observation": batch.observation.copy(),
    }
    words = {"coming": batch.coming, "simulated_s": batch.simulated_s, "term_sums": dict(env.term_sums)}
    return State(arrays, {"env": words})


def into_env(env: BatchVecEnv, model: PPO, state: State) -> None:
    """The inverse of `of_env`, by taking the same actions again; PPO goes on from there.

    Raises:
        InputError: if the simulation is not where it was, to the last bit.
    """
    kept, words = state.under("env/"), state.words["env"]
    steps, taken = kept["steps"], kept["taken"]
    found = env.env.rejoin(kept["episode"], steps, taken, words["coming"])
    if found.tobytes() != kept["observation"].tobytes():
        raise InputError(
            "the simulation does not come to where the interrupted training was: another version or processor",
            fix="go on where it began, or remove the checkpoint to begin anew",
        )
    env.env.simulated_s = words["simulated_s"]
    env.taken[:, : taken.shape[1]] = taken
    env.term_sums = dict(words["term_sums"])
    model._last_obs, model._last_episode_starts = found, steps == 0
