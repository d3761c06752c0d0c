"""What is measured. Each returns its figures by name."""

import os
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

from robot_rlaas.cell.spec import load_cell
from robot_rlaas.env import reward
from robot_rlaas.env.insertion import task as insertion
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.jobs import pipeline, qualification, training
from robot_rlaas.jobs.overview import read_json
from robot_rlaas.learn import clone
from robot_rlaas.learn import train as learning
from robot_rlaas.learn.recipe import Recipe, load_recipe, recipe_for
from robot_rlaas.qualify.claims import Plan

CELL = "peg_insertion"


class Figure(NamedTuple):
    """A measured value. `ok` is whether it meets its goal; None without a goal."""

    value: float
    unit: str
    goal: float | None
    ok: bool | None


def at_least(value: float, unit: str, goal: float) -> Figure:
    return Figure(float(value), unit, goal, bool(value >= goal))


def at_most(value: float, unit: str, goal: float) -> Figure:
    return Figure(float(value), unit, goal, bool(value <= goal))


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


class Stamps(Quiet):
    """A watch that notes when each stage of training was last heard of, in seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self.last_s: dict[str, float] = {}

    def bar(self, text: str, done: float, total: float) -> None:
        self.last_s[text.split(":")[0]] = time.perf_counter() - self._start


class Run(NamedTuple):
    """Seconds for demonstrations and training, until when each stage lasted, what training said, and the report."""

    seconds: float
    last_s: dict[str, float]
    validation: dict[str, dict]
    report: dict


def train_and_qualify(recipe: Recipe, seed: int, cell: str = CELL) -> Run:
    """Train a policy and judge it by 1,000 fresh episodes."""
    with TemporaryDirectory() as folder:
        out, watch = Path(folder), Stamps()
        start = time.perf_counter()
        pipeline.demonstrate(cell, recipe, seed, out / "demonstrations", watch)
        training.train(cell, out / "demonstrations", recipe, seed, "cpu", out / "policy", watch)
        seconds = time.perf_counter() - start
        qualification.qualify(cell, out / "policy", seed, Plan(1000, sequential=False), out / "qualification", watch)
        policy, report = read_json(out / "policy" / "policy.json"), read_json(out / "qualification" / "report.json")
    assert policy is not None
    assert report is not None
    return Run(seconds, watch.last_s, policy["validation"], report)


class Target(NamedTuple):
    """What a cell's policies are to reach: the lower 95 % bound of success, within so many seconds."""

    lower_95: float
    seconds: float


TARGETS = {
    CELL: Target(0.99, 180),
    "gear_meshing": Target(0.99, 480),
    "connector_mating": Target(0.99, 480),
    "machine_tending": Target(0.99, 1200),
    "kitting": Target(0.99, 1200),
    "peg_insertion_tight": Target(0.95, 1200),
}


def time_to_99() -> dict[str, Figure]:
    """Every cell's way from nothing to a verdict: seconds, bound of success, share of seeds that pass everything.

    One seed; `make bench ONLY=time_to_99 SEEDS=5` takes five, and their medians.
    """
    figures, seeds = {}, range(int(os.environ.get("SEEDS", "1")))
    for cell, target in TARGETS.items():
        runs = [_told(cell, seed, train_and_qualify(load_recipe(recipe_for(cell)), seed, cell)) for seed in seeds]
        passed = [all(row["verdict"] == "PASS" for row in run.report["requirements"]) for run in runs]
        bound = median(run.report["success"]["lower_95"] for run in runs)
        figures |= {
            f"time_to_99/{cell}": at_most(median(run.seconds for run in runs), "s", target.seconds),
            f"time_to_99/{cell}/lower_95": at_least(bound, "1", target.lower_95),
            f"time_to_99/{cell}/all_pass": at_least(sum(passed) / len(runs), "1", 1.0),
            **_stages(cell, runs),
        }
    return figures


def _stages(cell: str, runs: list[Run]) -> dict[str, Figure]:
    """Success that training itself validated after each stage, and when the stage ended; medians of the runs."""
    figures = {}
    for stage, bar in (("clone", "cloning"), ("aggregated", "aggregating"), ("best", "improving")):
        success = [run.validation[stage]["success"] for run in runs if stage in run.validation]
        ended_s = [run.last_s[bar] for run in runs if bar in run.last_s]
        for name, values, unit in ((f"{stage}/success", success, "1"), (f"{stage}/ended", ended_s, "s")):
            if values:
                figures[f"time_to_99/{cell}/{name}"] = Figure(median(values), unit, None, None)
    return figures


def _told(cell: str, seed: int, run: Run) -> Run:
    stages = ", ".join(f"{stage} {one['success']:.1%}" for stage, one in run.validation.items())
    ended = ", ".join(f"{bar} until {second:.0f} s" for bar, second in run.last_s.items())
    rows = ", ".join(f"{row['name']} {_short(row['value'])} {row['verdict']}" for row in run.report["requirements"])
    lower = run.report["success"]["lower_95"]
    print(f"  {cell}, seed {seed}: {run.seconds:.0f} s ({ended}); {stages}; lower_95 {lower:.4f}; {rows}", flush=True)
    return run


def _short(value: float | None) -> str:
    """A quantile has no value where too many episodes fail."""
    return "-" if value is None else f"{value:.4g}"


class Without(NamedTuple):
    """An ingredient left out: changed keys of the recipe, constants of task and reward, features that are not seen."""

    recipe: Mapping[str, Any] = MappingProxyType({})
    constants: Mapping[str, Any] = MappingProxyType({})
    blind: tuple[str, ...] = ()


ABLATION_STEPS = 600_000
ABLATIONS = {
    "nothing": Without(),
    "demonstrations": Without(recipe={"clone_epochs": 0, "aggregate_rounds": 0}),
    "aggregation": Without(recipe={"aggregate_rounds": 0}),
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
            report = train_and_qualify(recipe, 0).report
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
        stack.enter_context(patch.object(learning, "statistics", statistics))
        for name, value in without.constants.items():
            stack.enter_context(patch.object(insertion if hasattr(insertion, name) else reward, name, value))
        yield load_recipe("default").model_copy(update={"budget_steps": ABLATION_STEPS, **without.recipe})


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {
    "help_time": help_time,
    "qualification_time": qualification_time,
    "time_to_99": time_to_99,
    "ablation": ablation,
}
