"""Training beside what one would write otherwise, and what it spends its time on."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import mujoco.batch
import numpy as np
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv

from bench.interfaces import ID, PROCESSES
from bench.measurements import CELL, Figure, Quiet, at_least, at_most
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.jobs import pipeline, training
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.learn.vec_env import BatchVecEnv

GOOD = 0.95
TIMES = 6  # as long as ours took, the others are given, so that five times can be shown
LOOKS, LOOKED_AT = 12, 200  # how often in that time, at how many fresh episodes
OVERHEAD_STEPS = 200_000


def speedup_vs_stock_sb3() -> dict[str, Figure]:
    """Seconds until a validation succeeds in 95 %: demonstrations and training here, beside stock SB3's learners.

    Those run as they come, on two processes of the same cell's Gymnasium environment, for TIMES as long at most; what
    never got there counts as that long, so the ratio is a lower bound. Looking at them is not on their clock.
    """
    ours_s, ours = _ours()
    figures = {
        "speedup_vs_stock_sb3/ours": Figure(ours_s, "s", None, None),
        "speedup_vs_stock_sb3/ours_success": Figure(ours, "1", None, None),
    }
    for name, learner in (("ppo", PPO), ("sac", SAC)):
        seconds, steps, success = _stock(learner, TIMES * ours_s)
        figures |= {
            f"speedup_vs_stock_sb3/{name}": at_least(seconds / ours_s, "1", 5.0),
            f"speedup_vs_stock_sb3/{name}_steps": Figure(steps, "1", None, None),
            f"speedup_vs_stock_sb3/{name}_success": Figure(success, "1", None, None),
        }
    return figures


class _GoodEnough(Exception):
    """A validation succeeded often enough."""


class _Clock:
    """Hears of training, and ends it with the first validation that is good."""

    def __init__(self) -> None:
        self.success = 0.0

    def cloning(self, epochs: int, of: int) -> None:
        """See `learn.train.Watch`."""

    def aggregating(self, done: Any) -> None:
        """See `learn.train.Watch`."""
        self._judge(done.validation.success)

    def improving(self, progress: Any) -> None:
        """See `learn.train.Watch`."""
        self._judge(progress.validation_success or 0.0)

    def _judge(self, success: float) -> None:
        self.success = success
        if success >= GOOD:
            raise _GoodEnough


def _ours() -> tuple[float, float]:
    """Seconds, and the success that ended them. A clone that is good at once costs a round of aggregation more."""
    recipe, clock, start = load_recipe("default"), _Clock(), time.perf_counter()
    with TemporaryDirectory() as folder:
        demonstrations, out = Path(folder) / "demonstrations", Path(folder) / "policy"
        pipeline.demonstrate(CELL, recipe, 0, demonstrations, Quiet())
        with suppress(_GoodEnough):
            training.train(CELL, demonstrations, recipe, 0, "cpu", out, Quiet(), follow=clock)
    return time.perf_counter() - start, clock.success


def _stock(learner: type[PPO] | type[SAC], budget_s: float) -> tuple[float, int, float]:
    """Seconds until it was good, or the budget; steps; success at the last look."""
    env = make_vec_env(ID, PROCESSES, seed=0, vec_env_cls=SubprocVecEnv)
    try:
        model, follow = learner("MlpPolicy", env, seed=0, device="cpu"), _Look(budget_s)
        model.learn(10**9, callback=follow)
    finally:
        env.close()
    return follow.seconds, model.num_timesteps, follow.success


class _Look(BaseCallback):
    """Looks at a learner every now and then, off its clock, and stops it when it is good or its time is up."""

    def __init__(self, budget_s: float) -> None:
        super().__init__()
        self.success, self.seconds = 0.0, 0.0
        self._budget_s, self._due_s = budget_s, budget_s / LOOKS
        self._env = Cell.load(CELL).env(50, Seeds(0, Space.VALIDATE))

    def _on_training_start(self) -> None:
        self._began = time.perf_counter()

    def _on_step(self) -> bool:
        self.seconds = time.perf_counter() - self._began
        if self.seconds < self._due_s:
            return True
        self.success = self._look()
        self._due_s += self._budget_s / LOOKS
        self._began += time.perf_counter() - self._began - self.seconds
        return self.success < GOOD and self.seconds < self._budget_s

    def _look(self) -> float:
        observation, ended = self._env.reset(), []
        while len(ended) < LOOKED_AT:
            step = self._env.step(self.model.predict(observation, deterministic=True)[0])
            ended += [outcome.success for outcome in step.outcomes]
            observation = step.observation
        return float(np.mean(ended))


def learner_overhead() -> dict[str, Figure]:
    """Of PPO's seconds, the share that is neither MuJoCo's steps nor gradients: what we and SB3 put around them."""
    recipe = load_recipe("default").model_copy(update={"budget_steps": OVERHEAD_STEPS, "aggregate_rounds": 0})
    recipe = recipe.model_copy(update={"demonstrations": 12, "validate_every": 10**6, "validation_episodes": 16})
    with TemporaryDirectory() as folder, _timed() as spent_s:
        pipeline.demonstrate(CELL, recipe, 0, Path(folder) / "demonstrations", Quiet())
        training.train(CELL, Path(folder) / "demonstrations", recipe, 0, "cpu", Path(folder) / "policy", Quiet())
    shares = {part: seconds / spent_s["learn"] for part, seconds in spent_s.items() if part != "learn"}
    return {
        "learner_overhead": at_most(1 - shares["physics"] - shares["gradients"], "1", 0.15),
        **{f"learner_overhead/{part}": Figure(share, "1", None, None) for part, share in shares.items()},
    }


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Seconds inside PPO.learn and, of these, in the batch's native code, the environment and gradient steps."""
    spent: dict[str, float] = dict.fromkeys(("learn", "physics", "environment", "gradients"), 0.0)
    inside = [False]

    def timed(part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            outermost, inside[0] = part == "learn", inside[0] or part == "learn"
            start = time.perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                spent[part] += (time.perf_counter() - start) * inside[0]
                inside[0] = inside[0] and not outermost

        return run

    batch = mujoco.batch.Batch
    with (
        patch.object(PPO, "learn", timed("learn", PPO.learn)),
        patch.object(PPO, "train", timed("gradients", PPO.train)),
        patch.object(BatchVecEnv, "step_wait", timed("environment", BatchVecEnv.step_wait)),
        patch.object(batch, "rollout", timed("physics", batch.rollout)),
        patch.object(batch, "forward", timed("physics", batch.forward)),
        patch.object(batch, "set_const", timed("physics", batch.set_const)),
    ):
        yield spent


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {
    "speedup_vs_stock_sb3": speedup_vs_stock_sb3,
    "learner_overhead": learner_overhead,
}
