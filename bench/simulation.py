"""What the environment costs over bare physics, how it scales, and what the shipped cells' experts reach."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import mujoco
import numpy as np

from bench.measurements import Figure, Quiet, at_least, at_most
from robot_rlaas.assets import data_dir
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.env.tasks import expert_of
from robot_rlaas.jobs import pipeline
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.qualify.statistics import proportion

SIMULATIONS, MANY = 64, 1024
PERIODS, REPEATS = 160, 5
SINGLE = 8  # simulations whose steps are repeated one by one
STATE = ("qpos", "qvel", "mocap_pos", "mocap_quat", "history", "qacc_warmstart", "ctrl")
EPISODES = 200


def shipped() -> list[str]:
    """The names of all shipped cells."""
    return sorted(path.stem for path in Path(str(data_dir("sim_assets") / "cells")).glob("*.yaml"))


class Run(NamedTuple):
    """Control periods under the expert: seconds inside the environment, and what the physics was given."""

    inside_s: float
    states: list[dict[str, np.ndarray]]
    controls: list[np.ndarray]


def sim_efficiency() -> dict[str, Figure]:
    """Physics steps per second inside the environment over bare ones, same model, same states, same controls.

    Bare is once the batch itself on all threads, and once mj_step in one thread, times the number of cores.
    """
    figures = {}
    for name in shipped():
        seconds = []
        for _ in range(REPEATS):
            env = _env(name, SIMULATIONS)
            run = _run(env)
            seconds.append((run.inside_s, _bare(env, run), _single(env, run) / (os.cpu_count() or 1)))
        inside_s, bare_s, single_s = np.min(seconds, axis=0).tolist()  # the others were disturbed
        figures[f"sim_efficiency/{name}"] = at_least(bare_s / inside_s, "1", 0.9)
        figures[f"sim_efficiency_single/{name}"] = Figure(single_s / inside_s, "1", None, None)
        figures[f"control_steps/{name}"] = Figure(PERIODS * SIMULATIONS / inside_s, "1/s", None, None)
    return figures


def _env(name: str, simulations: int) -> BatchEnv:
    return Cell.load(name).env(simulations, Seeds(0, Space.SHOW))


def _run(env: BatchEnv) -> Run:
    batch: Any = env.backend.batch  # type: ignore[attr-defined]
    expert, observation, inside_s, states, controls = _expert(env), env.reset(), 0.0, [], []
    kept = env.backend.step

    def step(setpoints: np.ndarray, opening: np.ndarray | None = None):
        nonlocal inside_s
        start = time.perf_counter()
        states.append({name: batch.bind(name).copy() for name in STATE})
        inside_s -= time.perf_counter() - start
        physics = kept(setpoints, opening)
        start = time.perf_counter()
        control = np.repeat(batch.bind("ctrl")[:, None], setpoints.shape[1], axis=1)
        control[:, :, : setpoints.shape[2]] = setpoints
        controls.append(control)
        inside_s -= time.perf_counter() - start
        return physics

    env.backend.step = step
    for _ in range(PERIODS):
        action = expert.act(observation)
        start = time.perf_counter()
        ended = env.step(action)
        inside_s += time.perf_counter() - start
        expert.reset(ended.rows)
        observation = ended.observation
    env.backend.step = kept
    return Run(inside_s, states, controls)


def _expert(env: BatchEnv):
    expert = expert_of(env.cell, env.contract, env.nsim)
    env.tell(expert)
    return expert


def _bare(env: BatchEnv, run: Run) -> float:
    """Seconds that the batch takes for the same substeps from the same states."""
    batch: Any = env.backend.batch  # type: ignore[attr-defined]
    seconds = 0.0
    for state, control in zip(run.states, run.controls):
        for name, values in state.items():
            batch.bind(name)[:] = values
        start = time.perf_counter()
        batch.rollout(control.shape[1], control, control_spec=int(mujoco.mjtState.mjSTATE_CTRL), record=())
        seconds += time.perf_counter() - start
    return seconds


def _single(env: BatchEnv, run: Run) -> float:
    """Seconds that one thread takes for them by mj_step, judged by SINGLE of the simulations."""
    batch: Any = env.backend.batch  # type: ignore[attr-defined]
    seconds, chosen = 0.0, np.linspace(0, env.nsim - 1, SINGLE).astype(int).tolist()
    for i in chosen:
        model, data = batch.get_model(i), batch.get_data(i)
        for state, control in zip(run.states, run.controls):
            for name in STATE:
                field = getattr(data, name)
                field[:] = state[name][i].reshape(field.shape)
            start = time.perf_counter()
            for values in control[i]:
                data.ctrl[:] = values
                mujoco.mj_step(model, data)
            seconds += time.perf_counter() - start
    return seconds * env.nsim / len(chosen)


def sim_scaling() -> dict[str, Figure]:
    """Control steps per second of many simulations over those of few, their memory, and the cost of resets."""
    rates, sizes = {}, {}
    for count in (SIMULATIONS, MANY):
        before = _resident_bytes()
        env = _env("peg_insertion", count)
        env.reset()
        sizes[count] = _resident_bytes() - before
        rates[count] = count / median(_seconds(lambda env=env: env.step(_nothing(env)), 30))
    env = _env("peg_insertion", SIMULATIONS)
    env.reset()
    step_s = median(_seconds(lambda: env.step(_nothing(env)), 60))
    reset_s = _start_s(env) * SIMULATIONS / env.cell.horizon
    return {
        "sim_scaling": at_least(rates[MANY] / rates[SIMULATIONS], "1", 0.9),
        "sim_scaling/memory": at_most((sizes[MANY] - sizes[SIMULATIONS]) / (MANY - SIMULATIONS) / 2**20, "MiB", 1.0),
        "sim_scaling/reset": at_most(reset_s / step_s, "1", 0.05),
    }


def _start_s(env: BatchEnv) -> float:
    """Seconds per episode that begins where another ended, one at a time, those in which starts are made included."""
    one = np.arange(1)
    lots = [list(_seconds(lambda: env._go_on(one), SIMULATIONS)) for _ in range(REPEATS + 1)]
    return median(sum(lot) for lot in lots[1:]) / SIMULATIONS


def _nothing(env: BatchEnv) -> np.ndarray:
    return np.zeros((env.nsim, env.contract.action_size))


def _seconds(work: Callable[[], object], times: int) -> Iterator[float]:
    for _ in range(times):
        start = time.perf_counter()
        work()
        yield time.perf_counter() - start


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cell_check() -> dict[str, Figure]:
    """Seconds for `rlaas cell check`, without the start of Python."""
    figures = {}
    for name in shipped():
        start = time.perf_counter()
        pipeline.check(name, None, Quiet())
        figures[f"cell_check/{name}"] = at_most(time.perf_counter() - start, "s", 5.0)
    return figures


def expert() -> dict[str, Figure]:
    """Success of each shipped cell's scripted expert, with the lower end of its 95 % interval."""
    figures = {}
    for name in shipped():
        env = _env(name, 100)
        outcomes = _play(env, EPISODES)
        hits = sum(outcome.success for outcome in outcomes)
        figures[f"expert/{name}"] = at_least(hits / EPISODES, "1", 0.8)
        figures[f"expert/{name}/lower"] = Figure(proportion(hits, EPISODES).lower, "1", None, None)
    return figures


def _play(env: BatchEnv, episodes: int) -> list[Outcome]:
    """The first episodes, whatever order they end in."""
    policy, observation, ended = _expert(env), env.reset(), dict[int, Outcome]()
    while len(ended) < episodes:
        step = env.step(policy.act(observation))
        policy.reset(step.rows)
        ended |= {outcome.episode: outcome for outcome in step.outcomes if outcome.episode < episodes}
        observation = step.observation
    return list(ended.values())


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {
    "sim_efficiency": sim_efficiency,
    "sim_scaling": sim_scaling,
    "cell_check": cell_check,
    "expert": expert,
}
