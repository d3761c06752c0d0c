import numpy as np
import pytest
from hidden_plant import RATE_HZ, follow

from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.calibrate.servo.arm import Arm, ArmParameters, held, initial_state, interpolation
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.sim.model import build


def truth(plant) -> ArmParameters:
    return ArmParameters(*(np.array([getattr(plant, name)]) for name in ArmParameters._fields))


def test_predicts_what_the_whole_cell_does(workcell, motions, hidden):
    quiet = hidden.model_copy(update={"joint_noise_rad": 0.0})
    motion = follow(workcell, quiet, motions[1].setpoints(RATE_HZ), np.random.default_rng(0))
    log = JointLog(motion.time_s, motion.q_rad, motion.time_s, motion.command_rad)
    arm = Arm(workcell)
    error_rad = np.abs(arm.predict(log, truth(hidden))[0] - log.q_rad)
    assert error_rad.max() < 2e-5  # the start is read from the log, as of a real arm, and friction remembers it
    assert np.sqrt(np.mean((arm.predict(log, arm.nominal())[0] - log.q_rad) ** 2)) > 1e-3


@pytest.mark.parametrize("name", ["connector_mating", "kitting", "machine_tending"])
def test_an_arm_stands_alone_whatever_hangs_on_it(name):
    cell = load_cell(name)
    arm, home = Arm(build(cell)), np.deg2rad(np.array(cell.robot.home_deg))
    time_s, rest = np.arange(100) / RATE_HZ, np.tile(home, (100, 1))
    sag = arm.predict(JointLog(time_s, rest, time_s, rest), arm.nominal())[0] - rest
    assert np.abs(sag).max() < 0.02


def test_friction_that_falls_with_speed_is_simulated_as_the_whole_cell_does(workcell, motions, hidden):
    quiet, slow_Nm = hidden.model_copy(update={"joint_noise_rad": 0.0}), 0.8 * np.array(hidden.joint_friction_Nm)
    motion = follow(workcell, quiet, motions[1].setpoints(RATE_HZ), np.random.default_rng(0), slow_Nm)
    log = JointLog(motion.time_s, motion.q_rad, motion.time_s, motion.command_rad)
    arm = Arm(workcell)
    error_rad = np.abs(arm.predict(log, truth(hidden), slow_Nm[None])[0] - log.q_rad)
    assert error_rad.max() < 5e-5
    without = np.abs(arm.predict(log, truth(hidden))[0] - log.q_rad)
    assert without.max() > 3 * error_rad.max()
    nothing = arm.predict(log, truth(hidden), np.zeros((1, 6)))
    np.testing.assert_allclose(nothing, arm.predict(log, truth(hidden)), atol=1e-12)


def test_many_sets_at_once_are_each_alone(workcell, motions, hidden):
    setpoints = motions[1].setpoints(RATE_HZ)[:200]
    time_s = np.arange(200) / RATE_HZ
    log, arm = JointLog(time_s, setpoints, time_s, setpoints), Arm(workcell)
    both = ArmParameters(*(np.concatenate(pair) for pair in zip(arm.nominal(), truth(hidden))))
    np.testing.assert_array_equal(arm.predict(log, both)[1], arm.predict(log, truth(hidden))[0])


def test_held_command_is_averaged_over_each_step():
    log = JointLog(np.zeros(1), np.zeros((1, 1)), np.array([0.0, 0.01, 0.02]), np.array([[0.0], [1.0], [3.0]]))
    start_s = np.array([[-0.02, 0.0, 0.0075, 0.0125, 0.0175, 0.5]])
    np.testing.assert_allclose(held(log, start_s, 0.005)[0, :, 0], [0, 0, 0.5, 1, 2, 3], atol=1e-12)


def test_interpolation_is_exact_for_a_parabola():
    at = np.array([1.0, 1.25, 2.5, 6.9])
    np.testing.assert_allclose(interpolation(at, 10) @ np.arange(10.0) ** 2, at**2, atol=1e-12)


def test_initial_state_of_a_moving_arm():
    time_s = np.arange(0, 1, 0.01)
    q = np.outer(0.3 * time_s + 1.0, np.ones(6))
    start, velocity = initial_state(JointLog(time_s, q, time_s, q))
    np.testing.assert_allclose(start, 1.0, atol=1e-9)
    np.testing.assert_allclose(velocity, 0.3, atol=1e-9)
