"""The policy's cycle, the sampler and the supervisor round a virtual arm, in simulated time: no ROS, no waiting."""

import dataclasses

import numpy as np
import pytest

from robot_rlaas.bundle import load_bundle
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import load_plant
from robot_rlaas.deploy.cycle import Cycle, Phase, Sensed, cycle_of
from robot_rlaas.deploy.pace import CATCH_UP_S, Pace
from robot_rlaas.deploy.sampling import Sampler
from robot_rlaas.deploy.supervisor import Supervisor
from robot_rlaas.deploy.virtual_arm.arm import VirtualArm

TICK_S, LATE_S = 0.01, 0.003


class Loop:
    """What the nodes do, without them: the arm ticks, the policy answers LATE_S later, the supervisor plays."""

    def __init__(self, arm: VirtualArm, cycle_with) -> None:
        chain, envelope = arm.workcell.chain, arm.workcell.envelope
        self.arm, self.joints = arm, chain.joints
        self.supervisor = Supervisor(chain, envelope, arm.cell.period_s, TICK_S)
        self.sampler = Sampler(chain.joints, arm.cell.period_s, 1 / TICK_S)
        self.sampler.plate = arm.observed_plate
        self.cycle: Cycle = cycle_with(self.next_part)
        self.phases, self.command, self.waiting = [self.cycle.phase], None, []

    def next_part(self) -> None:
        assert self.arm.next_part() is not None
        self.sampler.plate = self.arm.observed_plate

    def run(self, seconds: float) -> None:
        end_s = self.arm.time_s + seconds
        while not self.cycle.finished and self.arm.time_s < end_s:
            self.tick()

    def tick(self) -> None:
        reading = self.arm.tick(self.command)
        now_s = reading.time_s
        while self.waiting and self.waiting[0][0] <= now_s:
            at_s, target = self.waiting.pop(0)
            reason = self.supervisor.receive(self.joints, list(target), LATE_S, at_s)
            assert reason is None, (reason, self.supervisor.latched)
        self.supervisor.feel(reading.wrench[:3], now_s)
        self.supervisor.measure(self.joints, reading.q_rad, now_s)
        self.command = self.supervisor.tick(now_s)
        self.sampler.feel(reading.wrench)
        sensed = self.sampler.measure(self.joints, reading.q_rad, now_s)
        if sensed is not None:
            self.waiting.append((now_s + LATE_S, self.cycle.step(sensed)))
        if self.cycle.phase is not self.phases[-1]:
            self.phases.append(self.cycle.phase)


@pytest.fixture(scope="module")
def finished(bundle, cell) -> Loop:
    loop = Loop(VirtualArm(cell, load_plant("ur5e_worn", 6), 0), lambda feed: cycle_of(load_bundle(bundle), 2, feed))
    loop.run(60)
    return loop


def test_two_parts_are_inserted_on_a_worn_arm_without_a_violation(finished):
    assert finished.cycle.finished
    attempts = finished.arm.score.closed
    assert [a.success for a in attempts] == [True, True]
    assert [r.success for r in finished.cycle.results] == [True, True]
    assert not any(a.keep_out for a in attempts)
    counts = finished.supervisor.counts
    assert (counts.violations, counts.missed_periods, counts.superseded) == (0, 0, 0)


def test_the_policys_side_and_the_arms_side_agree_on_time_and_force(finished):
    for mine, theirs in zip(finished.cycle.results, finished.arm.score.closed):
        assert mine.cycle_time_s is not None
        assert 0 < mine.cycle_time_s - theirs.cycle_time_s < 1.0  # it waits until it is surely deep enough
        assert mine.peak_force_N < max(theirs.peak_force_N, theirs.way_back_force_N) + 10


def test_the_phases_come_in_order(finished):
    attempt = [Phase.WAIT, Phase.LIFT, Phase.HOME, Phase.TARE, Phase.RUN, Phase.LIFT, Phase.HOME]
    assert finished.phases == [*attempt, *attempt, Phase.FINISHED]


def test_the_setpoints_of_a_cycle_are_smooth(bundle, cell):
    loop = Loop(VirtualArm(cell, load_plant("ur5e_worn", 6), 1), lambda feed: cycle_of(load_bundle(bundle), 1, feed))
    path = []
    while not loop.cycle.finished and loop.arm.time_s < 30:
        loop.tick()
        if loop.command is not None:
            path.append(loop.command)
    speed = np.abs(np.diff(path, axis=0)) / TICK_S
    acceleration = np.abs(np.diff(path, 2, axis=0)) / TICK_S**2
    envelope = loop.arm.workcell.envelope
    assert loop.cycle.finished
    assert np.all(speed.max(0) < envelope.speed_rad_s)
    assert np.all(acceleration.max(0) < envelope.acceleration_rad_s2)


