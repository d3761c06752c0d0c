"""The supervisor against the real envelope of the shipped cell, in simulated time."""

import numpy as np
import pytest
from supervised import (
    AGE_S,
    CHAIN,
    ENVELOPE,
    HOME,
    PERIOD_S,
    TICK_S,
    Bench,
    acceleration,
    on_time,
    steady,
    sway,
)

from robot_rlaas.control.envelope import tightest
from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.control.safety import inside_keep_out
from robot_rlaas.deploy.stream import DEADMAN_PERIODS
from robot_rlaas.deploy.supervisor import FOREIGN_RAD, Arm, Supervisor


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


def test_a_step_too_large_is_limited_and_the_joint_named():
    bench = Bench()
    bench.give(HOME + np.array([0, 0, 0.2, 0, 0, 0]))
    bench.run(0.4)
    assert bench.counts.limited == 1
    assert dict(bench.counts.limited_joints) == {CHAIN.joints[2]: 1}
    assert bench.counts.limited_worst_rad == pytest.approx(0.2 - ENVELOPE.acceleration_rad_s2[2] * PERIOD_S**2)
    event = bench.events()[0]
    assert (event.what, event.cause, event.joint) == ("limited", "speed", CHAIN.joints[2])
    assert (event.value, event.limit) == (pytest.approx(0.2 / PERIOD_S), ENVELOPE.speed_rad_s[2])
    assert event.line == "limited elbow_joint: too fast (4 rad/s, allowed 1.5)"
    assert acceleration(bench.path) <= 1 + 1e-6


def test_a_target_out_of_reach_is_refused_and_named():
    """Joints in another order, for example: such a target is not cut down to a safe step in the wrong direction."""
    bench = Bench()
    bench.run(0.5, on_time(steady(10), bench.now_s + 0.001))
    assert bench.moving
    swapped = steady(30)[10:][:, [0, 1, 3, 2, 4, 5]] + [0, 0, 0, 0.1, 0, 0]
    bench.run(0.5, on_time(swapped, bench.now_s + 0.001))
    assert bench.counts.rejected["jump"] == 10
    assert not bench.moving
    assert {("refused", "jump", CHAIN.joints[3]), ("braked", "deadman", "")} <= bench.noted()
    assert "every target is refused: jump" in bench.events()[-1].line


def test_targets_that_repeat_or_go_back_in_time_are_refused():
    bench = Bench()
    for sent_ns, expected in ((100, None), (100, "out_of_order"), (90, "out_of_order"), (101, None)):
        assert bench.give(HOME, sent_ns=sent_ns) == expected
        bench.run(PERIOD_S)
    bench.run(1.0)
    assert bench.give(HOME, sent_ns=5) is None  # another stream


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
def test_too_much_force_for_long_stops_the_arm_until_it_is_reset(force):
    bench, targets = Bench(), steady(60)
    bench.run(0.5, on_time(targets[:10], bench.now_s + 0.001))
    bench.force = force
    bench.run(0.5, on_time(targets[10:], bench.now_s + 0.001))
    assert (bench.supervisor.latched, bench.counts.stops["force"]) == ("force", 1)
    assert (bench.counts.violations, bench.counts.holds["force"]) == (1, 0)
    assert bench.counts.ignored_while_latched > 5
    assert acceleration(bench.path) <= 1 + 1e-6
    stopped = bench.path[-1]
    np.testing.assert_array_equal(bench.path[-20], stopped)
    assert bench.supervisor.why.startswith("stopped: the wrist feels too much")
    bench.force = (0.0, 0.0, 5.0)
    bench.run(0.1)
    assert bench.supervisor.reset(bench.now_s) == "force"
    assert bench.give(stopped) is None
    assert (bench.supervisor.latched, bench.supervisor.why) == (None, "")


def test_a_short_peak_of_force_is_a_hold_and_a_second_one_a_stop():
    bench, targets = Bench(), steady(60)
    bench.run(0.5, on_time(targets[:10], bench.now_s + 0.001))
    quiet = bench.force
    bench.force = (0.0, 0.0, -ENVELOPE.force_N)
    bench.run(TICK_S)
    bench.force = quiet
    assert (bench.supervisor.held, bench.supervisor.latched) == ("force", None)
    assert bench.give(targets[10]) == "held"
    bench.run(0.15)
    assert not bench.moving
    bench.run(0.2)
    assert bench.supervisor.held is None
    assert bench.give(bench.path[-1]) is None
    assert (bench.counts.holds["force"], bench.counts.violations) == (1, 1)
    assert {("held", "force", ""), ("resumed", "force", "")} <= bench.noted()
    bench.run(0.1)
    bench.force = (0.0, 0.0, -ENVELOPE.force_N)
    bench.run(TICK_S)
    assert bench.supervisor.latched == "force"


