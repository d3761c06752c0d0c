"""The driver's node and all that stands before it, over ROS 2, on an SO-101 of emulated servos."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from feetech_bus import Servos, bus
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from so101 import STEP_RAD, calibrate, put, where
from std_msgs.msg import Float64MultiArray

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import Line
from robot_rlaas.deploy.excite import record_excitation
from robot_rlaas.deploy.plan import Station, arm_processes
from robot_rlaas.deploy.ros.process import RELIABLE, from_time
from robot_rlaas.deploy.run import DeploymentError, look_after, started
from robot_rlaas.jobs.pipeline import Cell

# rclpy's message generator imports a parser that imports a deprecated module
pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")]
pytest.importorskip("scservo_sdk")

DOMAIN = 73
REAL = {"arm": "real", "plant": "ur5e_worn", "seed": 0, "domain_id": None}
USB_S = 0.001  # how much later than on the wire an answer comes through a USB adapter


@pytest.fixture(scope="module")
def kitting() -> Cell:
    return Cell.load("kitting")


@pytest.fixture
def home(kitting: Cell) -> np.ndarray:
    return np.deg2rad(np.array(kitting.spec.robot.home_deg))


@pytest.fixture
def servos(home: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Servos:
    """At home, calibrated, on a domain of their own."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(calibrate(tmp_path / "calibration")))
    servos = Servos()
    servos.late_s = USB_S
    put(servos, home)
    return servos


def station(kitting: Cell, port: str) -> Station:
    return Station(kitting.spec, kitting.workcell.chain, kitting.workcell.envelope, line=Line(port))


def messages(log: Path, topic: str) -> list:
    """The messages of a topic."""
    with log.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        return [content for *_, content in reader.iter_decoded_messages(topics=[topic])]


def test_a_motion_goes_through_all_of_it_and_is_recorded_in_radians(kitting, home, servos, tmp_path):
    sway = np.sin(np.linspace(0, np.pi, 60))[:, None] ** 2 * np.array([0.3, 0.2, -0.2, 0.2, 0.4])
    targets, told = home + np.vstack([sway, np.zeros((4, 5))]), list[str]()
    joints = kitting.workcell.chain.joints
    with bus(servos) as port:
        log = record_excitation(
            *(station(kitting, port), joints, targets, tmp_path / "motion.mcap"), arm="real", on_event=told.append
        )
    assert "measures no wrench" in told[0]
    assert json.loads((tmp_path / "motion" / "supervisor.json").read_text())["violations"] == 0
    states = messages(log, "/joint_states")
    assert all(tuple(m.name) == (*joints, "gripper") for m in states)
    stamps = np.array([from_time(m.header.stamp) for m in states])
    q = np.array([m.position for m in states])[:, :5]
    commands = np.array([m.data for m in messages(log, "/forward_position_controller/commands")])
    reached = home + sway.max(0) * [1, 1, 0, 1, 1] + sway.min(0) * [0, 0, 1, 0, 0]
    extreme = np.where([1, 1, 0, 1, 1], q.max(0), q.min(0))
    np.testing.assert_allclose(extreme, reached, atol=0.01)
    np.testing.assert_allclose(where(servos), home, atol=2 * STEP_RAD)
    assert np.abs(commands - home).max() == pytest.approx(0.4, abs=0.01)
    assert np.median(np.diff(stamps)) == pytest.approx(0.01, abs=2e-4)
    assert np.percentile(np.abs(np.diff(stamps) - 0.01), 95) < 0.005
    assert np.isfinite([[m.effort[:5], m.velocity[:5]] for m in states]).all()


class Commander:
    """A node of the test's own in place of the watchdog."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("commander", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.states, self.ages_s = list[JointState](), list[float]()
        self.node.create_subscription(JointState, "/joint_states", self._take, qos_profile_sensor_data)
        self.commands = self.node.create_publisher(Float64MultiArray, "/forward_position_controller/commands", RELIABLE)

    def _take(self, state: JointState) -> None:
        self.states.append(state)
        self.ages_s.append(time.time() - from_time(state.header.stamp))

    def until(self, condition, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.01)

    def rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def commander(servos: Servos) -> Iterator[Commander]:
    commander = Commander()
    yield commander
    commander.close()


def test_without_its_commander_the_arm_holds_and_without_its_bus_the_node_ends(
    kitting, home, servos, commander, tmp_path
):
    wrong = Servos()
    wrong.become(2, 1284)
    with bus(servos) as port, bus(wrong) as other:
        (driver, *_), (misled, *_) = (arm_processes(station(kitting, at), tmp_path, **REAL) for at in (port, other))
        with started([driver, misled._replace(name="misled")], tmp_path) as running:
            commander.until(lambda: len(commander.states) > 20 and commander.commands.get_subscription_count() > 0)
            np.testing.assert_allclose(where(servos), home, atol=STEP_RAD)
            commander.commands.publish(Float64MultiArray(data=list(home + 0.2)))
            commander.rest(0.3)
            np.testing.assert_allclose(where(servos), home, atol=STEP_RAD)
            for step in range(20):
                commander.commands.publish(Float64MultiArray(data=list(home + 0.01 * step)))
                commander.rest(0.01)
            commander.rest(0.5)  # nobody commands it any more
            np.testing.assert_allclose(commander.states[-1].position[:5], home + 0.19, atol=2 * STEP_RAD)
            commander.rest(0.5)
            np.testing.assert_allclose(where(servos), home + 0.19, atol=2 * STEP_RAD)
            assert 0 < np.median(commander.ages_s) < 0.02
            running["misled"].wait(60)
            with pytest.raises(InputError, match=r"'misled' ended with code 2\n(.|\n)*expected 777, found 1284"):
                look_after({"misled": running["misled"]}, tmp_path)
            servos.silent, silent_s = True, time.time()
            running["driver"].wait(20)
            with pytest.raises(DeploymentError, match=r"does not answer, 10 times in a row.*no status packet"):
                look_after({"driver": running["driver"]}, tmp_path)
            assert "a first command 0.20 rad away from the arm" in (tmp_path / "logs/driver.txt").read_text()
            commander.rest(0.2)
            assert from_time(commander.states[-1].header.stamp) < silent_s + 0.02
    assert all(servos.torque(i) for i in range(1, 7)), "an arm that is let go drops"


def test_a_port_that_is_not_there_is_told_before_anything_starts(kitting, tmp_path):
    with pytest.raises(InputError, match=r"no port /dev/nothing, on which a so101 should be\n.*--port"):
        arm_processes(station(kitting, "/dev/nothing"), tmp_path, **REAL)
    assert list(tmp_path.iterdir()) == []
