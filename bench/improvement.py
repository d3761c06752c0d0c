"""Steps from a policy that fails one part in ten to a lower bound of 99 %: trained where it fails, and by plain PPO."""

import json
import os
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.measurements import CELL, Figure, Quiet, at_most
from robot_rlaas.jobs import pipeline, training
from robot_rlaas.jobs.improvement import TABLE, Options, improve
from robot_rlaas.learn.recipe import load_recipe

ENOUGH = 0.99  # lower bound of success
ROUNDS, BUDGET_STEPS, EPISODES = 4, 1_200_000, 1000
SHARES = {"focus": 0.5, "plain": 0.0}


class Lines(Quiet):
    """A watch that prints what stays."""

    def say(self, text: str) -> None:
        """See `pipeline.Watch`."""
        print(f"    {text}", flush=True)


def improving() -> dict[str, Figure]:
    """From the same policy and seed, with and without a share of episodes where it fails; pairs of one seed or `SEEDS`.

    Whoever never gets there counts with the whole budget.
    """
    steps: dict[str, list[int]] = {name: [] for name in SHARES}
    for seed in range(int(os.environ.get("SEEDS", "1"))):
        with TemporaryDirectory() as folder:
            policy = _stopped(seed, Path(folder))
            for name, share in SHARES.items():
                print(f"  seed {seed}, {name}", flush=True)
                steps[name].append(_steps(policy, seed, share, Path(folder) / name))
    print(f"  {steps}", flush=True)
    figures = {f"improve/{name}": Figure(median(taken), "steps", None, None) for name, taken in steps.items()}
    ratio = median(ours / theirs for ours, theirs in zip(steps["focus"], steps["plain"]))
    return figures | {"improve/ratio": at_most(ratio, "1", 1.0)}


def _stopped(seed: int, folder: Path) -> Path:
    """A clone of scripted demonstrations, which succeeds in about 90 %."""
    recipe = load_recipe("default").model_copy(update={"aggregate_rounds": 0, "budget_steps": 1})
    pipeline.demonstrate(CELL, recipe, seed, folder / "demonstrations", Quiet())
    training.train(CELL, folder / "demonstrations", recipe, seed, "cpu", folder / "policy", Quiet())
    return folder / "policy"


def _steps(policy: Path, seed: int, share: float, out: Path) -> int:
    """Simulated for learning until the bound of a round's policy is high enough."""
    improve(Options(CELL, policy, load_recipe("tune"), ROUNDS, BUDGET_STEPS, share, EPISODES, seed, out), Lines())
    taken = 0
    for row in json.loads((out / TABLE).read_text())["rounds"]:
        taken += row["steps"]
        if row["after"]["lower_95"] >= ENOUGH:
            return taken
    return BUDGET_STEPS


MEASUREMENTS = {"improve": improving}
