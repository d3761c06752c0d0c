"""Setpoints as trajectories that end at rest, and what a joint_trajectory_controller makes of them."""

import itertools

import numpy as np
import pytest
import yaml
from builtin_interfaces.msg import Duration
from scipy.interpolate import CubicHermiteSpline
from supervised import CHAIN, ENVELOPE, HOME, TICK_S
from trajectory_msgs.msg import JointTrajectoryPoint

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import HardwareProfile, load_hardware
from robot_rlaas.deploy.chunk import Chunk, Chunks
from robot_rlaas.deploy.ros.commands import chunk_of, message_of
from robot_rlaas.deploy.virtual_arm.arm import Reading
from robot_rlaas.deploy.virtual_arm.controllers import JointTrajectoryController
from robot_rlaas.deploy.watchdog import Watchdog

A = np.array([20.0, 10.0])
FINE_S = 0.002  # a UR's controller
AWAY = Reading(0.0, np.array([0.5, 0.5]), np.array([0.1, 0.0]), np.zeros(2), np.zeros(6))


def swing(time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity (n, 2) of a motion that accelerates and brakes as hard as it may, half a second each."""
    t, rising = time_s[:, None], time_s[:, None] < 0.05
    q = np.where(rising, A * t**2 / 2, A * (0.1 * t - t**2 / 2 - 0.0025))
    return np.where(t < 0.1, q, A * 0.0025), np.where(rising, A * t, np.maximum(A * (0.1 - t), 0))


def played(late_s: float = 0.0, until: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """What a controller makes of so many of that motion's setpoints, every fifth late: times (n,), commands (n, 2)."""
    chunks, controller, commands = Chunks(A, TICK_S), JointTrajectoryController(FINE_S), []
    time_s = TICK_S * np.arange(until)
    arrivals = time_s + late_s * (np.arange(until) % 5 == 4)
    sent, fine = 0, FINE_S * np.arange(250)
    for now_s in fine:
        while sent < until and arrivals[sent] <= now_s + 1e-9:
            q, v = (column[0] for column in swing(time_s[sent : sent + 1]))
            controller.take(chunks.of(q, v, arrivals[sent]))
            sent += 1
        commands.append(controller.command(AWAY))
    return fine + FINE_S, np.array(commands)


def test_between_points_it_is_the_cubic_that_they_determine():
    rng = np.random.default_rng(0)
    time_s = np.array([0.0, 0.01, 0.013, 0.1])
    chunk = Chunk(time_s, rng.normal(size=(4, 3)), rng.normal(size=(4, 3)))
    spline = CubicHermiteSpline(time_s, chunk.position_rad, chunk.velocity_rad_s)
    for s in [0.0, 0.004, 0.01, 0.0125, 0.05, 0.0999]:
        position, velocity = chunk.at(s)
        np.testing.assert_allclose(position, spline(s), atol=1e-12)
        np.testing.assert_allclose(velocity, spline(s, 1), atol=1e-9)
    np.testing.assert_array_equal(chunk.at(5.0)[0], chunk.position_rad[-1])


def test_setpoints_are_followed_exactly_one_tick_later_and_smoothly_between_them():
    """The forward controller's arm would get steps of up to 10 mrad here."""
    time_s, commands = played()
    expected = swing(np.maximum(time_s - TICK_S, 0.0))[0]
    np.testing.assert_allclose(commands, expected, atol=1e-12)
    assert (np.abs(np.diff(commands, 2, axis=0)) <= A * FINE_S**2 + 1e-12).all()


def test_when_setpoints_cease_the_controller_brakes_and_stands_by_itself():
    """From 20 * 0.05 = 1 rad/s at 20 rad/s^2: 25 mrad further; from half of it at half of it, 12.5 mrad."""
    _, commands = played(until=6)
    q, v = (column[0] for column in swing(np.array([0.05])))
    np.testing.assert_allclose(v, [1.0, 0.5])
    np.testing.assert_allclose(commands[-1], q + np.array([0.025, 0.0125]), atol=1e-12)
    assert (np.abs(np.diff(commands, 2, axis=0)) <= A * FINE_S**2 + 1e-12).all()
    np.testing.assert_array_equal(commands[-50:], np.tile(commands[-1], (50, 1)))


@pytest.mark.parametrize("late_s", [0.002, 0.004, 0.006, 0.008])
def test_a_late_setpoint_makes_no_jump(late_s):
    """It goes on from where the controller is by then, though that is already braking."""
    _, commands = played(late_s)
    assert (np.abs(np.diff(commands, axis=0)) <= 2.5 * FINE_S * np.array([1.0, 0.5])).all()
    np.testing.assert_allclose(commands[-1], swing(np.array([1.0]))[0][0], atol=1e-12)


def test_every_chunk_would_bring_the_arm_to_rest():
    rng = np.random.default_rng(1)
    chunks = Chunks(ENVELOPE.acceleration_rad_s2, TICK_S)
    for i in range(200):
        v = ENVELOPE.speed_rad_s * rng.uniform(-1, 1, 6) * rng.integers(0, 2, 6)
        chunk = chunks.of(HOME + 0.001 * i, v, TICK_S * i)
        assert (np.diff(chunk.time_s) >= 0.000999).all()
        assert not chunk.velocity_rad_s[-1].any()
        rest = HOME + 0.001 * i + np.sign(v) * v**2 / 2 / ENVELOPE.acceleration_rad_s2
        np.testing.assert_allclose(chunk.position_rad[-1], rest, atol=1e-12)


def test_after_a_first_setpoint_nothing_of_the_last_motion_is_left():
    chunks = Chunks(A, TICK_S)
    chunks.of(np.ones(2), np.array([1.0, 0.0]), 0.0)
    chunks.begin()
    chunk = chunks.of(np.zeros(2), np.zeros(2), 0.001)
    np.testing.assert_array_equal(chunk.position_rad, np.zeros((2, 2)))


def test_the_watchdogs_own_braking_is_what_the_controller_does_already():
    """From the first tick of silence on, its trajectories go on where the one before them is."""
    one, speed = (
        Watchdog(CHAIN.joints, CHAIN.joints[::-1], ENVELOPE.speed_rad_s, ENVELOPE.acceleration_rad_s2, TICK_S),
        1.0,
    )
    one.measure(CHAIN.joints, list(HOME))
    chunks, last = Chunks(ENVELOPE.acceleration_rad_s2[::-1], TICK_S), None
    for i in range(10):
        at = HOME + np.array([speed * TICK_S * i, 0, 0, 0, 0, 0])
        passed = one.receive([*at, *([speed] + [0.0] * 5)], TICK_S * i)
        last = chunks.of(passed, one.velocity_rad_s, TICK_S * i)
    assert last is not None
    for i in range(2, 40):
        command = one.tick(TICK_S * (9 + i))
        if command is not None:
            chunk = chunks.of(command, one.velocity_rad_s, TICK_S * (9 + i))
            for s in np.linspace(0, 0.3, 31):
                there, then = chunk.at(s)[0], last.at(TICK_S * i + s)[0]
                np.testing.assert_allclose(there, then, atol=1e-9 if s > TICK_S else 2e-4)
    assert one.latched == "supervisor_silent"
    assert not one.velocity_rad_s.any()


def test_a_trajectory_that_begins_later_is_approached_from_where_the_arm_is():
    controller = JointTrajectoryController(TICK_S)
    assert controller.command(AWAY) is None
    controller.take(Chunk(np.array([0.1]), np.zeros((1, 2)), np.zeros((1, 2))))
    path = np.array([controller.command(AWAY) for _ in range(15)])
    spline = CubicHermiteSpline([0, 0.1], [AWAY.q_rad, [0, 0]], [AWAY.velocity_rad_s, [0, 0]])
    np.testing.assert_allclose(path[:10], spline(TICK_S * np.arange(1, 11)), atol=1e-12)
    np.testing.assert_array_equal(path[10:], np.zeros((5, 2)))


def test_a_message_says_the_same_in_any_order_of_joints():
    joints = ("a", "b")
    chunk = Chunks(A, TICK_S).of(np.array([1.0, 2.0]), np.array([0.3, -0.2]), 0.0)
    message = message_of(chunk, joints)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 0)
    back, turned = chunk_of(message, joints), chunk_of(message, joints[::-1])
    assert isinstance(back, Chunk)
    assert isinstance(turned, Chunk)
    for there, here in itertools.chain(zip(back, chunk), [(turned.position_rad[:, ::-1], chunk.position_rad)]):
        np.testing.assert_allclose(there, here, atol=1e-12)


