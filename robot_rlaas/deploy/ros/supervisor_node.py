"""The supervisor's node.

Parameters: chain, envelope, arm, limits, period_s, command_rate_hz, topics, gripper (of a handling cell), hardware,
domain, counts_file.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import WrenchStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from robot_rlaas.bundle.domain import Domain
from robot_rlaas.cell.hardware import Gripper, Topics
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy import names
from robot_rlaas.deploy.counts import OPERATOR
from robot_rlaas.deploy.grip import GripGuard
from robot_rlaas.deploy.pace import LATE_TICKS, Pace
from robot_rlaas.deploy.ros.process import (
    LATCHED,
    MORE_URGENT,
    RELIABLE,
    doubles,
    every,
    listen_alive,
    listened_to,
    main,
    stamp_ns,
    tell_events,
    to_time,
    wall_offset_ns,
    wrench_of,
)
from robot_rlaas.deploy.supervisor import Arm, Supervisor
from robot_rlaas.files import write_json

REPORT_S = 1.0


class SupervisorNode(Node):
    """Targets in, checked setpoints out, at the command rate."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__("rlaas_supervisor")
        chain, envelope = SerialChain.from_json(params["chain"]), Envelope.from_json(params["envelope"])
        tick_s, topics = 1.0 / params["command_rate_hz"], Topics(**params["topics"])
        domain = Domain.from_json(params["domain"]) if params["domain"] else None
        arm = Arm.from_json(params["arm"])
        self._supervisor = Supervisor(chain, envelope, params["period_s"], tick_s, arm, domain)
        self._hardware, self._counts_file, self._limits = (
            params["hardware"],
            Path(params["counts_file"]),
            params["limits"],
        )
        self._setpoints, self._shown = Float64MultiArray(), ("", "", False)
        self._out = self.create_publisher(Float64MultiArray, names.SETPOINTS, RELIABLE)
        self._send_setpoints = self._out.publish
        self._send_counts = self.create_publisher(String, names.SUPERVISOR, LATCHED).publish
        self._send_diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE).publish
        self._tell_events = tell_events(self, "supervisor", self._supervisor.journal)
        if topics.wrench is not None:
            self.create_subscription(WrenchStamped, topics.wrench, self._feel, qos_profile_sensor_data)
        self.create_subscription(JointState, topics.joint_states, self._measure, qos_profile_sensor_data)
        self.create_subscription(JointTrajectory, names.TARGET, self._receive, RELIABLE)
        if params["gripper"]:
            self._guard(Gripper(**params["gripper"]), params["period_s"])
        if domain is not None:
            self.create_subscription(String, names.OBSERVATION, self._see, RELIABLE)
        self._supervisor.connected, self._recorded = False, False
        self._others("watchdog", names.WATCHDOG, self._connect)
        self._others("recorder", names.RECORDER, self._heed_recorder)
        self.create_service(Trigger, names.STOP, self._stop)
        self.create_service(Trigger, names.RESET, self._reset)
        self._watchdog = self.create_client(Trigger, names.WATCHDOG_RESET)
        self._pace, self._led_s, self._told_s = Pace(tick_s, time.monotonic()), 0.0, 0.0
        every(self, tick_s, self._tick)

    def close(self) -> None:
        """Bring the arm to rest, and write what there was."""
        self._supervisor.halt()
        while not self._supervisor.at_rest:
            self._send(self._supervisor.tick(time.monotonic()))
            time.sleep(self._supervisor.tick_s)
        write_json(self._counts_file, self._content())

    def _measure(self, message: JointState) -> None:
        sent_ns = stamp_ns(message.header.stamp)
        names_, position, effort = list(message.name), list(message.position), list(message.effort)
        age_s = (time.time_ns() - sent_ns) * 1e-9
        self._supervisor.measure(names_, position, time.monotonic(), effort, age_s, sent_ns)

    def _feel(self, message: WrenchStamped) -> None:
        sent_ns = stamp_ns(message.header.stamp)
        self._supervisor.feel(wrench_of(message), time.monotonic(), (time.time_ns() - sent_ns) * 1e-9, sent_ns)

    def _receive(self, message: JointTrajectory) -> None:
        points = list(message.points)
        positions = list(points[0].positions) if len(points) == 1 else []
        sent_ns, now_s = stamp_ns(message.header.stamp), time.monotonic()
        age_s = (time.time_ns() - sent_ns) * 1e-9
        refused = self._supervisor.receive(list(message.joint_names), positions, age_s, now_s, sent_ns)
        if refused is None and self._supervisor.leads:
            self._led_s = now_s
            self._send(self._supervisor.tick(now_s))
            self._tell()

    def _guard(self, gripper: Gripper, period_s: float) -> None:
        """Hand on what passes of the gripper's positions."""
        supervisor = self._supervisor
        guard = GripGuard(gripper, period_s, supervisor.counts, supervisor.journal)
        send = self.create_publisher(Float64MultiArray, gripper.command, RELIABLE).publish

        def take(message: JointTrajectory) -> None:
            points = list(message.points)
            position = list(points[0].positions) if len(points) == 1 else []
            age_s = (time.time_ns() - stamp_ns(message.header.stamp)) * 1e-9
            stands = bool(supervisor.latched or supervisor.held)
            passes = guard.receive(list(message.joint_names), position, age_s, time.monotonic(), stands)
            if passes is not None:
                send(Float64MultiArray(data=[passes]))

        self.create_subscription(JointTrajectory, names.GRIP, take, RELIABLE)

    def _see(self, message: String) -> None:
        try:
            said = json.loads(message.data)
            seen = None if said["seen"] is None else np.array(said["seen"], dtype=np.float32)
            age_s = (time.time_ns() - said["stamp_ns"]) * 1e-9
        except (ValueError, KeyError, TypeError):
            return  # as if nothing had been said
        self._supervisor.see(seen, age_s, time.monotonic())

    def _tick(self) -> None:
        due = self._pace.due(time.monotonic())
        if not due or due[-1] - self._led_s < 1.5 * self._supervisor.tick_s:
            return
        setpoint = None
        for due_s in due if len(due) <= LATE_TICKS else due[-1:]:
            setpoint = self._supervisor.tick(due_s)
        if setpoint is not None:
            self._supervisor.counts.late_ticks += len(due) - 1
        self._send(setpoint)
        self._tell()

    def _tell(self) -> None:
        """What is not urgent, right after a setpoint: then there is the longest time until the next one."""
        self._tell_events()
        if self._state != self._shown or time.monotonic() - self._told_s >= REPORT_S:
            self._report()

    def _send(self, setpoint: np.ndarray | None) -> None:
        if setpoint is not None:
            self._setpoints.data = doubles(np.concatenate([setpoint, self._supervisor.velocity_rad_s]))
            self._send_setpoints(self._setpoints)

    def _connect(self, watchdog: dict[str, Any]) -> None:
        self._supervisor.connected = self._recorded and watchdog["heard"] and listened_to(self, self._out)

    def _heed_recorder(self, recorder: dict[str, Any]) -> None:
        self._recorded = recorder["hears"]

    def _others(self, who: str, topic: str, hear: Callable[[dict[str, Any]], None]) -> None:
        """Hear what that process says; stop the arm if it says that it fails, or says nothing any more."""

        def take(content: dict[str, Any]) -> None:
            hear(content)
            if content["failed"]:
                self._supervisor.fault(who, f"{who}: {content['failed']}", time.monotonic())

        def gone() -> None:
            self._supervisor.fault(who, f"the {who} is gone", time.monotonic())

        listen_alive(self, topic, take, gone)

    def _stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._supervisor.fault(OPERATOR, "the operator pressed STOP", time.monotonic())
        self._tell_events()
        self._report()
        response.success, response.message = True, self._supervisor.why
        return response

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._watchdog.service_is_ready():
            self._watchdog.call_async(Trigger.Request())
        response.success, response.message = True, f"was latched: {self._supervisor.reset(time.monotonic())}"
        return response

    def _content(self) -> dict[str, Any]:
        journal, offset_s = self._supervisor.journal, wall_offset_ns() * 1e-9
        told = {"events": journal.to_json(offset_s), "events_dropped": journal.dropped, "limits": self._limits}
        return self._supervisor.counts.to_json() | told

    @property
    def _state(self) -> tuple[str, str | None, bool]:
        return self._supervisor.why, self._supervisor.latched, self._supervisor.ready(time.monotonic())

    def _report(self) -> None:
        supervisor, counts = self._supervisor, self._supervisor.counts.to_json()
        self._told_s = time.monotonic()
        why, latched, ready = self._shown = self._state
        state = {"latched": latched, "held": supervisor.held, "why": why, "ready": ready}
        self._send_counts(String(data=json.dumps(state | counts)))
        status = DiagnosticStatus(name="rlaas: supervisor", hardware_id=self._hardware)
        status.level = DiagnosticStatus.ERROR if supervisor.latched else DiagnosticStatus.OK
        if not supervisor.latched and (supervisor.held or counts["violations"]):
            status.level = DiagnosticStatus.WARN
        status.message = supervisor.why or f"{counts['violations']} violations"
        last = [event.line for event in supervisor.journal][-3:]
        status.values = [KeyValue(key=key, value=json.dumps(value)) for key, value in (counts | {"last": last}).items()]
        diagnostics = DiagnosticArray(status=[status])
        diagnostics.header.stamp = to_time(time.time_ns())
        self._send_diagnostics(diagnostics)


if __name__ == "__main__":
    main(SupervisorNode, urgency=MORE_URGENT)
