"""A panel of this process beside a deployment's processes: it configures, watches, resets, and waits."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from robot_rlaas.deploy import names
from robot_rlaas.deploy.plan import environment
from robot_rlaas.deploy.ros.process import LATCHED, MOST_URGENT, calm, hurry, light_executor

START_S = 40.0


class Panel:
    """A node that hears what the others say of themselves.

    Attributes:
        node: of ROS.
        heard: the last JSON of each topic.
    """

    def __init__(self, name: str, topics: Sequence[str] = (names.SUPERVISOR, names.POLICY)) -> None:
        self.node, self._executor = Node(name), light_executor()
        self._executor.add_node(self.node)
        self.heard: dict[str, dict[str, Any]] = {}
        for topic in topics:
            self.node.create_subscription(String, topic, self._keep(topic), LATCHED)

    def close(self) -> None:
        """Leave ROS."""
        self._executor.remove_node(self.node)
        self.node.destroy_node()

    def spin(self, seconds: float) -> None:
        """Let callbacks run for so long."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left_s, 0.05))

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
        """Let callbacks run until something is the case.

        Raises:
            TimeoutError: with `what`, if it is not in time.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}; supervisor and policy say {self.heard}")
            self.spin(0.02)

    def call(self, kind: Any, service: str, request: Any) -> Any:
        """The answer of a service."""
        client = self.node.create_client(kind, service)
        self.until(client.service_is_ready, f"nobody offers {service}")
        future = client.call_async(request)
        self.until(future.done, f"no answer from {service}")
        self.node.destroy_client(client)
        return future.result()

    def transition(self, number: int) -> bool:
        """One step of the policy's lifecycle -> whether it was made."""
        request = ChangeState.Request(transition=Transition(id=number))
        return self.call(ChangeState, f"{names.POLICY_NODE}/change_state", request).success

    def start(self) -> None:
        """Configure and activate the policy, as the conductor does; sensors may take a moment."""
        deadline = time.monotonic() + START_S
        while not self.transition(Transition.TRANSITION_CONFIGURE):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the policy is not configured: {self.heard.get(names.POLICY)}")
            self.spin(0.5)
        self.transition(Transition.TRANSITION_ACTIVATE)

    def _keep(self, topic: str) -> Callable[[String], None]:
        return lambda message: self.heard.update({topic: json.loads(message.data)})


@contextmanager
def on_domain(domain_id: int | None, urgency: int = MOST_URGENT) -> Iterator[None]:
    """ROS in this process, on a domain that stays on this machine; by default as urgent as what drives the arm.

    Without a domain it is the environment's.
    """
    own = {name: value for name, value in environment(domain_id).items() if name.startswith("ROS")}
    before = {name: os.environ.get(name) for name in own}
    with ExitStack() as stack:
        stack.callback(_environ, before)
        _environ(own)
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            stack.callback(calm)
            hurry(urgency)
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        yield


def _environ(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
