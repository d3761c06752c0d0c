"""What is measured. Each returns its figures by name."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from robot_rlaas import pipeline, qualification
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.env import reward
from robot_rlaas.env.insertion import task as insertion
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.learn import clone
from robot_rlaas.learn import train as training
from robot_rlaas.learn.recipe import Recipe, load_recipe
from robot_rlaas.overview import read_json
from robot_rlaas.qualify.claims import Plan

CELL = "peg_insertion"
SEEDS = (0, 1, 2, 3, 4)


class Figure(NamedTuple):
    """A measured value. `ok` is whether it meets its goal; None without a goal."""

    value: float
    unit: str
    goal: float | None
    ok: bool | None


def at_least(value: float, unit: str, goal: float) -> Figure:
    return Figure(value, unit, goal, value >= goal)


def at_most(value: float, unit: str, goal: float) -> Figure:
    return Figure(value, unit, goal, value <= goal)


class Quiet:
    """A watch that shows nothing."""

    def say(self, text: str) -> None: ...

    def bar(self, text: str, done: float, total: float) -> None: ...


def help_time() -> dict[str, Figure]:
    """`rlaas --help` as a process of its own, median of seven."""
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "robot_rlaas.cli", "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return {"help_time": at_most(median(seconds), "s", 0.5)}


def qualification_time() -> dict[str, Figure]:
    """1,000 episodes of the scripted expert, from the command to the report, films included."""
    with TemporaryDirectory() as folder:
        out, start = Path(folder) / "qualification", time.perf_counter()
        qualification.qualify(CELL, "expert", 0, Plan(1000, sequential=False), out, Quiet())
        seconds = time.perf_counter() - start
        size_MB = (out / "report.html").stat().st_size / 1e6
    return {
        f"qualification_time/{CELL}": at_most(seconds, "s", 60),
        f"qualification_page/{CELL}": at_most(size_MB, "MB", 5),
    }


def train_and_qualify(recipe: Recipe, seed: int) -> tuple[float, dict]:
    """Seconds for demonstrations and training, and the report of 1,000 fresh episodes."""
    with TemporaryDirectory() as folder:
        out, watch = Path(folder), Quiet()
        start = time.perf_counter()
        pipeline.demonstrate(CELL, recipe, seed, out / "demonstrations", watch)
        pipeline.train(CELL, out / "demonstrations", recipe, seed, "cpu", out / "policy", watch)
        seconds = time.perf_counter() - start
        qualification.qualify(CELL, out / "policy", seed, Plan(1000, sequential=False), out / "qualification", watch)
        report = read_json(out / "qualification" / "report.json")
    assert report is not None
    return seconds, report


def time_to_99() -> dict[str, Figure]:
    """Seconds from nothing to a policy, and how many of five seeds reach lower_95 >= 0.99."""
    runs = [_told(seed, train_and_qualify(load_recipe("default"), seed)) for seed in SEEDS]
    good = [report["success"]["lower_95"] >= 0.99 for _, report in runs]
    forces = [row["value"] for _, r in runs for row in r["requirements"] if row["name"] == "contact_force"]
    return {
        f"time_to_99/{CELL}": at_most(median(s for s, _ in runs), "s", 300),
        f"seeds_at_99/{CELL}": at_least(sum(good), "of 5", 4),
        f"peak_force_p95/{CELL}": at_most(median(forces), "N", 60),
    }


def _told(seed: int, run: tuple[float, dict]) -> tuple[float, dict]:
    seconds, report = run
    rows = ", ".join(f"{row['name']} {row['value']:.4g} {row['verdict']}" for row in report["requirements"])
    print(f"  seed {seed}: {seconds:.0f} s, lower_95 {report['success']['lower_95']:.4f}, {rows}", flush=True)
    return run


class Without(NamedTuple):
    """An ingredient left out: changed keys of the recipe, constants of task and reward, features that are not seen."""

    recipe: Mapping[str, Any] = MappingProxyType({})
    constants: Mapping[str, Any] = MappingProxyType({})
    blind: tuple[str, ...] = ()


ABLATION_STEPS = 600_000
ABLATIONS = {
    "nothing": Without(),
    "demonstrations": Without(recipe={"clone_epochs": 0}),
    "noise_in_demonstrations": Without(recipe={"demonstration_noise": 0.0}),
    "wider_hidden_ranges": Without(recipe={"widen": 1.0}),
    "averaged_actor": Without(recipe={"average": 0.0}),
    "fading_exploration": Without(recipe={"noise_std": (0.12, 0.12)}),
    "patience": Without(recipe={"discount": 0.99}),
    "force_cost": Without(constants={"FORCE_WEIGHT": 0.0}),
    "sharp_shaping": Without(constants={"LATERAL_SCALES_M": (0.01,)}),
    "search_clock": Without(blind=("clock",)),
    "memory_of_touch": Without(blind=("touch", "above_touch")),
}


def ablation() -> dict[str, Figure]:
    """Each ingredient left out once, one seed, ABLATION_STEPS: success and 95th percentile of peak forces then."""
    figures = {}
    for name, left_out in ABLATIONS.items():
        with _changed(left_out) as recipe:
            _, report = train_and_qualify(recipe, 0)
        force = next(row["value"] for row in report["requirements"] if row["name"] == "contact_force")
        figures[f"ablation/{name}/success"] = Figure(report["success"]["rate"], "1", None, None)
        figures[f"ablation/{name}/peak_force_p95"] = Figure(force, "N", None, None)
        print(f"  without {name}: {report['success']['rate']:.3f}, {force:.1f} N", flush=True)
    return figures


@contextmanager
def _changed(without: Without) -> Iterator[Recipe]:
    def statistics(episodes: list) -> tuple[np.ndarray, np.ndarray]:
        mean, std = clone.statistics(episodes)
        features = contract_of(load_cell(CELL)).observation
        hidden = [f.name in without.blind for f in features for _ in f.axes]
        return mean, np.where(hidden, np.inf, std)  # divided by it, a feature is always zero

    with ExitStack() as stack:
        stack.enter_context(patch.object(training, "statistics", statistics))
        for name, value in without.constants.items():
            stack.enter_context(patch.object(insertion if hasattr(insertion, name) else reward, name, value))
        yield load_recipe("default").model_copy(update={"budget_steps": ABLATION_STEPS, **without.recipe})


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {
    "help_time": help_time,
    "qualification_time": qualification_time,
    "time_to_99": time_to_99,
    "ablation": ablation,
}
