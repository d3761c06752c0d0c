"""One attempt under an operator's hands: what is done is what is stored, and what comes late is told."""

from collections.abc import Callable

import numpy as np
import pytest

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.rotation import about_z
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.tasks import contract_of, expert_of
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.teleop.pilot import Goal, Pilot
from robot_rlaas.teleop.session import Phase, Session
from robot_rlaas.teleop.simulated import Simulated

SEEDS = Seeds(0, Space.DEMONSTRATE)


class Clock:
    """Time that a test makes pass."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def begin(cell, workcell) -> Callable[..., tuple[Session, Clock]]:
    def make(policy=None, number: int = 3) -> tuple[Session, Clock]:
        env = BatchEnv(cell, workcell, CpuBackend(workcell, cell, 1, nthread=1), SEEDS, restart=False)
        clock = Clock()
        session = Session(Simulated(env, clock), Pilot(cell.control, env.contract), "anna", policy)
        session.ready(number)
        session.record()
        return session, clock

    return make


def play(session: Session, clock: Clock, periods: int = 1000) -> None:
    """In time, until it ends."""
    for _ in range(periods):
        if session.phase == Phase.ENDED:
            return
        clock.s = session.place.due_s
        session.step()


def standing(cell, position: tuple, yaw_rad: float = 0.0) -> np.ndarray:
    """An observation of a tool that stands still there, in the task frame."""
    contract = contract_of(cell)
    values = {f.name: np.zeros((1, len(f.axes))) for f in contract.observation}
    values["tool_position"][0], values["tool_rotation"][0, 2] = position, yaw_rad
    return contract.pack(values)


def test_a_pilot_goes_where_it_is_told(cell) -> None:
    pilot = Pilot(cell.control, contract_of(cell))
    quarter = Pose(about_z(np.array([np.pi / 2])), np.array([[0.5, 0.0, 0.06]]))
    seen = standing(cell, (0.01, 0.0, 0.03))
    pilot.start(seen, quarter)
    np.testing.assert_allclose(pilot.goal.p, (0.5, 0.01, 0.09), atol=1e-7)
    assert pilot.goal.yaw == pytest.approx(np.pi / 2)
    np.testing.assert_allclose(pilot.act(seen, quarter), 0.0, atol=1e-4)
    pilot.goal = Goal(pilot.goal.p + np.array([0.003, 0, 0]), pilot.goal.yaw + np.deg2rad(1))
    np.testing.assert_allclose(pilot.act(seen, quarter), [[0, -0.5, 0, 0.5]], atol=1e-4)
    pilot.goal = Goal(pilot.goal.p + np.array([0.021, 0.012, 0]), pilot.goal.yaw)
    np.testing.assert_allclose(pilot.act(seen, quarter)[0, :3], [0.5, -1, 0], atol=1e-4)
    pilot.speed = 0.2
    np.testing.assert_allclose(pilot.act(seen, quarter), [[0.1, -0.2, 0, 0.2]], atol=1e-4)
    pilot.align(seen, quarter)
    np.testing.assert_allclose(pilot.goal.p, (0.5, 0, 0.09), atol=1e-7)


def test_nudges_move_the_goal_by_steps_but_not_far_ahead(cell) -> None:
    pilot, frame = Pilot(cell.control, contract_of(cell)), Pose(np.eye(3)[None], np.zeros((1, 3)))
    seen = standing(cell, (0, 0, 0.03))
    pilot.speed = 0.5
    pilot.start(seen, frame)
    for expected_mm in (-3, -6, -6):
        pilot.nudge(np.array([0, 0, -1, 0]), seen, frame)
        assert pilot.goal.p[2] * 1000 == pytest.approx(30 + expected_mm, abs=1e-4)
    pilot.nudge(np.array([0, 0, 0, 1]), seen, frame)
    assert np.rad2deg(pilot.goal.yaw) == pytest.approx(1)


def test_an_attempt_simulated_again_is_the_same_to_the_bit(cell, workcell, begin) -> None:
    session, clock = begin(expert_of(cell, contract_of(cell), 1))
    play(session, clock)
    episode = session.episode()
    assert episode.success
    assert (episode.operator, episode.seeds, episode.number) == ("anna", SEEDS, 3)
    assert episode.executed.dtype == np.float32
    env = BatchEnv(cell, workcell, CpuBackend(workcell, cell, 1, nthread=1), SEEDS, restart=False)
    env.reset(episode=3)
    for observation, action in zip(episode.observation, episode.executed):
        np.testing.assert_array_equal(env.observation[0], observation)
        step = env.step(action[None])
    assert step.outcomes[0].success
    np.testing.assert_allclose(np.diff(episode.stamp_s), cell.period_s)
    assert not episode.late.any()
    assert not episode.corrected.any()


def test_a_late_period_is_counted_and_noted_and_none_is_left_out(cell, begin) -> None:
    session, clock = begin(expert_of(cell, contract_of(cell), 1))
    play(session, clock, 10)
    clock.s = session.place.due_s + 0.012  # less than half a period
    session.step()
    clock.s = session.place.due_s + 0.2
    session.step()
    assert session.place.due_s == pytest.approx(clock.s + cell.period_s), "what is late shifts the rest, without a rush"
    play(session, clock)
    episode = session.episode()
    assert session.late == episode.late.sum() == 1
    assert np.flatnonzero(episode.late).tolist() == [11]
    steps_s = np.diff(episode.stamp_s)
    assert steps_s[[9, 10]] == pytest.approx([0.062, 0.238])
    assert len(episode.stamp_s) == session.outcome.steps


def test_a_slow_pace_is_not_late(cell, begin) -> None:
    session, clock = begin(expert_of(cell, contract_of(cell), 1))
    session.place.pace = 0.25
    play(session, clock)
    episode = session.episode()
    assert not episode.late.any()
    assert clock.s - 100 == pytest.approx(4 * episode.stamp_s[-1])


class Stands:
    """A policy that does nothing."""

    def reset(self, ids: np.ndarray) -> None: ...

    def act(self, observation: np.ndarray) -> np.ndarray:
        return np.zeros((1, 4))


def test_what_an_operator_corrects_is_marked(cell, begin) -> None:
    session, clock = begin(Stands())
    play(session, clock, 5)
    session.take_over()
    session.pilot.align(session.place.observation, session.place.frame)
    play(session, clock, 7)
    session.release()
    play(session, clock)
    episode = session.episode()
    assert np.flatnonzero(episode.corrected).tolist() == list(range(5, 12))
    assert np.abs(episode.action[5]).max() == 1
    np.testing.assert_array_equal(episode.action[[0, 4, 12]], 0)
    assert not episode.success
    assert len(episode.action) == cell.horizon


def test_whoever_takes_over_begins_where_the_tool_is(cell, begin) -> None:
    session, clock = begin(expert_of(cell, contract_of(cell), 1))
    play(session, clock, 8)
    session.take_over()
    np.testing.assert_allclose(session.pilot.act(session.place.observation, session.place.frame), 0, atol=1e-3)
