"""From demonstrations to a policy directory: clone, aggregate, improve, export."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from stable_baselines3 import PPO

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.data.episode import Episode
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.files import staged_dir, write_json
from robot_rlaas.learn import checkpoint
from robot_rlaas.learn.aggregate import Round, aggregate
from robot_rlaas.learn.clone import clone, statistics, successes
from robot_rlaas.learn.finite import watch_gradients
from robot_rlaas.learn.improve import Progress, Validation, improve, make_model
from robot_rlaas.learn.network import acted, export_onnx, load_actor, save_stock
from robot_rlaas.learn.recipe import Recipe
from robot_rlaas.learn.validate import Validate
from robot_rlaas.learn.vec_env import BatchVecEnv

FORMAT = 1
PARITY = 1000  # observations on which the exported network is to do what the trained one does


class Training(NamedTuple):
    """What a training run achieved.

    Attributes:
        clone: validation of the clone of the demonstrations.
        aggregated: of the clone after aggregation; None where no expert was asked.
        best: of the result.
        curve: of PPO.
    """

    clone: Validation
    aggregated: Validation | None
    best: Validation
    curve: list[Progress]


class Watch(Protocol):
    """Whoever wants to see training progress."""

    def cloning(self, epochs: int, of: int) -> None:
        """So many epochs of behaviour cloning are done."""
        ...

    def aggregating(self, done: Round) -> None:
        """A round of aggregation is done."""
        ...

    def improving(self, progress: Progress) -> None:
        """The learning curve has a new row."""
        ...


def train(
    cell: CellSpec,
    training_env: BatchEnv,
    validation_env: Callable[[int], BatchEnv],
    episodes: list[Episode],
    recipe: Recipe,
    seed: int,
    device: str,
    out: Path,
    provenance: dict[str, Any],
    watch: Watch,
    start: bytes | None = None,
    teacher: Policy | None = None,
    resume: bool = False,
) -> Training:
    """Train a policy and write its directory, whole or not at all.

    Args:
        cell: what it is trained for; validation judges by its requirements.
        training_env: episodes to learn from.
        validation_env: makes an environment whose first episode has the given number, in a seed space of its own.
        episodes: demonstrations.
        recipe: settings.
        seed: of the weights, the order of samples and the exploration.
        device: "cpu" or "cuda", for the network.
        out: policy.onnx, clone.onnx (of the demonstrations alone), aggregated.onnx (after aggregation), policy.json,
            sb3_model.zip, progress.csv, and parity.npz: what torch's network did on real observations, for whoever
            runs the exported one.
        provenance: of the inputs; stored in policy.json.
        watch: hears of progress.
        start: policy.onnx of another run, trained with the same recipe, to go on from in the clone's place; the critic
            is learned anew.
        teacher: the expert that is asked in aggregation, one row per row of `training_env`; None for no aggregation.
        resume: go on from the checkpoint beside `out`, if an interrupted training left one there. On the CPU the result
            is, bit for bit, that of a training without interruption.

    Raises:
        InputError: if the device is not there, no demonstration succeeded, `start` has other layers, or the checkpoint
            is of another training.
        StageError: if a loss, an observation or a reward is no number; it is named.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda, but torch finds no CUDA device", fix="use --device cpu or auto")
    torch.set_num_threads(1)  # small layers: a second thread only takes time from the simulation
    good, kept = successes(episodes), checkpoint.path_of(out)
    vec_env = BatchVecEnv(training_env)
    model = make_model(vec_env, recipe, *statistics(good), seed, device)
    watch_gradients(model.policy)
    validate = Validate(cell, validation_env, recipe.validation_episodes, model.policy)
    made_from = _made_from(cell, recipe, seed, device, provenance, start)
    resumed = checkpoint.read(kept, made_from) if resume and kept.exists() else None
    if resumed is None:
        begun = _begin(model, good, recipe, seed, validate, watch, start, teacher, training_env)
        curve = list[Progress]()
    else:
        begun, curve = _taken_up(resumed, validate)

    def follow(progress: Progress) -> None:
        curve.append(progress)
        watch.improving(progress)

    def keep(state: checkpoint.State) -> None:
        checkpoint.write(kept, made_from, state | _state(begun, curve, validate))

    cloned, aggregated, networks = begun
    best = improve(model, recipe, aggregated or cloned, validate, follow, keep, resumed)
    validations = {"clone": cloned, "aggregated": aggregated, "best": best}
    networks["policy.onnx"] = export_onnx(model.policy)
    with staged_dir(out) as part:
        part.mkdir()
        for name, network in networks.items():
            (part / name).write_bytes(network)
        save_stock(model, part / "sb3_model.zip")
        compared = some_of([e.observation for e in good], validate.seen, seed)
        np.savez(part / "parity.npz", observation=compared, action=acted(model.policy, compared))
        _write_curve(curve, part / "progress.csv")
        simulated_s = training_env.simulated_s + validate.simulated_s
        description = _description(cell, training_env, recipe, seed, provenance, validations, simulated_s)
        write_json(part / "policy.json", description)
    kept.unlink(missing_ok=True)
    return Training(cloned, aggregated, best, curve)


