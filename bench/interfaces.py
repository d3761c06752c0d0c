"""How fast a cell runs behind the interfaces of other tools."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from bench.measurements import CELL, Figure
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.learn.vec_env import BatchVecEnv

ID = f"robot_rlaas:rlaas/{CELL}-v0"  # with the module: SubprocVecEnv's workers have imported nothing
ROWS, PROCESSES, ROUNDS, ROUND_S = 64, 2, 5, 2.0


def stock_vec_env() -> dict[str, Figure]:
    """Environment steps per second, resets included: medians of rounds in turns, and ratios to SB3's processes."""
    with ExitStack() as stack:
        steppers = {name: _stepper(env, stack) for name, env in _environments().items()}
        rounds = [{name: _steps_per_s(*stepper) for name, stepper in steppers.items()} for _ in range(ROUNDS)]
    rates = {name: median(one[name] for one in rounds) for name in steppers}
    stock = f"subproc_{PROCESSES}"
    figures = {f"stock_vec_env/{name}": Figure(rate, "1/s", None, None) for name, rate in rates.items()}
    for name in rates.keys() - {stock}:
        ratio = median(one[name] / one[stock] for one in rounds)
        figures[f"stock_vec_env/{name}_over_{stock}"] = Figure(ratio, "1", None, None)
    return figures


def _environments() -> dict[str, Any]:
    return {
        "gymnasium_1": gymnasium.make(ID, disable_env_checker=True),
        f"dummy_{PROCESSES}": make_vec_env(ID, PROCESSES, seed=0, vec_env_cls=DummyVecEnv),
        f"subproc_{PROCESSES}": make_vec_env(ID, PROCESSES, seed=0, vec_env_cls=SubprocVecEnv),
        f"gymnasium_{ROWS}": gymnasium.make_vec(ID, num_envs=ROWS, vectorization_mode="vector_entry_point"),
        f"batch_{ROWS}": BatchVecEnv(Cell.load(CELL).env(ROWS, Seeds(0, Space.TRAIN))),
    }


def _stepper(env: Any, stack: ExitStack) -> tuple[Callable[[], object], int]:
    """One period under random actions, the same for all, and how many environment steps that is."""
    stack.callback(env.close)
    rows, rng = getattr(env, "num_envs", 1), np.random.default_rng(0)
    shape = env.action_space.shape if isinstance(env, gymnasium.Env) else (rows, env.action_space.shape[-1])

    def period() -> None:
        told = env.step(rng.uniform(-0.3, 0.3, shape).astype(np.float32))
        if isinstance(env, gymnasium.Env) and (told[2] or told[3]):
            env.reset()

    env.reset()
    return period, rows


def _steps_per_s(period: Callable[[], object], rows: int) -> float:
    periods, start = 0, time.perf_counter()
    while time.perf_counter() - start < ROUND_S:
        period()
        periods += 1
    return periods * rows / (time.perf_counter() - start)


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"stock_vec_env": stock_vec_env}
