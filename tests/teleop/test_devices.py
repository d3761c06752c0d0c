"""Devices with LeRobot's own drivers: a gamepad that SDL makes up, a leader arm on a pseudo terminal, a ROS 2 topic."""

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from feetech_bus import JOINTS, MIDDLE, STEPS, Servos, bus, calibration

from robot_rlaas.cell.errors import InputError
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.teleop.devices import UNSEEN, device
from robot_rlaas.teleop.recorder import Wish
from robot_rlaas.teleop.session import Session
from robot_rlaas.teleop.twist import twists

pytest.importorskip("lerobot")
DEG = STEPS / 360  # counts of an encoder


class Pad:
    """A gamepad that exists in SDL only."""

    def __init__(self) -> None:
        import pygame

        (library,) = (Path(pygame.__file__).parents[1] / "pygame.libs").glob("libSDL2-2*")
        self._sdl = ctypes.CDLL(str(library))
        self._sdl.SDL_JoystickOpen.restype = ctypes.c_void_p
        pygame.init()
        self._index = self._sdl.SDL_JoystickAttachVirtual(1, 6, 12, 0)
        self._handle = ctypes.c_void_p(self._sdl.SDL_JoystickOpen(self._index))

    def axis(self, number: int, value: float) -> None:
        self._sdl.SDL_JoystickSetVirtualAxis(self._handle, number, ctypes.c_int16(int(32767 * value)))

    def button(self, number: int, down: bool) -> None:
        self._sdl.SDL_JoystickSetVirtualButton(self._handle, number, ctypes.c_uint8(down))


@pytest.fixture
def pad(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pad]:
    for key, value in UNSEEN.items():
        monkeypatch.setenv(key, value)
    pygame = pytest.importorskip("pygame")
    yield Pad()
    pygame.quit()


@pytest.mark.filterwarnings("ignore:pkg_resources")
def test_a_gamepad_moves_the_tool_and_its_buttons_decide(session: Session, pad: Pad) -> None:
    with device("gamepad", [], session) as poll:
        assert list(poll()) == []
        pad.axis(1, -1.0)  # the left stick, pushed away
        pad.axis(3, 0.5)  # the right one, pulled a little
        (wish,) = poll()
        assert wish.name == "nudge"
        assert wish.values == pytest.approx((1, 0, -0.5, 0), abs=0.01)
        pad.axis(1, 0.0)
        pad.axis(3, 0.0)
        pad.button(6, True)
        assert list(poll()) == [Wish("grip")]
        session.pilot.closed = True
        assert list(poll()) == [], "it is closed already"
        pad.button(6, False)
        pad.button(3, True)
        assert list(poll()) == [Wish("keep")]
        pad.button(3, False)
        assert list(poll()) == []
        pad.button(0, True)
        assert list(poll()) == [Wish("again")]


@pytest.mark.filterwarnings("ignore:pkg_resources")
def test_a_gamepad_that_is_not_there(session: Session) -> None:
    pytest.importorskip("pygame")
    with pytest.raises(InputError, match="'gamepad': there is none"):
        with device("gamepad", [], session):
            pass


@pytest.fixture
def calibrated(tmp_path: Path) -> list[str]:
    """LeRobot's calibration of the servos, whose middle is zero, as options."""
    (tmp_path / "mine.json").write_text(json.dumps(calibration()))
    return ["id=mine", f"calibration_dir={tmp_path}"]