def test_too_much_torque_names_the_joint():
    limit = np.array([150, 150, 150, 28, 28, 28.0])
    bench, targets = Bench(Arm(torque_Nm=limit)), steady(60)
    bench.torque_Nm = tuple(0.9 * limit)
    bench.run(0.5, on_time(targets[:10], bench.now_s + 0.001))
    assert bench.counts.violations == 0
    bench.torque_Nm = (0, 0, 0, -29, 0, 0)
    bench.run(0.5, on_time(targets[10:], bench.now_s + 0.001))
    assert bench.supervisor.latched == "torque"
    (event,) = [e for e in bench.events() if e.what == "stopped"]
    assert (event.joint, event.value, event.limit, event.unit) == (CHAIN.joints[3], 29, 28, "N m")


def test_an_arm_that_feels_nothing_moves_and_is_stopped_for_torque():
    bench, targets = Bench(Arm(torque_Nm=np.full(6, 28.0), feels=False)), steady(60)
    bench.speaks = {"joint_states"}
    bench.run(1.0, on_time(targets[:20], bench.now_s + 0.001))
    assert bench.supervisor.ready(bench.now_s)
    assert bench.counts.violations == 0
    assert bench.moving
    assert Arm.from_json(Arm(feels=False).to_json()) == Arm(feels=False)
    bench.torque_Nm = (0, 0, 0, -29, 0, 0)
    bench.run(0.5, on_time(targets[20:], bench.now_s + 0.001))
    assert bench.supervisor.latched == "torque"


def test_a_stop_brakes_at_once_and_as_hard_as_allowed():
    """From 1.2 rad/s at 20 rad/s^2: 60 ms, wherever in a period it is asked for; and that to a tick."""
    for offset in range(5):
        bench = Bench()
        bench.run(0.6 + offset * TICK_S, on_time(steady(60, 0.5 * 1.2), bench.now_s + 0.001))
        speed = np.abs(bench.supervisor.velocity_rad_s).max()
        ticks = int(np.ceil(speed / ENVELOPE.acceleration_rad_s2[5] / TICK_S - 1e-9))
        count = len(bench.sent)
        bench.supervisor.fault("recorder", "the disk is full", bench.now_s)
        bench.run(0.3)
        moved = np.abs(np.diff(bench.path[count - 1 :], axis=0)).max(axis=1)
        assert (moved[: ticks - 1] > 1e-6).all()
        assert (moved[ticks:] == 0).all()
        assert acceleration(bench.path) <= 1 + 1e-6
        assert bench.supervisor.why == "stopped: the disk is full"


def test_the_weight_of_the_tool_is_not_a_contact():
    bench = Bench()
    bench.force = (0.0, 0.0, 5.0 + ENVELOPE.force_N - 1.0)
    bench.run(1.0, on_time(sway(10), bench.now_s + 0.001))
    assert bench.counts.violations == 0
    assert bench.counts.peak_force_N == pytest.approx(ENVELOPE.force_N - 1.0)


@pytest.mark.parametrize("sensor", ["joint_states", "wrench"])
def test_a_silent_sensor_holds_the_arm_and_a_lost_one_stops_it(sensor):
    bench, targets = Bench(), steady(100)
    bench.run(0.5, on_time(targets[:10], bench.now_s + 0.001))
    bench.speaks -= {sensor}
    bench.run(0.2, on_time(targets[10:14], bench.now_s + 0.001))
    assert (bench.supervisor.held, bench.moving) == (f"{sensor}_quiet", False)
    bench.speaks |= {sensor}
    bench.run(0.4)
    assert bench.supervisor.held is None
    assert bench.give(bench.path[-1]) is None
    assert bench.counts.violations == 0  # a late sensor is a machine's fault, not a policy's
    bench.speaks -= {sensor}
    bench.run(0.8)
    assert bench.supervisor.latched == f"{sensor}_quiet"
    assert "no usable" in bench.supervisor.why


