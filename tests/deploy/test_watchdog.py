"""The watchdog in simulated time, alone and behind a supervisor."""

import numpy as np
import pytest
from supervised import CHAIN, ENVELOPE, HOME, TICK_S, Bench, acceleration, on_time, steady

from robot_rlaas.deploy.watchdog import FOREIGN_RAD, LATCH_S, Watchdog

SPEED = np.array([0.4, -0.8, 0.0, 0.2, 0.0, 1.2])
A = ENVELOPE.acceleration_rad_s2


def watchdog(order=CHAIN.joints) -> Watchdog:
    """One that has heard where the arm is."""
    made = Watchdog(CHAIN.joints, order, ENVELOPE.speed_rad_s, A, TICK_S)
    made.measure((*CHAIN.joints, "gripper"), [*HOME, 0.0])
    return made


def stream(one: Watchdog, count: int, start_s: float = 0.0) -> tuple[list[np.ndarray], float]:
    """Setpoints that accelerate to SPEED and keep it -> what passed, and when the last one was."""
    passed, at, speed, now_s = [], HOME.copy(), np.zeros(6), start_s
    for _ in range(count):
        now_s += TICK_S
        faster = np.clip(SPEED - speed, -A * TICK_S, A * TICK_S)
        at, speed = at + (speed + faster / 2) * TICK_S, speed + faster
        passed.append(one.receive([*at, *speed], now_s))
    return passed, now_s


def test_setpoints_pass_at_once_and_unchanged():
    one = watchdog()
    passed, _ = stream(one, 50)
    assert all(p is not None for p in passed)
    assert acceleration(np.array(passed)) <= 1 + 1e-6
    assert (one.latched, one.why, len(one.journal)) == (None, "", 0)


def test_the_controller_gets_its_own_order():
    order = CHAIN.joints[::-1]
    forwards, backwards = stream(watchdog(), 5)[0], stream(watchdog(order), 5)[0]
    np.testing.assert_array_equal(np.array(forwards)[:, ::-1], backwards)


def test_when_setpoints_cease_every_joint_brakes_as_hard_as_it_may_and_nothing_passes_any_more():
    """From 1.2 rad/s at 20 rad/s^2 that takes 60 ms and 36 mrad."""
    one = watchdog()
    passed, last_s = stream(one, 50)
    path = passed[-2:]
    for i in range(2, 41):
        command = one.tick(last_s + i * TICK_S)
        if command is not None:
            path.append(command)
    rest = passed[-1] + np.sign(SPEED) * SPEED**2 / 2 / A
    np.testing.assert_allclose(path[-1], rest, atol=1e-12)
    assert np.abs(rest - passed[-1]).max() == pytest.approx(0.036)
    assert not one.moving
    assert one.latched == "supervisor_silent"
    assert one.why == "stopped: no setpoints in motion (0.21 s, allowed 0.2)"
    assert one.receive([*path[-1], *np.zeros(6)], last_s + 1.0) is None
    assert one.tick(last_s + 1.0) is None


def test_silence_at_rest_is_no_fault():
    one = watchdog()
    assert one.receive([*HOME, *np.zeros(6)], 1.0) is not None
    assert one.tick(5.0) is None
    assert one.latched is None
    assert one.receive([*HOME, *np.zeros(6)], 6.0) is not None


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ([*HOME, *np.full(6, np.nan)], "bad_setpoint"),
        ([*np.full(6, np.inf), *np.zeros(6)], "bad_setpoint"),
        ([*HOME, *np.zeros(5)], "bad_setpoint"),
        ([], "bad_setpoint"),
        ([*(HOME + 0.5), *np.zeros(6)], "setpoint_jump"),
    ],
)
def test_a_bad_setpoint_stops_a_moving_arm(values, cause):
    one = watchdog()
    _, last_s = stream(one, 50)
    assert one.receive(values, last_s + TICK_S) is None
    assert one.latched == cause
    for i in range(2, 30):
        one.tick(last_s + i * TICK_S)
    assert not one.moving


