"""The supervisor against the real envelope of the shipped cell, in simulated time."""

from typing import NamedTuple

import numpy as np
import pytest

from robot_rlaas.cell.spec import load_cell
from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.control.safety import inside_keep_out
from robot_rlaas.deploy.supervisor import DEADMAN_PERIODS, Supervisor
from robot_rlaas.sim.model import build

CELL = load_cell("peg_insertion")
WORKCELL = build(CELL)
CHAIN, ENVELOPE = WORKCELL.chain, WORKCELL.envelope
HOME = np.deg2rad(np.array(CELL.robot.home_deg))
PERIOD_S, TICK_S = 0.05, 0.01
AGE_S = 0.002


class Sent(NamedTuple):
    time_s: float
    setpoint: np.ndarray


class Bench:
    """A supervisor, its ticks, and sensors that speak before every tick."""

    def __init__(self) -> None:
        self.supervisor = Supervisor(CHAIN, ENVELOPE, PERIOD_S, TICK_S)
        self.now_s, self.sent, self.force = 0.0, list[Sent](), (0.0, 0.0, 5.0)
        self.sensors = True
        self.run(0.1)

    def run(self, seconds: float, arrivals: list[tuple[float, np.ndarray]] | None = None) -> None:
        """Tick on; each target of `arrivals` (time, joints) is received when its time has come."""
        queue = sorted(arrivals or [], key=lambda a: a[0])
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            while queue and queue[0][0] < self.now_s:
                time_s, target = queue.pop(0)
                self.supervisor.receive(CHAIN.joints, list(target), AGE_S, time_s)
            if self.sensors:
                self.supervisor.feel(self.force, self.now_s)
                self.supervisor.measure(CHAIN.joints, list(HOME), self.now_s)
            sent = self.supervisor.tick(self.now_s)
            if sent is not None:
                self.sent.append(Sent(self.now_s, sent))

    def give(self, target: np.ndarray, names=CHAIN.joints, age_s: float = AGE_S) -> str | None:
        return self.supervisor.receive(names, list(target), age_s, self.now_s + 0.001)

    @property
    def counts(self):
        return self.supervisor.counts

    @property
    def path(self) -> np.ndarray:
        return np.array([s.setpoint for s in self.sent])


def sway(count: int, amplitude: float = 0.05) -> np.ndarray:
    """Targets that start and end at rest at home."""
    s = np.minimum(np.arange(1, count + 1) / (count - 2), 1.0)
    return HOME + amplitude * np.sin(np.pi * s)[:, None] ** 2 * np.array([1, -1, 0.5, 0.3, 0.2, -1])


def on_time(targets: np.ndarray, start_s: float, period_s: float = PERIOD_S) -> list[tuple[float, np.ndarray]]:
    return [(start_s + i * period_s, target) for i, target in enumerate(targets)]


def acceleration(path: np.ndarray) -> float:
    """The largest part of the acceleration limit that a path of setpoints takes."""
    return float((np.abs(np.diff(path, 2, axis=0)) / TICK_S**2 / ENVELOPE.acceleration_rad_s2).max())


def test_it_does_nothing_before_the_first_target():
    bench = Bench()
    assert bench.sent == []


def test_targets_on_time_become_the_setpoints_of_the_interpolation():
    bench, targets = Bench(), sway(40)
    bench.run(2.2, on_time(targets, bench.now_s + 0.001))
    past = np.concatenate([[HOME, HOME], targets])
    expected = [setpoint((past[i], past[i + 1], past[i + 2]), (j + 1) / 5) for i in range(40) for j in range(5)]
    np.testing.assert_allclose(bench.path[:200], expected, atol=1e-12)
    assert bench.counts.violations == 0
    assert (bench.counts.targets, bench.counts.missed_periods, bench.counts.clock_shifts) == (40, 0, 0)


