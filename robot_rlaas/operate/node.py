"""The operator's page, as a process beside those that drive the arm.

Parameters: cell, joints, topics, gripper (of a handling cell), attempts, scored, force_N, requirements, bundle, host,
port. The token is in the environment. It has no real-time priority, looks at the arm's streams ten times per second and
lets the rest of their messages pass unread.
"""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from threading import Lock
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.hardware import Gripper, Topics
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.deploy import names
from robot_rlaas.deploy.ros.process import LATCHED, RELIABLE, every, in_base, main
from robot_rlaas.deploy.ui import token_here
from robot_rlaas.operate.drift import against
from robot_rlaas.operate.gate import Gate
from robot_rlaas.operate.situation import Now, Situation
from robot_rlaas.pages.operator import operator_page
from robot_rlaas.view.live import LiveArm
from robot_rlaas.view.scene import address, bare_page, page_server

SHOW_S = 0.1
FRESH_S = 0.5  # what was heard before that is not of now
PATIENCE_S = {"stop": 0.5, "reset": 1.0, "start": 3.0, "pause": 3.0}  # for an answer
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
TRANSITIONS = {"start": Transition.TRANSITION_ACTIVATE, "pause": Transition.TRANSITION_DEACTIVATE}
SILENT = {
    "stop": "STOP was not confirmed: use the arm's own emergency stop",
    "reset": "The supervisor does not answer: nothing was reset",
    "start": "The policy does not answer: it was not started",
    "pause": "The policy does not answer: it was not paused. STOP works all the same",
}
REFUSED = {"start": "The policy could not be started", "pause": "The policy could not be paused"}


class Stream:
    """The newest message of a topic, read only when somebody looks.

    Attributes:
        heard_s: when somebody last found a new one.
    """

    def __init__(self, node: Node, kind: Any, topic: str) -> None:
        self._subscription = node.create_subscription(kind, topic, lambda message: None, NEWEST)
        self.heard_s, self._message = -np.inf, None

    def now(self, now_s: float) -> Any:
        """It, or None if the last one is old."""
        with self._subscription.handle:
            taken = self._subscription.handle.take_message(self._subscription.msg_type, False)
        if taken is not None:
            self._message, self.heard_s = taken[0], now_s
        return self._message if now_s - self.heard_s <= FRESH_S else None