def test_a_first_setpoint_away_from_the_arm_does_not_pass():
    one = watchdog()
    away = HOME + (FOREIGN_RAD + 0.01) * np.eye(6)[3]
    assert one.receive([*away, *np.zeros(6)], 1.0) is None
    (event,) = one.journal
    assert (one.latched, event.joint, event.unit) == ("setpoint_jump", CHAIN.joints[3], "rad")
    unknown = Watchdog(CHAIN.joints, CHAIN.joints, ENVELOPE.speed_rad_s, A, TICK_S)
    assert unknown.receive([*HOME, *np.zeros(6)], 1.0) is None
    assert unknown.latched is None


def test_a_watchdog_that_was_away_itself_lets_nothing_pass_and_moves_nothing():
    one = watchdog()
    passed, last_s = stream(one, 50)
    assert one.receive([*passed[-1], *SPEED], last_s + 0.5) is None
    assert one.latched == "watchdog_late"
    assert one.tick(last_s + 0.52) is None


def test_a_reset_lets_a_stream_begin_where_the_arm_is():
    one = watchdog()
    passed, last_s = stream(one, 50)
    for i in range(2, 60):
        one.tick(last_s + i * TICK_S)
    assert one.reset(last_s + 1) == "supervisor_silent"
    assert one.reset(last_s + 1) == "nothing"
    assert one.why == ""
    one.measure(CHAIN.joints, list(HOME))
    assert one.receive([*passed[-1], *np.zeros(6)], last_s + 2) is None
    one.reset(last_s + 2)
    assert one.receive([*HOME, *np.zeros(6)], last_s + 2) is not None


@pytest.mark.parametrize("away_s", [0.04, 0.06, 0.10, 0.15, 0.19])
def test_a_supervisor_that_was_away_for_a_moment_meets_the_watchdog_where_it_is(away_s):
    """Neither knows of the other, but both brake by the same rule: no jump, no latched stop."""
    bench, one = Bench(), watchdog()
    bench.run(0.7, on_time(steady(40, 1.1), bench.now_s + 0.001))
    path, known = [one.receive([*s, *v], t) for t, s, v in with_velocity(bench)], len(bench.sent)
    last_s = bench.sent[-1].time_s
    for i in range(2, round(away_s / TICK_S)):
        path.append(one.tick(last_s + i * TICK_S))
    bench.now_s = last_s + away_s - TICK_S
    for _ in range(30):
        bench.run(TICK_S)
        path.append(one.receive([*bench.path[-1], *bench.supervisor.velocity_rad_s], bench.now_s))
    assert one.latched is None
    assert len(bench.sent) == known + 30
    assert np.abs(np.diff(np.array(path)[-32:], axis=0)).max() < 1.5 * TICK_S * 1.5


def with_velocity(bench: Bench) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """What a bench has sent, with the velocities that came along."""
    path = bench.path
    speed = np.gradient(path, TICK_S, axis=0)
    speed[-1] = bench.supervisor.velocity_rad_s
    return [(s.time_s, s.setpoint, v) for s, v in zip(bench.sent, speed)]


def test_a_supervisor_that_was_away_for_long_is_not_let_through():
    bench, one = Bench(), watchdog()
    bench.run(0.7, on_time(steady(40, 1.1), bench.now_s + 0.001))
    for t, s, v in with_velocity(bench):
        one.receive([*s, *v], t)
    last_s = bench.now_s
    for i in range(2, 40):
        one.tick(last_s + i * TICK_S)
    assert 38 * TICK_S > LATCH_S
    bench.now_s = last_s + 0.4
    bench.run(TICK_S)
    assert one.receive([*bench.path[-1], *np.zeros(6)], bench.now_s) is None
    assert one.latched == "supervisor_silent"