@pytest.mark.parametrize("sensor", ["joint_states", "wrench"])
def test_a_sensor_that_repeats_itself_while_the_arm_moves_stops_it(sensor):
    bench, targets = Bench(), steady(100)
    bench.frozen.add(sensor)
    bench.run(1.0)
    assert bench.supervisor.latched is None  # at rest, equal readings may be right
    bench.frozen.clear()
    bench.run(0.5, on_time(targets[:10], bench.now_s + 0.001))
    bench.frozen.add(sensor)
    bench.run(0.1, on_time(targets[10:12], bench.now_s + 0.001))
    assert bench.supervisor.latched == f"{sensor}_frozen"
    assert bench.events()[-1].joint == CHAIN.joints[5]


def test_what_a_frozen_sensor_repeats_is_not_where_the_arm_is():
    bench, targets = Bench(), steady(100, 1.2)
    bench.run(0.5, on_time(targets[:10], bench.now_s + 0.001))
    bench.frozen.add("joint_states")
    bench.run(0.5, on_time(targets[10:12], bench.now_s + 0.001))
    assert bench.supervisor.latched == "joint_states_frozen"
    bench.supervisor.reset(bench.now_s)
    for wait_s in (0.0, 1.0):
        bench.run(wait_s)
        assert bench.give(bench.path[-1]) == "not_ready"
    bench.frozen.clear()
    bench.run(0.1)
    assert bench.give(bench.path[-1]) is None
    bench.run(0.5)
    assert (np.abs(np.diff(bench.path, axis=0)) <= ENVELOPE.speed_rad_s * TICK_S + 1e-9).all()


def test_an_arm_that_lags_behind_where_it_was_stopped_was_not_moved_by_somebody():
    bench, targets = Bench(), steady(100, 1.2)
    bench.lag_ticks = 10
    bench.run(0.5, on_time(targets[:10], bench.now_s + 0.001))
    bench.supervisor.fault("operator", "somebody stopped it", bench.now_s)
    while not bench.supervisor.at_rest:
        bench.run(TICK_S)
    assert np.abs(bench.path[-1] - bench.measured).max() > FOREIGN_RAD
    bench.supervisor.reset(bench.now_s)
    assert bench.give(bench.path[-1]) is None
    bench.run(0.5)
    assert (np.abs(np.diff(bench.path, axis=0)) <= ENVELOPE.speed_rad_s * TICK_S + 1e-9).all()


def test_an_arm_that_does_not_follow_is_stopped():
    bench, targets = Bench(), steady(100)
    bench.follows = 0.5
    bench.run(1.0, on_time(targets[:20], bench.now_s + 0.001))
    assert bench.supervisor.latched == "not_following"
    assert bench.events()[-1].joint == CHAIN.joints[5]
    assert bench.events()[-1].value == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize("speed_rad_s", [0.3, 0.6, 0.9])
def test_an_arm_that_is_not_heard_of_is_not_one_that_stands(speed_rad_s):
    bench = Bench()
    bench.run(0.5, on_time(steady(100, speed_rad_s)[:10], bench.now_s + 0.001))
    bench.speaks = {"wrench"}
    bench.run(1.0)
    assert bench.supervisor.latched == "joint_states_quiet"
    assert {event.cause for event in bench.events()} == {"joint_states_quiet"}


def test_an_arm_that_stands_with_nothing_in_its_way_has_no_controller():
    bench, targets = Bench(), steady(100)
    bench.follows = 0.0
    bench.run(0.4, on_time(targets[:8], bench.now_s + 0.001))
    assert bench.supervisor.latched == "not_following"
    assert "is its controller active?" in bench.supervisor.why
    count = len(bench.sent)
    bench.run(0.5)
    assert len(bench.sent) == count  # nothing that it would jump to, if it came back
    bench.supervisor.reset(bench.now_s)
    bench.give(HOME)
    bench.run(0.1)
    np.testing.assert_allclose(bench.path[count:], np.tile(HOME, (len(bench.sent) - count, 1)), atol=1e-6)


def test_an_arm_that_something_holds_may_press_against_it():
    """Its controller leads by a leash, and the wrist feels what it presses with."""
    bench, press = Bench(), HOME + 0.03 * np.minimum(np.arange(40) / 4, 1)[:, None] * np.eye(6)[1]
    bench.follows = 0.0
    bench.run(0.2)
    bench.run(0.1, on_time(press[:1], bench.now_s + 0.001))
    bench.force = (0.0, 0.0, -25.0)
    bench.run(2.0, on_time(press[1:], bench.now_s + 0.001))
    assert (bench.supervisor.latched, bench.counts.violations) == (None, 0)