def _late_first(message) -> None:
    message.points[1].time_from_start = Duration()


def _moving(message) -> None:
    message.points[-1].velocities = [0.1, 0.0]


def _strange(message) -> None:
    message.joint_names = ["a", "c"]


def _nan(message) -> None:
    message.points[0].positions = [np.nan, 0.0]


def _positions_only(message) -> None:
    message.points.append(JointTrajectoryPoint(positions=[0.0, 0.0], time_from_start=Duration(sec=9)))


def _empty(message) -> None:
    message.points = []


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_late_first, "do not increase"),
        (_moving, "does not end at rest"),
        (_strange, "its joints are a, c"),
        (_nan, "no number"),
        (_positions_only, "lacks a joint's position or velocity"),
        (_empty, "no points"),
    ],
)
def test_what_the_real_controller_refuses_is_refused(spoil, why):
    message = message_of(Chunks(A, TICK_S).of(np.ones(2), np.array([0.3, 0.0]), 0.0), ("a", "b"))
    spoil(message)
    said = chunk_of(message, ("a", "b"))
    assert isinstance(said, str)
    assert why in said


def test_a_profile_names_a_topic_of_its_controller(tmp_path):
    shipped = load_hardware("ur5e").model_dump(mode="json")
    assert load_hardware("ur5e").command_type == "std_msgs/msg/Float64MultiArray"
    wanted = shipped | {"other_controllers": {"joint_trajectory_controller": "/mine/commands"}}
    with pytest.raises(ValueError, match=r"and other_controllers.joint_trajectory_controller is '/mine/commands'"):
        HardwareProfile.model_validate(wanted)
    wanted = shipped | {"controller": "joint_trajectory_controller"}
    with pytest.raises(ValueError, match=r"listens on NAME/joint_trajectory, and topics.command is '/forward_position"):
        HardwareProfile.model_validate(wanted)
    wanted["topics"]["command"] = "/scaled_joint_trajectory_controller/joint_trajectory"
    assert HardwareProfile.model_validate(wanted).command_type == "trajectory_msgs/msg/JointTrajectory"
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(shipped | {"controller": "servo_controller"}))
    with pytest.raises(InputError, match=r"mine\.yaml:\d+: 'controller' is 'servo_controller'"):
        load_hardware(str(file))
