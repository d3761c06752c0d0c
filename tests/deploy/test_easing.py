"""After a stop for a force: the setpoint goes back to where the arm stands, and never makes it press harder."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from supervised import CHAIN, ENVELOPE, HOME, TICK_S, Bench, acceleration, on_time

from robot_rlaas.control.kinematics import forward, joint_step
from robot_rlaas.deploy.easing import RELIEVED, SPEED_RAD_S, STRAINS, WITHIN_S
from robot_rlaas.deploy.supervisor import UNKNOWN, Arm
from robot_rlaas.deploy.watchdog import Watchdog

STIFFNESS_Nm_rad = np.array([6000, 6000, 6000, 1500, 1500, 1500.0])
SOFT = 0.3
LAG = np.exp(-TICK_S / 0.03)
NO_SAG = np.zeros(6)


class Pressing(Bench):
    """An arm with soft servos over a wall that gives way by nothing.

    Attributes:
        normal: (3,) of the wall, in the base frame.
        deep_m: how far the arm was sent behind it.
        sag_rad: (6,) how far its joints hang below where they were sent.
    """

    def __init__(self, normal=(0, 0, 1), deep_m: float = 0.05, sag_rad=NO_SAG, arm: Arm = UNKNOWN, **more) -> None:
        self.normal, self.deep_m, self.sag_rad = np.array(normal, dtype=float), deep_m, np.asarray(sag_rad)
        self.at, self.wall, self.tells = HOME.copy(), -np.inf, True
        super().__init__(arm, **more)

    def press(self) -> None:
        """Go straight at the wall, and a way into it, until the arm is stopped and stands."""
        pose, J = forward(CHAIN, HOME[None])
        way = joint_step(J, -np.append(self.normal, [0, 0, 0])[None] * self.deep_m)[0]
        self.wall = pose.p[0] @ self.normal - 0.2 * self.deep_m
        period_s = self.supervisor.period_s
        for i in range(round(2.0 / TICK_S)):
            if i % round(period_s / TICK_S) == 0:
                self.give(HOME + min((i * TICK_S + period_s) / 1.5, 1.0) * way)
            self.run(TICK_S)
            if self.supervisor.latched and not self.moving:
                return

    def push(self, sent: np.ndarray) -> tuple[np.ndarray, float]:
        """Where the arm is in the end if it is sent there (6,), and what the wall does to it, N."""
        free = sent + self.sag_rad
        pose, J = forward(CHAIN, free[None])
        along = J[0, :3].T @ self.normal
        gives = along / (SOFT * STIFFNESS_Nm_rad)
        force = max(0.0, (self.wall - pose.p[0] @ self.normal) / (along @ gives))
        return free + force * gives, force

    def _sense(self) -> None:
        sent = self.sent[-1].setpoint if self.sent else HOME
        rest, force = self.push(sent)
        self.at = rest + LAG * (self.at - rest)
        pose, _ = forward(CHAIN, self.at[None])
        F = pose.R[0].T @ (force * self.normal)
        wrench = np.concatenate([F, np.cross(CHAIN.R_tool.T @ CHAIN.p_tool, F)])
        wrench += 1e-6 * self.rng.normal(size=6)
        if "wrench" in self.speaks:
            self.supervisor.feel(wrench, self.now_s)
        if "joint_states" in self.speaks:
            if "joint_states" not in self.frozen:
                self._last["joint_states"] = self.at + 1e-6 * self.rng.normal(size=6)
            self.supervisor.measure(CHAIN.joints, list(self._last["joint_states"]), self.now_s, self.torque_Nm)

    @property
    def force_N(self) -> float:
        """What the wall does to an arm that stands where it was sent."""
        return self.push(self.sent[-1].setpoint)[1]

    @property
    def eased(self) -> list:
        """Of the journal."""
        return [event for event in self.events() if event.what == "eased"]


def stopped(**more) -> tuple[Pressing, np.ndarray]:
    """An arm that was stopped as it pressed, still at rest, and where it was sent (6,)."""
    bench = Pressing(**more)
    bench.press()
    assert bench.supervisor.latched == "force"
    assert not bench.moving
    assert not bench.eased
    return bench, bench.path[-1]


def test_an_arm_that_was_stopped_for_a_force_presses_no_more_and_a_reset_stands():
    bench, sent = stopped()
    before_N = bench.force_N
    assert before_N > ENVELOPE.force_N
    bench.run(WITHIN_S)
    assert bench.force_N < (RELIEVED + 0.05) * ENVELOPE.force_N
    assert bench.supervisor.latched == "force"
    (event,) = bench.eased
    assert (event.cause, event.unit) == ("force", "mrad")
    assert event.value == pytest.approx(1e3 * np.abs(bench.path[-1] - sent).max(), abs=0.01)
    assert event.value <= event.limit
    assert "broken off" not in event.line
    bench.supervisor.reset(bench.now_s)
    bench.run(1.0, on_time(np.tile(bench.path[-1], (20, 1)), bench.now_s + 0.001))
    assert (bench.supervisor.latched, bench.supervisor.held) == (None, None)


def test_without_easing_the_reset_would_not_stand():
    bench, sent = stopped()
    bench.supervisor.reset(bench.now_s)
    bench.run(1.0, on_time(np.tile(sent, (20, 1)), bench.now_s + 0.001))
    assert bench.supervisor.latched == "force"


unit = st.floats(-1, 1)
direction = st.tuples(unit, unit, st.floats(0.5, 1)).map(lambda v: np.array(v) / np.linalg.norm(v))
sag = st.lists(st.floats(-0.02, 0.02), min_size=6, max_size=6)


@settings(max_examples=25, phases=[Phase.explicit, Phase.generate])
@given(direction, st.floats(0.08, 0.14), sag, st.sampled_from([0.01, 0.02, 0.05]))
def test_it_is_slow_goes_no_further_than_the_arm_stands_and_never_presses_harder(normal, deep_m, sag_rad, period_s):
    bench, sent = stopped(normal=normal, deep_m=deep_m, sag_rad=sag_rad, period_s=period_s)
    there, force_N = bench.push(sent)
    count = len(bench.path)
    bench.run(WITHIN_S + 3.0)
    path, tiny = bench.path[count - 1 :], 1e-5
    assert (path >= np.minimum(sent, there) - tiny).all()
    assert (path <= np.maximum(sent, there) + tiny).all()
    assert np.abs(np.diff(path, axis=0)).max() <= SPEED_RAD_S * TICK_S * (1 + 1e-9)
    assert acceleration(path) <= 1 + 1e-6
    forces = np.array([bench.push(q)[1] for q in path])
    assert (np.diff(forces) <= tiny).all()
    assert not bench.moving
    assert len(bench.eased) <= 1
    pushed = forward(CHAIN, there[None])[1][0, :3].T @ normal
    assert (pushed * (path[-1] - sent) >= -1e-6).all()  # what only sags stays
    if np.abs(sag_rad).max() < 0.003:
        assert forces[-1] < STRAINS * force_N


def broken_off(bench: Pressing) -> None:
    bench.supervisor.fault("operator", "the operator pressed STOP", bench.now_s)


def silent(bench: Pressing) -> None:
    bench.speaks = {"joint_states"}


def blind(bench: Pressing) -> None:
    bench.speaks = {"wrench"}


def deaf(bench: Pressing) -> None:
    bench.supervisor.connected = False


def frozen(bench: Pressing) -> None:
    bench.frozen = {"joint_states"}


def away(bench: Pressing) -> None:
    bench.now_s += 0.13


def reset(bench: Pressing) -> None:
    bench.supervisor.reset(bench.now_s)


def pushed(bench: Pressing) -> None:
    bench.wall += 0.02


def freed(bench: Pressing) -> None:
    bench.wall -= 0.1


@pytest.mark.parametrize("what", [broken_off, silent, blind, deaf, frozen, reset, freed])
def test_it_does_not_begin(what):
    bench, sent = stopped()
    bench.run(0.3)
    what(bench)
    bench.run(WITHIN_S + 1.0)
    np.testing.assert_array_equal(bench.path[-1], sent)
    assert not bench.eased


def test_nor_does_it_while_the_arm_shakes_or_so_late_that_nobody_expects_it():
    bench, sent = stopped()
    for i in range(round(2 * WITHIN_S / 0.1)):
        bench.wall += 0.01 * (-1) ** i
        bench.run(0.1)
    bench.run(1.0)
    np.testing.assert_array_equal(bench.path[-1], sent)


def test_nor_after_a_stop_for_something_else():
    bench = Pressing(deep_m=0.03)
    bench.press()
    assert bench.force_N > STRAINS * ENVELOPE.force_N
    bench.supervisor.fault("operator", "the operator pressed STOP", bench.now_s)
    sent = bench.path[-1]
    bench.run(3.0)
    np.testing.assert_array_equal(bench.path[-1], sent)


@pytest.mark.parametrize("what", [broken_off, silent, blind, deaf, frozen, away, reset, pushed])
def test_it_is_broken_off_on_the_way_and_not_begun_again(what):
    bench, sent = stopped()
    while np.abs(bench.path[-1] - sent).max() < 0.005:
        bench.run(TICK_S)
    what(bench)
    bench.run(0.3)
    (event,) = bench.eased
    assert "broken off" in event.line
    there = bench.path[-1]
    bench.speaks, bench.frozen, bench.supervisor.connected = {"joint_states", "wrench"}, set(), True
    bench.run(WITHIN_S + 1.0)
    assert not bench.moving
    assert event.value < event.limit
    assert 0.004 < np.abs(there - sent).max() < 0.016
    np.testing.assert_array_equal(bench.path[-1], there)
    assert acceleration(np.array([s.setpoint for s in bench.sent[-400:]])) <= 1 + 1e-6


@pytest.mark.parametrize("feels", [True, False])
def test_after_a_stop_for_a_torque_the_joint_that_strains_goes_back(feels):
    limit = np.array([150, 150, 150, 28, 28, 28.0])
    bench = Pressing(arm=Arm(torque_Nm=limit, feels=feels), deep_m=0.03)
    bench.press()
    assert bench.supervisor.latched is None
    sent, there = bench.path[-1], bench.measured
    bench.supervisor.receive(CHAIN.joints, list(sent), 0.002, bench.now_s)
    bench.torque_Nm = (0, 0, -160, 0, 0, 0)
    bench.run(0.3)
    assert bench.supervisor.latched == "torque"
    while not bench.eased and bench.now_s < 10:
        bench.torque_Nm = tuple(SOFT * STIFFNESS_Nm_rad * (bench.path[-1] - bench.measured) * [0, 0, 4, 0, 0, 0])
        bench.run(TICK_S)
    moved = np.abs(bench.path[-1] - sent)
    assert np.argmax(moved) == 2
    assert moved[2] > 0.001
    assert np.delete(moved, 2).max() < 1e-12
    assert (bench.path[-1] - sent)[2] * (there - sent)[2] > 0


def test_the_watchdog_lets_it_pass():
    bench, _ = stopped()
    limits = (ENVELOPE.speed_rad_s, ENVELOPE.acceleration_rad_s2, TICK_S)
    watchdog = Watchdog(CHAIN.joints, CHAIN.joints, *limits)
    watchdog.measure(CHAIN.joints, list(bench.measured))
    while not bench.eased:
        bench.run(TICK_S)
        values = np.concatenate([bench.path[-1], bench.supervisor.velocity_rad_s])
        passed = watchdog.receive(values.tolist(), bench.now_s)
        assert passed is not None, watchdog.why
        np.testing.assert_array_equal(passed, bench.path[-1])
