"""How long an arm has to practise: from 20 scripted demonstrations to 9 of 10, on an arm whose time is computed.

The same code in real time takes longer for the same attempts: between two of them an arm lifts, goes home and waits for
the next part, which is about half as long again.
"""

import os
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.measurements import CELL, Figure, Quiet, at_least, at_most
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.jobs import pipeline
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.jobs.policies import load
from robot_rlaas.jobs.practising import Options, practise
from robot_rlaas.learn.practice_recipe import load_practice
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.learn.validate import run_episodes

DEMONSTRATIONS, JUDGED, ENOUGH = 20, 200, 0.9
MINUTES, AT_ONCE = 20, 0.5  # of the arm's time: at most, and between two looks


def practising() -> dict[str, Figure]:
    """Minutes of attempts until the policy, without exploration, succeeds in 9 of 10 fresh episodes; `SEEDS` runs."""
    took, last, cloned = list[float](), list[float](), list[float]()
    for seed in range(int(os.environ.get("SEEDS", "1"))):
        with TemporaryDirectory() as folder:
            curve = _curve(seed, Path(folder))
        print(f"  seed {seed}: {', '.join(f'{share:.1%}' for share in curve)} after every {AT_ONCE} min", flush=True)
        cloned.append(curve[0])
        last.append(curve[-1])
        took.append(AT_ONCE * (len(curve) - 1) if last[-1] >= ENOUGH else float("inf"))
    return {
        "rlpd/minutes_to_9_of_10": at_most(median(took), "min", MINUTES),
        "rlpd/clone": Figure(median(cloned), "of 1", None, None),
        "rlpd/practised": at_least(median(last), "of 1", ENOUGH),
    }


def _curve(seed: int, folder: Path) -> list[float]:
    """Success in the same fresh episodes: of the clone, and after every half minute."""
    recipe = load_recipe("default").model_copy(update={"demonstrations": DEMONSTRATIONS})
    pipeline.demonstrate(CELL, recipe, seed, folder / "demonstrations", Quiet())
    asked = Options(CELL, folder / "demonstrations", load_practice("default"), AT_ONCE, seed, folder / "policy", True)
    curve = list[float]()
    while not curve or (curve[-1] < ENOUGH and len(curve) <= MINUTES / AT_ONCE):
        practise(asked, Quiet())
        curve += [] if curve else [_success(folder / "policy" / "clone.onnx", seed)]
        curve.append(_success(folder / "policy", seed))
    return curve


def _success(policy: Path, seed: int) -> float:
    cell = Cell.load(CELL)
    env = cell.env(50, Seeds(seed, Space.VALIDATE))
    outcomes = run_episodes(env, load(policy, cell.spec, env.nsim).policy.act, JUDGED, [])
    return sum(outcome.success for outcome in outcomes) / JUDGED


MEASUREMENTS = {"rlpd": practising}
