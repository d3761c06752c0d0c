"""Episodes that follow one another in a row: each is what it is alone, however its start was made ready."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from robot_rlaas.assets import data_dir
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.env import batch
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.task import Look, View
from robot_rlaas.env.tasks import expert_of, task_of
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import Workcell, build

CELLS = sorted(path.stem for path in Path(str(data_dir("sim_assets") / "cells")).glob("*.yaml"))
ROWS, TOGETHER, PERIODS = 5, 3, 40  # starts are made three together, so that five rows need two lots
SEEDS, OTHER = Seeds(0, Space.SHOW), Seeds(1, Space.SHOW)


@pytest.fixture(scope="module", params=CELLS)
def short(request: pytest.FixtureRequest) -> tuple[CellSpec, Workcell]:
    """A shipped cell whose episodes last 40 periods at most."""
    cell = load_cell(request.param)
    task = cell.task.model_copy(update={"timeout_s": PERIODS * cell.period_s})
    return (short := cell.model_copy(update={"task": task})), build(short)


def env_of(short: tuple[CellSpec, Workcell], rows: int, first: int = 0) -> BatchEnv:
    cell, workcell = short
    return BatchEnv(cell, workcell, CpuBackend(workcell, cell, rows, nthread=1), SEEDS, first)


def play(env: BatchEnv, periods: int, into: dict[int, list[bytes]]) -> None:
    """Every episode's observations, rewards and outcome, by its number; an action is a matter of episode and period."""
    for _ in range(periods):
        number, period = env.episode.copy(), env.steps.copy()
        axes = np.arange(env.contract.action_size)
        action = np.sin(number[:, None] + 3.0 * axes + 0.4 * period[:, None])
        action[:, 2] = -1.0  # until it touches something
        before, frame = env.observation.copy(), env.frame.p.copy()
        step = env.step(action)
        for row in range(env.nsim):
            seen = before[row], frame[row], step.final_observation[row], step.reward[row]
            into[int(number[row])] += [np.asarray(part).tobytes() for part in seen]
        for row, outcome in zip(step.rows, step.outcomes):
            into[int(number[row])].append(repr(outcome).encode())


def test_whoever_goes_on_beside_it(short, monkeypatch) -> None:
    monkeypatch.setattr(batch, "AHEAD", TOGETHER)
    beside, env = defaultdict(list), env_of(short, ROWS)
    env.reset()
    play(env, 3 * PERIODS, beside)
    for number in (0, ROWS, ROWS + 1, ROWS + TOGETHER, 2 * ROWS):
        alone, env = defaultdict(list), env_of(short, 1, number)
        env.reset()
        play(env, PERIODS, alone)
        assert len(alone[number]) > 4
        assert alone[number] == beside[number]


@pytest.mark.parametrize("short", ["peg_insertion"], indirect=True)
def test_starts_made_ready_for_what_is_no_more_are_not_used(short, monkeypatch) -> None:
    """After a reset to other episodes in the midst, and after taking up episodes again."""
    monkeypatch.setattr(batch, "AHEAD", TOGETHER)
    there, env, rows = defaultdict(list), env_of(short, 4), np.arange(4)
    env.reset()
    play(env, PERIODS + 2, defaultdict(list))  # of the second three starts, two are left
    env.reset(OTHER, episode=20)
    play(env, 2 * PERIODS, there)
    env.reset(SEEDS, episode=0)
    nothing = np.zeros((4, PERIODS, env.contract.action_size))
    env.rejoin(rows + 30, np.zeros(4, int), nothing, coming=40)
    play(env, 2 * PERIODS, there)
    assert set(there) >= {20, 23, 24, 27, 30, 33, 40, 43}
    for number, seeds in ((24, OTHER), (27, OTHER), (33, SEEDS), (40, SEEDS), (43, SEEDS)):
        alone, env = defaultdict(list), env_of(short, 1)
        env.reset(seeds, episode=number)
        play(env, PERIODS, alone)
        assert alone[number] == there[number]


@pytest.mark.parametrize(
    ("name", "midst", "end"), [("peg_insertion", 30, 45), ("kitting", 150, 240), ("machine_tending", 150, 240)]
)
def test_what_a_task_keeps_of_an_episode_is_all_that_it_goes_on_from(name: str, midst: int, end: int) -> None:
    """Another one that is given it in the midst sees the same from there on."""
    cell = load_cell(name)
    workcell = build(cell)
    env = BatchEnv(cell, workcell, CpuBackend(workcell, cell, 2, nthread=1), SEEDS, restart=False)
    expert, task, another = expert_of(cell, env.contract, 2), env.task, task_of(cell, 2)
    env.reset()
    seen: list[tuple[Look, Look]] = []
    task_look = task.look

    def look(view: View) -> Look:
        seen.append((task_look(view), another.look(view)))
        return seen[-1][0]

    for period in range(end):
        if period == midst:
            for kept, written in zip(task.memory, another.memory, strict=True):
                written[:] = kept
            task.look = look
        assert not env.step(expert.act(env.observation)).done.any()
    for mine, theirs in seen:
        for field, value in mine._asdict().items():
            np.testing.assert_equal(getattr(theirs, field), value)
    assert len(seen) == end - midst