@pytest.mark.realtime
def test_a_leader_arm_takes_the_tool_along(session: Session, kitting: Cell, calibrated: list[str]) -> None:
    pytest.importorskip("scservo_sdk")
    servos = Servos()
    for servo, degrees in enumerate((0, -40, 60, 60, 0), 1):
        servos.turn(servo, round(MIDDLE + DEG * degrees))
    with bus(servos) as port, device("so101_leader", [f"port={port}", *calibrated], session) as poll:
        assert list(poll()) == [], "nothing is recorded yet"
        session.record()
        began = session.pilot.goal
        wish, grip = poll()
        assert wish.values == pytest.approx((*began.p, began.yaw), abs=1e-6)
        assert grip == Wish("grip"), "its gripper is half closed"
        servos.turn(1, round(MIDDLE + DEG * 20))
        servos.turn(6, STEPS)
        (wish,) = poll()
    before, after = (np.deg2rad([[turn, -40, 60, 60, 0]]) for turn in (0, 20))
    flange = [tool_pose(leader_chain(), q).p[0] for q in (before, after)]
    moved = np.array(wish.values[:3]) - began.p
    assert np.linalg.norm(moved) > 0.03
    np.testing.assert_allclose(moved, flange[1] - flange[0], atol=1e-3)
    assert abs(wish.values[3] - began.yaw) == pytest.approx(np.deg2rad(20), abs=0.01)


def leader_chain():
    from robot_rlaas.sim.arms import load_arm
    from robot_rlaas.sim.model import serial_chain

    return serial_chain(load_arm("so101", JOINTS[:5]).compile(), JOINTS[:5], "flange")


def test_a_leader_arm_that_is_not_there_or_not_calibrated(session: Session, tmp_path: Path) -> None:
    pytest.importorskip("scservo_sdk")
    with pytest.raises(InputError, match=r"'so101_leader' does not answer.*/dev/nothing"):
        with device("so101_leader", ["port=/dev/nothing"], session):
            pass
    with bus(Servos()) as port, pytest.raises(InputError, match="not calibrated\n  fix: lerobot-calibrate"):
        with device("so101_leader", [f"port={port}", f"calibration_dir={tmp_path}"], session):
            pass


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gamepat", [], "LeRobot has no teleoperator 'gamepat'.*so101_leader.*\n.*did you mean 'gamepad'"),
        ("so101_leader", [], "Missing required field.*port.*\n.*its keys are.*port"),
        ("so101_leader", ["prt=x"], "`prt` are not valid"),
        ("so101_leader", ["port"], "'port' is no option"),
        ("homunculus_glove", ["port=/dev/nothing", "side=left"], "'homunculus_glove' does not answer.*/dev/nothing"),
        ("koch_leader", ["port=/dev/nothing"], "'koch_leader'.*dynamixel"),
    ],
)
def test_what_cannot_be_used_is_told(session: Session, name: str, options: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with device(name, options, session):
            pass


def test_a_device_that_says_something_else(session: Session) -> None:
    message = "'homunculus_glove' tells .*; that is neither steps of a tool nor the joints of a known arm"
    with bus(Servos()) as port, pytest.raises(InputError, match=message):
        with device("homunculus_glove", [f"port={port}", "side=left"], session):
            pass


PUBLISHES = """
import time, rclpy
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.qos import qos_profile_sensor_data
rclpy.init()
node = rclpy.create_node("hand")
kind = {kind}
sends = node.create_publisher(kind, "/hand", qos_profile_sensor_data)
for _ in range(600):
    message = kind()
    twist = getattr(message, "twist", message)
    twist.linear.x, twist.linear.z, twist.angular.z = 0.06, -9.0, 0.0
    sends.publish(message)
    time.sleep(0.05)
"""


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], subprocess.Popen]]:
    pytest.importorskip("rclpy")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    started = []

    def start(kind: str) -> subprocess.Popen:
        environment = {**os.environ, "ROS_DOMAIN_ID": "77"}
        started.append(subprocess.Popen([sys.executable, "-c", PUBLISHES.format(kind=kind)], env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.realtime
@pytest.mark.filterwarnings("ignore:module 'sre_")
@pytest.mark.parametrize("kind", ["Twist", "TwistStamped"])
def test_a_topic_of_velocities_moves_the_tool_until_it_falls_silent(cell, publish, kind: str) -> None:
    process, end = publish(kind), time.monotonic() + 30
    with twists("/hand", cell.control, 77) as poll:
        while not (wishes := poll()):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert wishes == [Wish("nudge", (0.5, 0.0, -1.0, 0.0))]
        process.kill()
        time.sleep(0.6)
        assert list(poll()) == []
