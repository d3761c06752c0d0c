"""The watchdog's node. Parameters: joints, controller_joints, command_type, envelope, command_rate_hz, topics.

The arm's controller listens to this process alone. It runs beside the controller and needs nothing of the supervisor's.
"""

import json
import time
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from robot_rlaas.cell.hardware import Topics
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy import names
from robot_rlaas.deploy.chunk import Chunks
from robot_rlaas.deploy.ros.commands import message_of
from robot_rlaas.deploy.ros.definitions import message_class
from robot_rlaas.deploy.ros.process import ALIVE, MOST_URGENT, RELIABLE, doubles, every, listened_to, main, tell_events
from robot_rlaas.deploy.watchdog import SILENT_TICKS, Watchdog

TELL_S = 0.5


class WatchdogNode(Node):
    """Setpoints in, commands out."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__("rlaas_watchdog")
        envelope, topics = Envelope.from_json(params["envelope"]), Topics(**params["topics"])
        tick_s = 1.0 / params["command_rate_hz"]
        limits = (envelope.speed_rad_s, envelope.acceleration_rad_s2)
        self._watchdog = Watchdog(params["joints"], params["controller_joints"], *limits, tick_s)
        self._joints = params["controller_joints"]
        acceleration = envelope.acceleration_rad_s2[[params["joints"].index(name) for name in self._joints]]
        kind = message_class(params["command_type"])
        self._chunks = Chunks(acceleration, tick_s) if kind is JointTrajectory else None
        self._command, self._state = Float64MultiArray(), b""
        self._commands = self.create_publisher(kind, topics.command, RELIABLE)
        self._send_command = self._commands.publish
        self._send_state = self.create_publisher(String, names.WATCHDOG, ALIVE).publish
        self._tell_events = tell_events(self, "watchdog", self._watchdog.journal)
        self.create_subscription(Float64MultiArray, names.SETPOINTS, self._receive, RELIABLE)
        self.create_subscription(JointState, topics.joint_states, self._measure, qos_profile_sensor_data, raw=True)
        self.create_service(Trigger, names.WATCHDOG_RESET, self._reset)
        self._told_s = 0.0
        self._silence = every(self, SILENT_TICKS * tick_s, self._tick)
        self._tell()

    def close(self) -> None:
        """Bring the arm to rest."""
        while self._watchdog.moving:
            self._send(self._watchdog.tick(time.monotonic()))
            time.sleep(self._watchdog.tick_s)

    def _receive(self, message: Float64MultiArray) -> None:
        self._silence.reset()
        if self._state and self._watchdog.starts(time.monotonic()):
            state = deserialize_message(self._state, JointState)
            self._watchdog.measure(list(state.name), list(state.position))
            if self._chunks is not None:
                self._chunks.begin()
        free = self._watchdog.latched is None
        self._send(self._watchdog.receive(message.data, time.monotonic()))
        self._tell_in_time(free)

    def _measure(self, message: Any) -> None:
        """Only the first setpoint of a motion is compared with where the arm is: until then, it is not unpacked."""
        self._state = message
        self._watchdog.wake(time.monotonic())

    def _tick(self) -> None:
        free = self._watchdog.latched is None
        self._send(self._watchdog.tick(time.monotonic()))
        self._tell_in_time(free)

    def _tell_in_time(self, was_free: bool) -> None:
        """After a setpoint, or while there are none: then there is the longest time until the next one."""
        if (was_free and self._watchdog.latched) or time.monotonic() - self._told_s >= TELL_S:
            self._tell()

    def _send(self, command: np.ndarray | None) -> None:
        if command is None:
            return
        if self._chunks is not None:
            chunk = self._chunks.of(command, self._watchdog.velocity_rad_s, time.monotonic())
            self._send_command(message_of(chunk, self._joints))
            return
        self._command.data = doubles(command)
        self._send_command(self._command)

    def _tell(self) -> None:
        self._told_s = time.monotonic()
        state = {"latched": self._watchdog.latched, "failed": self._watchdog.why}
        state["heard"] = listened_to(self, self._commands)
        self._send_state(String(data=json.dumps(state)))
        self._tell_events()

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, f"was latched: {self._watchdog.reset(time.monotonic())}"
        self._tell()
        return response


if __name__ == "__main__":
    main(WatchdogNode, urgency=MOST_URGENT)