@pytest.mark.parametrize("offset_s", [0.0005, 0.003, 0.0055, 0.0099])
def test_the_first_period_begins_about_one_tick_after_the_arrival(offset_s):
    bench = Bench()
    arrival_s = bench.now_s + offset_s
    bench.run(0.2, [(arrival_s, sway(10)[0])])
    moved = next(s.time_s for s in bench.sent if np.abs(s.setpoint - HOME).max() > 1e-6)
    assert 0.005 - 1e-9 <= moved - arrival_s <= 0.0151


def test_joints_are_mapped_by_name():
    one, other, targets = Bench(), Bench(), sway(4)
    order = [3, 0, 5, 1, 4, 2]
    for bench in (one, other):
        for target in targets:
            if bench is one:
                bench.give(target)
            else:
                bench.give(target[order], tuple(CHAIN.joints[i] for i in order))
            bench.run(PERIOD_S)
    np.testing.assert_array_equal(one.path, other.path)
    assert np.abs(np.diff(one.path, axis=0)).max() > 1e-4


@pytest.mark.parametrize(
    ("reason", "target", "names", "age_s"),
    [
        ("not_finite", HOME * np.array([1, 1, np.nan, 1, 1, 1]), CHAIN.joints, AGE_S),
        ("shape", HOME[:5], CHAIN.joints[:5], AGE_S),
        ("shape", HOME[:5], CHAIN.joints, AGE_S),
        ("names", HOME, (*CHAIN.joints[:5], "finger_joint"), AGE_S),
        ("names", HOME, (*CHAIN.joints[:5], CHAIN.joints[0]), AGE_S),
        ("stale", HOME, CHAIN.joints, 0.16),
        ("stale", HOME, CHAIN.joints, float("nan")),
        ("future", HOME, CHAIN.joints, -0.11),
    ],
)
def test_a_bad_target_is_refused_and_counted_by_its_reason(reason, target, names, age_s):
    bench = Bench()
    assert bench.give(target, names, age_s) == reason
    assert bench.counts.rejected == {**dict.fromkeys(bench.counts.rejected, 0), reason: 1}
    assert bench.counts.violations == 1
    bench.run(0.2)
    assert bench.sent == []
    assert bench.give(HOME) is None


def test_a_target_before_any_sensor_is_refused():
    supervisor = Supervisor(CHAIN, ENVELOPE, PERIOD_S, TICK_S)
    assert supervisor.receive(CHAIN.joints, list(HOME), AGE_S, 1.0) == "not_ready"


def test_a_jump_is_limited_and_the_joint_named():
    bench = Bench()
    bench.give(HOME + np.array([0, 0, 2.0, 0, 0, 0]))
    bench.run(0.4)
    assert bench.counts.limited == 1
    assert dict(bench.counts.limited_joints) == {CHAIN.joints[2]: 1}
    assert bench.counts.limited_worst_rad == pytest.approx(2.0 - ENVELOPE.acceleration_rad_s2[2] * PERIOD_S**2)
    assert acceleration(bench.path) <= 1 + 1e-6


def test_a_keep_out_box_is_not_entered():
    bench, steps = Bench(), np.arange(1, 80)[:, None]
    towards_the_clamp = HOME + steps * np.array([0.01, 0, 0, 0, 0, 0])
    bench.run(4.5, on_time(towards_the_clamp, bench.now_s + 0.001))
    assert bench.counts.blocked > 0
    assert inside_keep_out(ENVELOPE, tool_pose(CHAIN, towards_the_clamp)).any()
    assert not inside_keep_out(ENVELOPE, tool_pose(CHAIN, bench.path)).any()


def test_one_missing_target_repeats_the_last_one_and_is_counted():
    bench, targets = Bench(), sway(40)
    arrivals = on_time(targets, bench.now_s + 0.001)
    bench.run(2.2, arrivals[:15] + arrivals[16:])
    assert (bench.counts.missed_periods, bench.counts.violations) == (1, 0)
    assert acceleration(bench.path) <= 1 + 1e-6


def test_silence_in_motion_is_a_deadman_and_a_smooth_stop():
    bench = Bench()
    bench.run(2.0, on_time(HOME + np.arange(1, 20)[:, None] * [0, 0, 0, 0, 0, 0.02], bench.now_s + 0.001))
    assert (bench.counts.deadman, bench.counts.violations) == (1, 1)
    assert bench.counts.missed_periods == DEADMAN_PERIODS
    assert acceleration(bench.path) <= 1 + 1e-6
    np.testing.assert_array_equal(bench.path[-1], bench.path[-50])