@pytest.mark.parametrize(
    ("age_s", "words"), [(1.0, "stamped 1.00 s ago"), (-1.0, "stamped 1.00 s ahead"), (float("nan"), "stamped")]
)
def test_a_clock_that_jumps_makes_a_sensor_silent_and_is_told(age_s, words):
    bench, targets = Bench(), steady(100)
    bench.run(0.5, on_time(targets[:10], bench.now_s + 0.001))
    bench.speaks -= {"joint_states"}
    for i in range(20):
        bench.supervisor.measure(CHAIN.joints, list(HOME + i), bench.now_s + TICK_S, (), age_s)
        bench.run(TICK_S)
    assert bench.supervisor.held == "joint_states_quiet"
    assert words in bench.supervisor.why


def test_what_a_sensor_did_while_nobody_moved_is_no_reason_to_stop():
    bench = Bench()
    bench.run(1.7, on_time(sway(12), bench.now_s + 0.001))
    quiet, bench.force = bench.force, (0.0, 0.0, 500.0)
    bench.run(0.3)
    bench.force = quiet
    bench.run(0.1)
    bench.run(1.0, on_time(sway(12), bench.now_s + 0.001))
    assert (bench.supervisor.latched, bench.counts.violations) == (None, 0)


def test_an_arm_that_was_moved_by_hand_is_not_pulled_back():
    bench, targets = Bench(), steady(10)
    bench.run(1.5, on_time(targets, bench.now_s + 0.001))
    assert bench.supervisor.tick(bench.now_s) is not None
    bench.follows = 0.0  # at home again
    bench.run(0.1)
    count = len(bench.sent)
    bench.run(0.2)
    assert len(bench.sent) == count
    assert bench.give(HOME + 0.001) is None
    bench.run(0.1)
    assert np.abs(bench.path[count:] - HOME).max() < 0.002


def test_a_supervisor_that_was_away_goes_on_at_rest_instead_of_jumping():
    bench, targets = Bench(), steady(40, 0.9)
    bench.run(0.5, on_time(targets[:10], bench.now_s + 0.001))
    speed = bench.supervisor.velocity_rad_s
    before = bench.path[-1]
    bench.now_s += 0.15
    bench.run(TICK_S, [(bench.now_s, targets[10])])
    rest = before + np.sign(speed) * speed**2 / 2 / ENVELOPE.acceleration_rad_s2
    np.testing.assert_allclose(bench.path[-1], rest, atol=1e-9)
    assert (bench.counts.late_stops, bench.counts.violations) == (1, 0)
    assert ("braked", "late", "") in bench.noted()
    bench.run(1.0, on_time(targets[11:30], bench.now_s + 0.001))
    assert bench.counts.caught_up > 0
    assert bench.counts.violations == 0
    np.testing.assert_allclose(bench.path[-1], targets[29], atol=0.06)


def test_nobody_can_write_to_its_limits():
    bench = Bench(envelope=tightest(("cell", ENVELOPE)).envelope)
    for name, value in bench.supervisor.envelope._asdict().items():
        if name != "force_N" and value.size:
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 9.0
    with pytest.raises(AttributeError):
        bench.supervisor.envelope.force_N = 1e6


def test_jerk_stays_within_the_makers_limit_where_there_is_one():
    """20 rad/s^2 per 10 ms is 2,000 rad/s^3; for a limit of 1,500, three setpoints are averaged."""
    rng = np.random.default_rng(3)
    targets = HOME + rng.uniform(-0.05, 0.05, (60, 6))
    for limit, kept in ((5000.0, 2000.0), (1500.0, 4000.0 / 3)):
        bench = Bench(Arm(jerk_rad_s3=np.full(6, limit)))
        bench.run(3.5, on_time(targets, bench.now_s + 0.001))
        jerk = np.abs(np.diff(bench.path, 3, axis=0)).max() / TICK_S**3
        assert 0.6 * kept < jerk <= kept * (1 + 1e-6)
        assert bench.counts.periods >= 60


def test_a_policy_as_fast_as_the_arm_makes_its_own_ticks():
    bench = Bench(period_s=TICK_S)
    assert bench.supervisor.leads
    targets = HOME + 0.3 * np.linspace(0, 1, 100)[:, None] ** 2 * np.eye(6)[5]
    for target in targets:
        assert bench.give(target) is None
        bench.run(TICK_S)
    bench.run(0.3)
    path = np.concatenate([[HOME, HOME], targets])
    np.testing.assert_allclose(bench.path[:100], (path[1:-1] + path[2:]) / 2, atol=1e-7)
    assert (bench.counts.limited, bench.counts.missed_periods, bench.counts.clock_shifts) == (0, 10, 0)
    assert bench.counts.deadman == 1  # it stopped in motion


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
