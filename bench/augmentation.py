"""How many attempts at new starts succeed that do again what ten episodes did, and what a clone of them is worth."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.measurements import Figure, Quiet, at_least
from robot_rlaas.cell.seeds import Seeds, Space, key_of
from robot_rlaas.data.augment import augment
from robot_rlaas.data.episode import Episode, record, start_axes
from robot_rlaas.data.lerobot import write_dataset
from robot_rlaas.data.lineage import Made, lineage_of
from robot_rlaas.env.tasks import contract_of, expert_of
from robot_rlaas.jobs import training
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.jobs.policies import load
from robot_rlaas.learn.clone import successes
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.qualify.trials import run_trials

FEW, ROWS = 10, 64
NOISE, MORE_NOISE = 0.1, 0.2  # as `demos generate` and `demos augment` have them
MANY = {"peg_insertion": 500, "machine_tending": 500, "kitting": 100}  # successes that are wanted
CLONED = {"peg_insertion": (0, 1, 2), "machine_tending": (0,)}  # seeds of the clones
JUDGED = 500  # episodes, the same for all clones


def augmenting() -> dict[str, Figure]:
    """Attempts that succeed; clones of as many augmented as scripted episodes, judged on the same starts."""
    figures = {}
    for name, count in MANY.items():
        cell = Cell.load(name)
        few = successes(scripted(cell, FEW))
        env = cell.env(ROWS, Seeds(0, Space.AUGMENT))
        done = augment(env, few, count, 5 * count, MORE_NOISE, np.random.default_rng(0), lambda kept, tried: None)
        print(f"  {name}: {len(done.kept)} of {done.tried} from {len(few)}, {done.past}", flush=True)
        figures[f"augment/{name}/generation"] = at_least(len(done.kept) / done.tried, "1", 0.6)
        if name in CLONED:
            figures |= _clones(cell, done.kept, successes(scripted(cell, round(1.1 * count)))[:count])
    return figures


def scripted(cell: Cell, count: int) -> list[Episode]:
    """As `rlaas demos generate` records them."""
    env = cell.env(min(count, ROWS), Seeds(0, Space.DEMONSTRATE))
    expert = expert_of(cell.spec, env.contract, env.nsim)
    return record(env, expert, count, NOISE, np.random.default_rng(0), lambda: None)


def _clones(cell: Cell, augmented: list[Episode], expert: list[Episode]) -> dict[str, Figure]:
    name = cell.spec.name
    pairs = np.array([_compared(cell, augmented, expert, seed) for seed in CLONED[name]])
    for seed, (ours, theirs) in zip(CLONED[name], pairs):
        print(f"  {name}, seed {seed}: clone of augmented {ours:.1%}, of scripted {theirs:.1%}", flush=True)
    ours, theirs = pairs.mean(axis=0).tolist()
    return {
        f"augment/{name}/clone": Figure(ours, "1", None, None),
        f"augment/{name}/clone_of_scripted": Figure(theirs, "1", None, None),
        f"augment/{name}/clone_over_scripted": at_least(ours - theirs, "1", -0.03),
    }


def _compared(cell: Cell, augmented: list[Episode], expert: list[Episode], seed: int) -> tuple[float, float]:
    """Success of both clones, as `rlaas train` makes them before PPO, on the same starts."""
    recipe, watch = load_recipe("default").model_copy(update={"budget_steps": 1, "aggregate_rounds": 0}), Quiet()
    contract = contract_of(cell.spec)
    with TemporaryDirectory() as folder:
        out = Path(folder)
        for what, episodes in (("augmented", augmented), ("scripted", expert)):
            lineage = lineage_of(cell.spec, contract, start_axes(cell.spec), Made(by="a bench"))
            write_dataset(out / what, lineage, episodes)
            training.train(cell.spec.name, out / what, recipe, seed, "cpu", out / f"policy_{what}", watch)
        clones = [str(out / f"policy_{what}" / "clone.onnx") for what in ("augmented", "scripted")]
        loaded = [load(path, cell.spec, ROWS) for path in clones]
        seeds = Seeds(seed, Space.COMPARE, key_of(*(one.sha256 for one in loaded)))
        trials = [run_trials(cell.env(ROWS, seeds), one.policy, JUDGED, lambda *_: None) for one in loaded]
    ours, theirs = (float(np.mean([trial.outcome.success for trial in part])) for part in trials)
    return ours, theirs


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"augment": augmenting}
