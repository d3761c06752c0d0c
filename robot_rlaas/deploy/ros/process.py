"""What every node's process has in common: parameters, executor, signals, messages."""

import argparse
import contextlib
import gc
import json
import os
import signal
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.timer import Timer
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from robot_rlaas.cell.hardware import Topics
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.deploy import names
from robot_rlaas.deploy.events import Journal
from robot_rlaas.deploy.sampling import Sampler

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ALIVE = QoSProfile(  # whoever listens is told within that time when the process on the other side is gone or stopped
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    liveliness=LivelinessPolicy.AUTOMATIC,
    liveliness_lease_duration=Duration(seconds=1),
)
URGENT, MORE_URGENT, MOST_URGENT = 5, 6, 7  # real-time priorities, far below that of ros2_control's own thread
NICE = -10  # where the system allows no such thing
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class Closable(Protocol):
    """A node that has something to do before it goes."""

    def close(self) -> None:
        """Say the last word and write what must be written; the ROS context is still valid."""
        ...


def main(
    make: Callable[[dict[str, Any]], Any], executor_of: Callable[[], Executor] | None = None, urgency: int = URGENT
) -> None:
    """Run the node that `make` builds from the parameter file, until SIGINT, SIGTERM or the end of the parent.

    What else is on the command line is ROS's own: "--ros-args -r FROM:=TO" and so on.

    Args:
        make: builds the node.
        executor_of: makes its executor; by default the light one.
        urgency: how little other work on the machine may delay it; 0 if that does not matter.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--params", type=Path, required=True, help="JSON file with the node's parameters")
    own, ros = parser.parse_known_args()
    params = json.loads(own.params.read_text())
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    parent = os.getppid()
    rclpy.init(args=ros, signal_handler_options=SignalHandlerOptions.NO)
    node = make(params)
    executor = (executor_of or light_executor)()
    executor.add_node(node)
    if urgency:
        hurry(urgency)  # not earlier: a process that starts must not hold up one that moves an arm
    gc.collect()
    gc.freeze()  # what lives now lives on: later collections stay short
    try:
        while not stopped and os.getppid() == parent:
            executor.spin_once(timeout_sec=0.2)
    finally:
        node.close()
        executor.remove_node(node)
        node.destroy_node()
        rclpy.try_shutdown()


def hurry(urgency: int) -> None:
    """Ask for a real-time priority for all threads of this process, or at least for a better one."""
    for thread in _threads():
        try:
            os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(urgency))
        except OSError:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, thread, NICE)


def calm() -> None:
    """Take the real-time priority back from all threads of this process."""
    for thread in _threads():
        with contextlib.suppress(OSError):
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _threads() -> list[int]:
    """Linux's ids of this process's threads."""
    return [int(name) for name in os.listdir("/proc/self/task")]


def light_executor() -> Executor:
    """rclpy's events executor, which takes half the time of the plain one, where this version has it."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def every(node: Node, period_s: float, callback: Callable[[], None]) -> Timer:
    """Call back on the steady clock."""
    return node.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


def tell_events(node: Node, by: str, journal: Journal) -> Callable[[], None]:
    """What publishes and logs the journal's events that nobody was told of yet."""
    publish = node.create_publisher(String, names.EVENTS, RELIABLE).publish

    def tell() -> None:
        now_s = time.monotonic()
        for event in journal.untold(now_s):
            publish(String(data=json.dumps({"by": by, **event.to_json(wall_offset_ns() * 1e-9)})))
            node.get_logger().warning(event.line)

    return tell


def listen_alive(node: Node, topic: str, take: Callable[[dict[str, Any]], None], gone: Callable[[], None]) -> None:
    """Subscribe to the JSON of a process that must stay alive; `gone` is called when it is dead or stopped."""

    def changed(status: Any) -> None:
        if status.alive_count == 0:
            gone()

    def heard(message: String) -> None:
        take(json.loads(message.data))

    events = SubscriptionEventCallbacks(liveliness=changed)
    node.create_subscription(String, topic, heard, ALIVE, event_callbacks=events)


def listened_to(node: Node, publisher: Publisher) -> bool:
    """Somebody takes what is published who is no mere witness, and everybody who is known of is connected."""
    listeners = node.get_subscriptions_info_by_topic(publisher.topic_name)
    others = [one for one in listeners if one.node_name not in names.WITNESSES]
    return bool(others) and publisher.get_subscription_count() >= len(listeners)


def stamp_ns(stamp: Time) -> int:
    """A stamp -> nanoseconds since the epoch."""
    return stamp.sec * 10**9 + stamp.nanosec


def to_time(seconds_ns: int) -> Time:
    """Nanoseconds since the epoch -> a stamp."""
    return Time(sec=seconds_ns // 10**9, nanosec=seconds_ns % 10**9)


def from_time(stamp: Time) -> float:
    """A stamp -> seconds since the epoch."""
    return stamp.sec + stamp.nanosec * 1e-9


def wall_offset_ns() -> int:
    """What to add to the monotonic clock to get the wall clock."""
    return time.time_ns() - time.monotonic_ns()


def doubles(values: np.ndarray) -> array:
    """For a float64[] field: the type that its setter takes without looking at every element."""
    return array("d", values.tolist())


def listen(node: Node, sampler: Sampler, topics: Topics, measure: Callable[[JointState], None]) -> None:
    """Let a sampler hear of the plate's pose and the wrist; `measure` takes the joint states."""

    def see(message: PoseStamped) -> None:
        pose = in_base(node, message)
        if pose is not None:
            sampler.plate = pose

    def feel(message: WrenchStamped) -> None:
        sampler.feel(wrench_of(message))

    node.create_subscription(PoseStamped, names.PLATE, see, LATCHED)
    if topics.wrench is not None:
        node.create_subscription(WrenchStamped, topics.wrench, feel, qos_profile_sensor_data)
    node.create_subscription(JointState, topics.joint_states, measure, qos_profile_sensor_data)


def wrench_of(message: WrenchStamped) -> tuple[float, ...]:
    """(6,) N and N m."""
    force, torque = message.wrench.force, message.wrench.torque
    return force.x, force.y, force.z, torque.x, torque.y, torque.z


def in_base(node: Node, message: PoseStamped) -> Pose | None:
    """A pose in the base frame, one row; None, and the node says so, if it is in another."""
    if message.header.frame_id != names.BASE_FRAME:
        node.get_logger().error(f"a pose is in '{message.header.frame_id}', not '{names.BASE_FRAME}'")
        return None
    at, turn = message.pose.position, message.pose.orientation
    R = _matrix(turn.w, turn.x, turn.y, turn.z)
    return Pose(R[None], np.array([[at.x, at.y, at.z]]))


def _matrix(w: float, x: float, y: float, z: float) -> np.ndarray:
    """A quaternion -> a rotation matrix (3, 3). It need not be normalised."""
    s = 2.0 / (w * w + x * x + y * y + z * z)
    return np.array(
        [
            [1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
            [s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)],
            [s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)],
        ]
    )
