"""What a log can tell, before and after the fit."""

import numpy as np
import pytest
from hidden_plant import RATE_HZ, follow

from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.calibrate.servo.arm import Arm
from robot_rlaas.calibrate.servo.fit import fit
from robot_rlaas.calibrate.servo.parameters import labels, quantities, undetermined
from robot_rlaas.calibrate.servo.run import judge
from robot_rlaas.cell.calibration import TrackingError

PAYLOAD = {"payload_kg": 1.4, "payload_x_m": 0.03, "payload_y_m": -0.02, "payload_z_m": 0.04}
NAMES = [(kind, joint) for kind in ("servo_gain_scale", "joint_damping_scale", "armature_scale") for joint in "ab"]


@pytest.fixture(scope="module")
def found(workcell, motions, hidden):
    """The fit of an arm with a payload, and what it said."""
    setpoints = motions[0].setpoints(RATE_HZ)
    motion = follow(workcell, hidden.model_copy(update=PAYLOAD), setpoints, np.random.default_rng(5))
    log, said = JointLog(motion.time_s, motion.q_rad, motion.time_s, motion.command_rad), []
    return fit(Arm(workcell), log, said.append), said


def test_finds_the_payload(found):
    estimates = {e.name: e for e in found[0].estimates if e.name in PAYLOAD}
    assert estimates["payload_kg"].value == pytest.approx(1.4, abs=0.05)
    for name, true in PAYLOAD.items():
        width = estimates[name].upper_95 - estimates[name].lower_95
        assert abs(estimates[name].value - true) < width


def test_what_cannot_be_told_is_said_before_the_fit(found):
    fitted, said = found
    foreseen = [line for line in said if line.startswith("this log is not expected to tell")]
    assert any("of wrist_3_joint together: only their ratios show" in line for line in foreseen)
    assert said.index(foreseen[-1]) < next(i for i, line in enumerate(said) if line.startswith("round 1"))
    assert "armature of shoulder_pan_joint" in fitted.undetermined  # the arm it turns weighs a hundred times as much


def test_what_the_prior_holds_does_not_show(workcell, motions, found):
    """Along the posterior's widest direction, by the prior's own spread, the motion changes by less than the noise."""
    arm = Arm(workcell)
    of = quantities(arm)
    spread = np.concatenate([q.spread for q in of])
    variance, axes = np.linalg.eigh(found[0].covariance / np.outer(spread, spread))
    assert variance[-1] > 0.16
    step = {name: [] for name, _ in labels(arm, of)}
    for (name, _), value in zip(labels(arm, of), 0.5 * spread * axes[:, -1]):
        step[name].append(value)
    setpoints = motions[1].setpoints(RATE_HZ)
    time_s = np.arange(len(setpoints)) / RATE_HZ
    log = JointLog(time_s, np.repeat(setpoints[:1], len(time_s), axis=0), time_s, setpoints)
    here = found[0].parameters
    there = type(here)(**{name: value + np.array(step[name]) for name, value in here._asdict().items()})
    change_rad = arm.predict(log, there)[0] - arm.predict(log, here)[0]
    assert np.sqrt(np.mean(change_rad**2)) < 1e-4


@pytest.mark.parametrize(
    ("direction", "words"),
    [
        ([1, 0, 1, 0, 1, 0], "the scale of armature, joint damping, servo gain of a together: only their ratios show"),
        ([0, 0, 0, 0, 0, 1], "armature of b"),
        ([1, -0.8, 0, 0, 0, 0], "servo gain of a against servo gain of b"),
    ],
)
def test_directions_are_named(direction, words):
    unit = np.array(direction) / np.linalg.norm(direction)
    assert undetermined(0.01 * np.eye(6) + 0.9 * np.outer(unit, unit), NAMES) == (words,)


def test_two_directions_are_told_apart():
    """However an eigensolver mixes two that are equally open."""
    first, second = np.array([1, 0, 1, 0, 1, 0]) / np.sqrt(3), np.array([0, 0, 0, 0, 0, 1.0])
    covariance = 0.01 * np.eye(6) + 0.9 * (np.outer(first, first) + np.outer(second, second))
    assert len(undetermined(covariance, NAMES)) == 2
    assert "armature of b" in undetermined(covariance, NAMES)


def test_nothing_open_is_nothing_said():
    assert undetermined(0.1 * np.eye(6), NAMES) == ()


def test_an_arm_beyond_the_bounds_is_not_accepted(workcell, motions, hidden):
    """A servo at a fifth of its gain: the fit ends at a bound and says so, whatever the error on the other log is."""
    weak = hidden.model_copy(update={"servo_gain_scale": (0.9, 0.2, 0.9, 1.1, 0.9, 1.0)})
    motion = follow(workcell, weak, motions[0].setpoints(RATE_HZ), np.random.default_rng(6))
    log = JointLog(motion.time_s, motion.q_rad, motion.time_s, motion.command_rad)
    found = fit(Arm(workcell), log, lambda text: None)
    assert "servo_gain_scale of shoulder_lift_joint" in found.at_bound
    error = TrackingError(
        joints=("a",), before_mrad=(9.0,), after_mrad=(1.0,), mean_before_mrad=9.0, mean_after_mrad=1.0
    )
    accepted, reason = judge(found, error)
    assert not accepted
    assert "ended at a bound, so the log asks for something the model lacks: servo_gain_scale of shoulder" in reason