class OperatorNode(Node):
    """Hears what the others say, shows it, and asks them for what the operator wants."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__("rlaas_operator")
        topics, self._joints = Topics(**params["topics"]), tuple(params["joints"])
        self._cell, self._requirements = CellSpec.model_validate(params["cell"]), params["requirements"]
        self._situation = Situation(params["attempts"], params["scored"], self._joints)
        self._pending: dict[str, tuple[Any, float]] = {}
        self._lock, self._stack = Lock(), ExitStack()
        server = self._stack.enter_context(page_server(0, self._cell.name, bare=True))
        self._arm = LiveArm(server, self._cell)
        self._ears = Node(names.EARS_NODE)  # no executor: nothing wakes this process for a message
        self._states = Stream(self._ears, JointState, topics.joint_states)
        self._targets = Stream(self._ears, JointTrajectory, names.TARGET)
        self._setpoints = Stream(self._ears, Float64MultiArray, names.SETPOINTS)
        self._ask = {"stop": (Trigger, names.STOP), "reset": (Trigger, names.RESET)}
        self._ask |= dict.fromkeys(TRANSITIONS, (ChangeState, f"{names.POLICY_NODE}/change_state"))
        clients = {service: self.create_client(kind, service) for kind, service in set(self._ask.values())}
        self._askable = {wish: clients[service] for wish, (_, service) in self._ask.items()}
        self._hear(names.SUPERVISOR, lambda told: self._situation.supervised(told, time.monotonic()))
        self._hear(names.POLICY, lambda told: self._situation.acted(told, time.monotonic()))
        self._hear(names.SCORE, self._situation.scored)
        self._hear(names.EVENTS, self._situation.happened, RELIABLE)
        self.create_subscription(PoseStamped, names.PLATE, self._see, LATCHED)
        self._gripper = Gripper(**params["gripper"]) if params["gripper"] else None
        task = self._cell.task
        parts = [part.name for part in task.parts] if isinstance(task, HandlingTask) else []
        self._parts = {name: Stream(self._ears, PoseStamped, f"{names.PART}/{name}") for name in parts}
        self._machines = Stream(self._ears, JointState, names.MACHINES)
        page = operator_page(self._cell.name, params["bundle"], params["force_N"])
        scene = bare_page(server), address(server).removeprefix("http://")
        gate = Gate(params["host"], params["port"], token_here(), page, scene, self._do)
        self._gate = self._stack.enter_context(gate)
        every(self, SHOW_S, self._show)
        self.create_publisher(String, names.PAGE, LATCHED).publish(String(data=json.dumps({"up": True})))

    def close(self) -> None:
        """Say the last word."""
        self._situation.end()
        self._gate.tell(self._told(time.monotonic()))
        self._stack.close()
        self._ears.destroy_node()

    def _hear(self, topic: str, take: Callable[[dict[str, Any]], None], qos: QoSProfile = LATCHED) -> None:
        self.create_subscription(String, topic, lambda message: take(json.loads(message.data)), qos)

    def _see(self, message: PoseStamped) -> None:
        pose = in_base(self, message)
        if pose is not None:
            self._arm.frame = pose

    def _do(self, wish: str) -> None:
        """Ask for it at once, in the page's own thread: nothing that this node is at comes before a stop."""
        request = Trigger.Request()
        if wish in TRANSITIONS:
            request = ChangeState.Request(transition=Transition(id=TRANSITIONS[wish]))
        future = self._askable[wish].call_async(request)
        with self._lock:
            self._pending[wish] = future, time.monotonic()

    def _show(self) -> None:
        now_s = time.monotonic()
        self._listen(now_s)
        self._answers(now_s)
        self._arm.show(self._situation.now.at_rad, self._situation.now.wanted_rad)
        self._gate.tell(self._told(now_s))

    def _listen(self, now_s: float) -> None:
        state, target, setpoint = (s.now(now_s) for s in (self._states, self._targets, self._setpoints))
        self._look_around(now_s, state)
        self._situation.wanted(self._targets.heard_s)
        self._situation.now = Now(
            self._ordered(state.name, state.position) if state else None,
            self._ordered(target.joint_names, target.points[0].positions) if target and target.points else None,
            np.array(setpoint.data[: len(self._joints)]) if setpoint else None,
        )

    def _look_around(self, now_s: float, state: JointState | None) -> None:
        """Show parts, vises, doors and gripper of a handling cell."""
        shown = self._arm.backend
        for name, stream in self._parts.items():
            message = stream.now(now_s)
            pose = in_base(self, message) if message else None
            if pose is not None:
                shown.see(name, pose)
        machines = self._machines.now(now_s) if self._parts else None
        if machines:
            shown.open(dict(zip(machines.name, machines.position)))
        if self._gripper and state and self._gripper.joint in state.name:
            shown.grip(self._gripper.share(state.position[list(state.name).index(self._gripper.joint)]))

    def _ordered(self, joints: list[str], position_rad: Any) -> np.ndarray | None:
        """The angles of our joints; None if they are not all there."""
        at = dict(zip(joints, position_rad))
        return np.array([at[name] for name in self._joints]) if set(self._joints) <= at.keys() else None

    def _answers(self, now_s: float) -> None:
        """What became of the wishes: silence and refusals get a word."""
        with self._lock:
            pending = list(self._pending.items())
        for wish, (future, since_s) in pending:
            if future.done():
                answer = future.result()
                self._situation.notice = "" if answer is not None and answer.success else REFUSED.get(wish, "")
                self._forget(wish, future)
            elif now_s - since_s > PATIENCE_S[wish]:
                self._situation.notice = SILENT[wish]

    def _forget(self, wish: str, future: Any) -> None:
        with self._lock:
            if self._pending.get(wish, (None,))[0] is future:
                del self._pending[wish]

    def _told(self, now_s: float) -> dict[str, Any]:
        figures = against(self._cell, self._requirements, self._situation.attempts)
        return self._situation.told(now_s) | {"figures": [figure._asdict() for figure in figures]}


if __name__ == "__main__":
    main(OperatorNode, urgency=0)