def test_a_policy_that_asks_for_nonsense_moves_nothing(cell):
    class Nonsense:
        def reset(self, ids): ...

        def act(self, observation):
            return np.full((len(observation), 4), np.nan)

    arm = VirtualArm(cell, load_plant("ur5e_worn", 6), 0)
    parts = (cell, arm.workcell.chain, arm.workcell.envelope, Nonsense(), 1)
    loop = Loop(arm, lambda feed: Cycle(*parts, feed))
    loop.run(30)
    assert loop.cycle.finished
    assert [r.success for r in loop.cycle.results] == [False]
    assert not arm.score.closed[0].success
    assert loop.supervisor.counts.violations == 0


def test_an_interrupted_attempt_is_left_with_a_lift(bundle, cell):
    loop = Loop(VirtualArm(cell, load_plant("ur5e_worn", 6), 0), lambda feed: cycle_of(load_bundle(bundle), 1, feed))
    while loop.arm.score.current.stage < 2:
        loop.tick()
        assert loop.arm.time_s < 30
    loop.cycle.stop()
    lowest = loop.arm.score.clear
    loop.run(30)
    assert not lowest
    assert loop.cycle.finished
    assert loop.supervisor.counts.violations == 0


def test_a_bundle_of_another_contract_is_refused(bundle):
    loaded = load_bundle(bundle)
    other = dataclasses.replace(loaded, contract=loaded.contract._replace(rate_hz=25.0))
    with pytest.raises(InputError, match="contract"):
        cycle_of(other, 1, lambda: None)


def sampler() -> tuple[Sampler, tuple[str, ...]]:
    joints = ("a", "b")
    return Sampler(joints, 0.05, 100.0), joints


def test_the_sampler_takes_every_fifth_state_and_the_mean_wrench():
    sample, _ = sampler()
    taken: list[Sensed] = []
    for i in range(51):
        sample.feel([i, 0, 0, 0, 0, 0])
        sensed = sample.measure(("b", "x", "a"), (2.0, 9.0, 1.0), 100 + i * 0.01)
        if sensed is not None:
            taken.append(sensed)
    assert [round((s.time_s - 100) * 100) for s in taken] == list(range(0, 51, 5))
    np.testing.assert_array_equal(taken[3].q_rad, [1.0, 2.0])
    assert taken[3].wrench[0] == pytest.approx(np.mean([11, 12, 13, 14, 15]))


def test_the_sampler_keeps_its_beat_when_states_are_lost_or_shaky():
    sample, joints = sampler()
    rng, times = np.random.default_rng(0), []
    for i in range(2000):
        sample.feel(np.zeros(6))
        if rng.random() < 0.1:
            continue
        sensed = sample.measure(joints, (0.0, 0.0), 100 + i * 0.01 + rng.uniform(-0.002, 0.002))
        if sensed is not None:
            times.append(sensed.time_s)
    assert len(times) == pytest.approx(400, abs=2)
    assert np.abs(np.array(times) - 100 - 0.05 * np.arange(len(times))).max() < 0.03


def test_the_sampler_says_what_is_wrong_with_the_joint_states():
    sample, joints = sampler()
    with pytest.raises(InputError, match="no joint states"):
        sample.check(100.0)
    for i in range(40):
        sample.feel(np.zeros(6))
        sample.measure(("left_a", "left_b"), (0.0, 0.0), 100 + i * 0.01)
    with pytest.raises(InputError, match="left_a"):
        sample.check(100.4)
    for i in range(40):
        sample.measure(joints, (0.0, 0.0), 200 + i * 0.033)
    with pytest.raises(InputError, match="30 Hz"):
        sample.check(201.3)


def test_pace_has_no_drift_and_does_not_race_after_a_stop():
    pace, times = Pace(0.01, 0.0), []
    for now_s in np.arange(0.0, 1.0, 0.0073):
        times += pace.due(now_s)
    np.testing.assert_allclose(times, 0.01 * np.arange(1, len(times) + 1), atol=1e-9)
    assert len(pace.due(times[-1] + 0.05)) == 5
    assert len(pace.due(times[-1] + 10 * CATCH_UP_S)) == 1
