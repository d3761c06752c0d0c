"""A ROS 2 topic of velocities as wishes: what a SpaceMouse's or a joystick's node publishes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import Control
from robot_rlaas.teleop.recorder import Poll, Wish

FRESH_S = 0.25  # a velocity that is older has ended


@contextmanager
def twists(topic: str, control: Control, domain_id: int | None) -> Iterator[Poll]:
    """The newest velocity on a topic of geometry_msgs/Twist or TwistStamped, base frame, m/s and rad/s.

    It is a share of the cell's fastest, by which the operator's speed still scales it; beyond that it is cut.

    Args:
        topic: its name; it may appear later.
        control: for the steps and the rate.
        domain_id: of ROS; None for ROS_DOMAIN_ID.

    Raises:
        InputError: if ROS 2 is not installed; when asked, if the topic carries something else.
    """
    try:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions
    except ImportError as error:
        raise InputError(f"topics need ROS 2 ({error})", fix="pip install 'robot_rlaas[ros]'") from error
    context = rclpy.Context()
    rclpy.init(args=[], context=context, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("rlaas_teleoperation", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    ear = _Ear(node, topic, control)

    def poll() -> list[Wish]:
        executor.spin_once(timeout_sec=0.0)
        return ear.wishes()

    try:
        yield poll
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)


class _Ear:
    """Listens as soon as somebody says what the topic carries: one process cannot ask for both kinds."""

    def __init__(self, node: Any, topic: str, control: Control) -> None:
        from geometry_msgs.msg import Twist, TwistStamped

        self._kinds = {"geometry_msgs/msg/Twist": Twist, "geometry_msgs/msg/TwistStamped": TwistStamped}
        self._node, self._topic, self._subscription = node, node.resolve_topic_name(topic), None
        step = np.array([control.step_mm / 1000] * 3 + [np.deg2rad(control.step_deg)])
        self._fastest, self._share, self._when = step * control.rate_hz, np.zeros(4), -np.inf

    def wishes(self) -> list[Wish]:
        """Of the newest velocity."""
        if self._subscription is None:
            self._subscribe()
        fresh = time.monotonic() - self._when < FRESH_S
        return [Wish("nudge", tuple(self._share.tolist()))] if fresh and self._share.any() else []

    def _subscribe(self) -> None:
        from rclpy.qos import QoSProfile, ReliabilityPolicy

        kind = dict(self._node.get_topic_names_and_types()).get(self._topic, [None])[0]
        if kind is None:
            return
        if kind not in self._kinds:
            raise InputError(f"{self._topic} carries {kind}; allowed is {' or '.join(self._kinds)}")
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscription = self._node.create_subscription(self._kinds[kind], self._topic, self._hear, newest)

    def _hear(self, message: Any) -> None:
        twist = getattr(message, "twist", message)
        velocity = np.array([twist.linear.x, twist.linear.y, twist.linear.z, twist.angular.z])
        self._share, self._when = np.clip(np.nan_to_num(velocity) / self._fastest, -1, 1), time.monotonic()