def test_the_same_target_at_once_again_is_a_hold():
    bench = Bench()
    targets = sway(40)[:10]
    start_s = bench.now_s + 0.001
    bench.run(1.0, [*on_time(targets, start_s), (start_s + 9 * PERIOD_S + 0.002, targets[-1])])
    assert (bench.counts.deadman, bench.counts.superseded, bench.counts.violations) == (0, 1, 0)
    assert acceleration(bench.path) <= 1 + 1e-6


def test_silence_at_rest_is_an_end_and_a_new_stream_may_begin():
    bench, targets = Bench(), sway(22)
    bench.run(2.0, on_time(targets, bench.now_s + 0.001))
    bench.run(2.0, on_time(targets, bench.now_s + 0.004))
    assert (bench.counts.deadman, bench.counts.missed_periods, bench.counts.violations) == (0, 0, 0)
    assert bench.counts.periods >= 44


@pytest.mark.parametrize("force", [(0.0, 0.0, 5.0 + ENVELOPE.force_N + 1.0), (float("nan"), 0.0, 0.0)])
def test_too_much_force_stops_the_arm_until_it_is_reset(force):
    bench, targets = Bench(), sway(60)
    bench.run(0.5, on_time(targets[:10], bench.now_s + 0.001))
    bench.force = force
    bench.run(0.5, on_time(targets[10:], bench.now_s + 0.001))
    assert (bench.supervisor.latched, bench.counts.stops["force_stop"]) == ("force_stop", 1)
    assert bench.counts.violations == 1
    assert bench.counts.ignored_while_latched > 5
    assert acceleration(bench.path) <= 1 + 1e-6
    stopped = bench.path[-1]
    np.testing.assert_array_equal(bench.path[-20], stopped)
    bench.force = (0.0, 0.0, 5.0)
    assert bench.supervisor.reset() == "force_stop"
    assert bench.give(stopped) is None
    assert bench.supervisor.latched is None


def test_the_weight_of_the_tool_is_not_a_contact():
    bench = Bench()
    bench.force = (0.0, 0.0, 5.0 + ENVELOPE.force_N - 1.0)
    bench.run(1.0, on_time(sway(10), bench.now_s + 0.001))
    assert bench.counts.violations == 0
    assert bench.counts.peak_force_N == pytest.approx(ENVELOPE.force_N - 1.0)


def test_lost_sensors_stop_the_arm():
    bench = Bench()
    bench.run(0.5, on_time(sway(60)[:10], bench.now_s + 0.001))
    bench.sensors = False
    bench.run(1.0, on_time(sway(60)[10:30], bench.now_s + 0.001))
    assert bench.supervisor.latched == "sensor_lost"
    assert bench.counts.stops["sensor_lost"] == 1


@pytest.mark.parametrize("drift", [-0.002, 0.002])
def test_a_sender_whose_clock_drifts_is_followed(drift):
    bench, targets = Bench(), np.concatenate([sway(100)] * 4)
    arrivals = on_time(targets, bench.now_s + 0.001, PERIOD_S * (1 + drift))
    bench.run(20.5, arrivals)
    assert bench.counts.violations == 0
    assert bench.counts.missed_periods + bench.counts.superseded <= 2
    assert bench.counts.clock_shifts >= 3
    assert acceleration(bench.path) <= 1 + 1e-6


def test_jitter_alone_shifts_once_at_most():
    bench, rng = Bench(), np.random.default_rng(1)
    start_s = bench.now_s + 0.003
    arrivals = [(t + rng.uniform(-0.002, 0.003), q) for t, q in on_time(np.concatenate([sway(100)] * 4), start_s)]
    bench.run(20.5, arrivals)
    assert (bench.counts.missed_periods, bench.counts.violations) == (0, 0)
    assert bench.counts.clock_shifts <= 1