class _Begun(NamedTuple):
    """What was there before PPO: see `Training`; networks by file name."""

    cloned: Validation
    aggregated: Validation | None
    networks: dict[str, bytes]


def _begin(
    model: PPO,
    good: list[Episode],
    recipe: Recipe,
    seed: int,
    validate: Validate,
    watch: Watch,
    start: bytes | None,
    teacher: Policy | None,
    env: BatchEnv,
) -> _Begun:
    """Clone, and aggregate where there is a teacher and need of one."""
    epochs = recipe.clone_epochs
    clone(model.policy, good, epochs, recipe.discount, seed, lambda done: watch.cloning(done, epochs))
    if start is not None:
        load_actor(model.policy, start)
    cloned, networks = validate(), {"clone.onnx": export_onnx(model.policy)}
    if teacher is None or not recipe.aggregate_rounds or cloned.good_enough:
        return _Begun(cloned, None, networks)
    aggregated = aggregate(model.policy, teacher, env, good, recipe, seed, cloned, validate, watch.aggregating)
    return _Begun(cloned, aggregated, networks | {"aggregated.onnx": export_onnx(model.policy)})


def _made_from(
    cell: CellSpec, recipe: Recipe, seed: int, device: str, provenance: dict[str, Any], start: bytes | None
) -> dict[str, Any]:
    """All that decides what a training does, by the names that a person knows it by."""
    return {
        "cell": cell.hash,
        "recipe": json.loads(recipe.model_dump_json()),
        "seed": seed,
        "device": device,
        "demonstrations": provenance.get("demonstrations_sha256"),
        "ranges": provenance.get("variation"),
        "simulator": provenance.get("simulator"),
        "focus": provenance.get("focus"),
        "first policy": start and hashlib.sha256(start).hexdigest(),
    }


def _state(begun: _Begun, curve: list[Progress], validate: Validate) -> checkpoint.State:
    arrays = {f"network/{name}": np.frombuffer(network, np.uint8) for name, network in begun.networks.items()}
    arrays["seen"] = np.array(validate.seen)
    validated = {"next": validate.next, "simulated_s": validate.simulated_s}
    words = {"cloned": begun.cloned, "aggregated": begun.aggregated, "curve": curve, "validated": validated}
    return checkpoint.State(arrays, words)


def _taken_up(state: checkpoint.State, validate: Validate) -> tuple[_Begun, list[Progress]]:
    """The inverse of `_state`; `validate` goes on where it was."""
    networks = {name: array.tobytes() for name, array in state.under("network/").items()}
    words = state.words
    aggregated = words["aggregated"] and Validation(*words["aggregated"])
    validate.seen[:] = state.arrays["seen"]
    validate.next, validate.simulated_s = words["validated"]["next"], words["validated"]["simulated_s"]
    return _Begun(Validation(*words["cloned"]), aggregated, networks), [Progress(*row) for row in words["curve"]]


def some_of(demonstrated: list[np.ndarray], visited: list[np.ndarray], seed: int) -> np.ndarray:
    """PARITY of the observations, fewer where there are none: half of them demonstrated, half the actor's own."""
    rng = np.random.default_rng(seed)
    both = (np.concatenate(rows) for rows in (demonstrated, visited))
    return np.concatenate([rows[rng.permutation(len(rows))[: PARITY // 2]] for rows in both])


def _write_curve(curve: list[Progress], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        terms = list(curve[0].terms) if curve else []
        writer.writerow([*Progress._fields[:-1], *(f"reward_{term}" for term in terms)])
        for row in curve:
            writer.writerow([*row[:-1], *(row.terms[term] for term in terms)])


def _description(
    cell: CellSpec,
    env: BatchEnv,
    recipe: Recipe,
    seed: int,
    provenance: dict[str, Any],
    validations: dict[str, Validation | None],
    simulated_s: float,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": "mlp",
        "contract": env.contract.to_json(),
        "cell": json.loads(cell.model_dump_json()),
        "cell_hash": cell.hash,
        "seed": seed,
        "recipe": json.loads(recipe.model_dump_json()),
        "validation": {stage: one._asdict() for stage, one in validations.items() if one},
        "simulated_s": round(simulated_s, 3),
        "provenance": provenance,
    }
