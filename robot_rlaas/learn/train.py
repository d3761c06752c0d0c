"""From demonstrations to a policy directory: clone, aggregate, improve, export."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.limits import limits_of
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.data.episode import Episode
from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.files import staged_dir, write_json
from robot_rlaas.learn.aggregate import Round, aggregate
from robot_rlaas.learn.clone import clone, statistics, successes
from robot_rlaas.learn.improve import Progress, Validation, improve, make_model
from robot_rlaas.learn.network import acted, export_onnx, load_actor, save_stock
from robot_rlaas.learn.recipe import Recipe
from robot_rlaas.learn.vec_env import BatchVecEnv

FORMAT = 1
PARITY = 1000  # observations on which the exported network is to do what the trained one does
CONFIRM = 3  # a good validation is confirmed on so many times as many episodes


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

    Raises:
        InputError: if the device is not there, no demonstration succeeded, or `start` has other layers.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda, but torch finds no CUDA device", fix="use --device cpu or auto")
    torch.set_num_threads(1)  # small layers: a second thread only takes time from the simulation
    good = successes(episodes)
    vec_env = BatchVecEnv(training_env)
    model = make_model(vec_env, recipe, *statistics(good), seed, device)
    epochs = recipe.clone_epochs
    clone(model.policy, good, epochs, recipe.discount, seed, lambda done: watch.cloning(done, epochs))
    if start is not None:
        load_actor(model.policy, start)
    validate = _Validate(cell, validation_env, recipe.validation_episodes, model.policy)
    cloned, networks = validate(), {"clone.onnx": export_onnx(model.policy)}
    aggregated, curve = None, list[Progress]()
    if teacher is not None and recipe.aggregate_rounds and not cloned.good_enough:
        aggregated = aggregate(
            model.policy, teacher, training_env, good, recipe, seed, cloned, validate, watch.aggregating
        )
        networks["aggregated.onnx"] = export_onnx(model.policy)

    def follow(progress: Progress) -> None:
        curve.append(progress)
        watch.improving(progress)

    best = improve(model, recipe, aggregated or cloned, validate, follow)
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
    return Training(cloned, aggregated, best, curve)


class _Validate:
    """Judges an actor on episodes that were never run before.

    `seen` has the observations of the last ones, `simulated_s` how long all of them lasted, added up.
    """

    def __init__(self, cell: CellSpec, env_from: Callable[[int], BatchEnv], count: int, policy: Any) -> None:
        self._cell, self._env_from, self._count, self._policy = cell, env_from, count, policy
        self._next, self.seen, self.simulated_s = 0, list[np.ndarray](), 0.0

    def __call__(self) -> Validation:
        outcomes = self._fresh(self._count)
        verdict = judge(self._cell, outcomes)
        if not verdict.good_enough:
            return verdict
        return judge(self._cell, outcomes + self._fresh((CONFIRM - 1) * self._count))  # a first look may be luck

    def _fresh(self, count: int) -> list[Outcome]:
        env = self._env_from(self._next)
        self._next += count + env.nsim
        self.seen.clear()
        outcomes = run_episodes(env, self._policy, count, self.seen)
        self.simulated_s += env.simulated_s
        return outcomes


def run_episodes(env: BatchEnv, policy: Any, count: int, seen: list[np.ndarray]) -> list[Outcome]:
    """Outcomes of the environment's first `count` episodes under the deterministic actor; `seen` gets what it saw."""
    observation = env.reset()
    first, outcomes = int(env.episode.min()), []
    while len(outcomes) < count:
        seen.append(observation.copy())
        step = env.step(acted(policy, observation))
        outcomes += [o for o in step.outcomes if o.episode < first + count]
        observation = step.observation
    return outcomes


def some_of(demonstrated: list[np.ndarray], visited: list[np.ndarray], seed: int) -> np.ndarray:
    """PARITY of the observations, fewer where there are none: half of them demonstrated, half the actor's own."""
    rng = np.random.default_rng(seed)
    both = (np.concatenate(rows) for rows in (demonstrated, visited))
    return np.concatenate([rows[rng.permutation(len(rows))[: PARITY // 2]] for rows in both])


def judge(cell: CellSpec, outcomes: list[Outcome]) -> Validation:
    """Rank an actor: success first, then how far its quantiles stay below the limits.

    The score takes a standard error off the success rate, so that a few lucky episodes do not outrank many good ones.
    Good enough means a sixth of the failures that the cell allows, a twentieth of the limits of quantiles in hand and a
    third of what else may happen, so that a qualification on other episodes is likely to confirm it.
    """
    (success, *others), n = limits_of(cell), len(outcomes)
    count = sum(o.success for o in outcomes)
    likely = (count + 1) / (n + 2)
    quantiles, rates = ([limit for limit in others if limit.is_rate == is_rate] for is_rate in (False, True))
    use = [_quantile([limit.of(o) for o in outcomes], limit.rate) / limit.limit for limit in quantiles]
    excess = sum(max(0.0, share - 0.95) for share in use)
    broken = [float(np.mean([not limit.kept(o) for o in outcomes])) for limit in rates]
    good = (
        n - count <= n * (1.0 - success.rate) / 6
        and excess == 0.0
        and all(share <= limit.limit / 3 for share, limit in zip(broken, rates))
    )
    score = likely - np.sqrt(likely * (1.0 - likely) / n) - 0.2 * min(excess, 1.0) - sum(broken)
    return Validation(count / n, float(score), good)


def _quantile(values: list[float], q: float) -> float:
    return float(np.sort(values)[int(np.ceil(q * len(values))) - 1])


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
