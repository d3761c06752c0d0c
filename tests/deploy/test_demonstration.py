"""An arm as a place to demonstrate at, round a virtual arm in simulated time: no ROS, no waiting."""

from queue import SimpleQueue

import numpy as np
import pytest
from wire import LATE_S, Line

from robot_rlaas.deploy.cycle import Cycle
from robot_rlaas.deploy.demonstration import SCORED_S, OnArm
from robot_rlaas.env.place import Period
from robot_rlaas.env.tasks import contract_of, expert_of


def still(observation: np.ndarray) -> np.ndarray:
    return np.zeros((1, 4), np.float32)


def play(place: OnArm, act=still, until=lambda place: place.outcome is not None, seconds: float = 40) -> list[Period]:
    """Period after period."""
    periods = []
    for _ in range(round(seconds / place.cell.period_s)):
        if until(place):
            return periods
        list(place.wait(SimpleQueue()))
        period = place.step(act)
        periods += [period] if period is not None else []
    raise AssertionError(place.doing)


def ready(place: OnArm) -> bool:
    return place.ready


@pytest.fixture
def expert(cell):
    policy = expert_of(cell, contract_of(cell), 1)
    policy.reset(np.zeros(1, np.int64))
    return policy


def test_what_is_seen_and_done_is_what_the_policys_node_sees_and_does(cell, expert):
    """To the bit: the same arm under a policy's cycle, and under the same policy as a demonstrator."""
    line = Line(cell)
    place = OnArm(line.station, line)
    place.begin(7)
    place.go()
    periods = play(place, expert.act)
    assert (place.outcome.success, place.outcome.episode, place.outcome.steps) == (True, 7, len(periods))

    seen = []

    class Noted:
        def reset(self, ids): ...

        def act(self, observation):
            seen.append(observation[0].copy())
            return expert.act(observation)

    expert.reset(np.zeros(1, np.int64))
    other = Line(cell)
    cycle = Cycle(cell, other.station.chain, other.station.limits.envelope, Noted(), 1, other.next_part)
    while len(seen) < len(periods):
        other.listen()
        other.send(cycle.step(other.take()))
    np.testing.assert_array_equal([p.observation for p in periods], seen)
    np.testing.assert_array_equal(line.sent[: len(other.sent)], other.sent)
    np.testing.assert_allclose(np.diff([p.stamp_s for p in periods]), cell.period_s)
    assert not any(p.late for p in periods)


def test_an_attempt_waits_for_whoever_demonstrates_before_and_after(cell, expert):
    line = Line(cell)
    place = OnArm(line.station, line)
    place.begin(0)
    assert place.doing == "waiting for a part"
    assert not play(place, until=ready)
    tool = place.contract.unpack(place.observation)
    assert tool["tool_position"][0, 2] == pytest.approx(cell.task.start_height_mm / 1000, abs=2e-3)
    assert np.abs(tool["force"]).max() < 2, "its zero was taken"
    for _ in range(20):
        assert place.ready
        list(place.wait(SimpleQueue()))
        assert place.step(still) is None
    place.go()
    play(place, expert.act)
    np.testing.assert_array_equal(line.sent[-1], line.sent[-2])
    for _ in range(60):
        line.tick()  # nobody sends anything while an episode is stored
    assert line.supervisor.counts.violations == 0
    before_rad = line.sent[-1]
    place.step(still)
    np.testing.assert_array_equal(line.sent[-1], before_rad)
    place.begin(1)
    play(place, until=ready)
    assert [a.success for a in line.arm.score.closed] == [True]
    assert place.outcome is None


def test_without_a_score_it_is_judged_by_what_was_measured(cell, expert):
    line = Line(cell, scored=False)
    place = OnArm(line.station, line)
    place.begin(0)
    place.go()
    periods = play(place, expert.act)
    assert place.outcome.success
    assert place.outcome.cycle_time_s == pytest.approx(len(periods) * cell.period_s)
    place.begin(1)
    play(place, until=ready)
    place.go()
    periods = play(place)
    assert not place.outcome.success
    assert len(periods) == pytest.approx(cell.horizon, abs=1)


def test_who_does_not_want_the_score_is_judged_by_what_was_measured(cell, expert):
    line = Line(cell)
    place = OnArm(line.station, line, scored=False)
    place.begin(0)
    place.go()
    periods = play(place, expert.act)
    assert place.outcome.success
    scored_s = line.arm.score.current.cycle_time_s
    assert len(periods) * cell.period_s > scored_s, "it goes on until it is deep enough as measured"
    assert place.changed_after_s == np.inf
    assert not place.stopped_in_it


def test_it_is_known_when_the_supervisor_first_changed_what_was_wanted(cell):
    line = Line(cell)
    place = OnArm(line.station, line, scored=False)
    place.begin(0)
    play(place, until=ready)
    place.go()
    periods = play(place, until=lambda place: len(line.sent) > 60)
    line.supervisor.receive(line.station.chain.joints, [9.0] * 6, LATE_S, line.arm.time_s)
    jumped_s = line.arm.time_s - periods[0].stamp_s
    periods += play(place)
    assert place.changed_after_s == pytest.approx(jumped_s, abs=cell.period_s)
    assert periods[-1].stamp_s - periods[0].stamp_s > jumped_s + 1
    place.begin(1)
    play(place, until=ready)
    place.go()
    play(place)
    assert place.changed_after_s == np.inf, "that was another attempt"


def test_the_virtual_arms_word_counts_where_it_has_not_come_by_the_timeout(cell):
    line = Line(cell)
    place = OnArm(line.station, line)
    place.begin(0)
    place.go()
    begun = line.arm.time_s
    play(place)
    assert not place.outcome.success
    assert line.arm.time_s - begun < cell.task.timeout_s + SCORED_S + 3


def test_a_stop_ends_an_attempt_with_its_reason_and_once_cleared_comes_the_next_part(cell, expert):
    line = Line(cell)
    place = OnArm(line.station, line)
    place.begin(0)
    place.go()
    play(place, expert.act, until=lambda place: place.stage > 0)
    line.supervisor.fault("operator", "the operator pressed STOP", line.arm.time_s)
    play(place, expert.act)
    assert not place.outcome.success
    assert place.stopped_in_it
    assert 0 < place.changed_after_s < cell.task.timeout_s
    assert place.remark.endswith("the operator pressed STOP")
    place.begin(1)
    assert place.stopped
    assert place.doing.endswith("the operator pressed STOP")
    place.clear()
    play(place, until=ready)
    assert (place.stopped, place.remark) == (False, "")
    assert len(line.arm.score.closed) == 1
    place.go()
    play(place, expert.act)
    assert place.outcome.success


def test_whoever_gives_up_gets_the_next_part(cell):
    line = Line(cell)
    place = OnArm(line.station, line)
    place.begin(0)
    place.go()
    play(place, until=lambda place: len(line.sent) > 40)
    place.begin(1)
    play(place, until=ready)
    assert len(line.arm.score.closed) == 1
