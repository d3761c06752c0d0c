"""The supervisor's node. Parameters: chain, envelope, period_s, command_rate_hz, topics, hardware, counts_file."""

import json
import time
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import WrenchStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from robot_rlaas.cell.hardware import Topics
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy import names
from robot_rlaas.deploy.pace import Pace
from robot_rlaas.deploy.ros.process import LATCHED, RELIABLE, doubles, every, from_time, main, to_time
from robot_rlaas.deploy.supervisor import Supervisor
from robot_rlaas.files import write_json


class SupervisorNode(Node):
    """Targets in, checked setpoints out, at the command rate."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__("rlaas_supervisor")
        chain, envelope = SerialChain.from_json(params["chain"]), Envelope.from_json(params["envelope"])
        tick_s, topics = 1.0 / params["command_rate_hz"], Topics(**params["topics"])
        self._supervisor = Supervisor(chain, envelope, params["period_s"], tick_s)
        self._hardware, self._counts_file = params["hardware"], Path(params["counts_file"])
        self._setpoints = Float64MultiArray()
        self._send_setpoints = self.create_publisher(Float64MultiArray, topics.command, RELIABLE).publish
        self._send_counts = self.create_publisher(String, names.SUPERVISOR, LATCHED).publish
        self._send_diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE).publish
        self.create_subscription(WrenchStamped, topics.felt, self._feel, qos_profile_sensor_data)
        self.create_subscription(JointState, topics.joint_states, self._measure, qos_profile_sensor_data)
        self.create_subscription(JointTrajectory, names.TARGET, self._receive, RELIABLE)
        self.create_service(Trigger, names.RESET, self._reset)
        self._pace = Pace(tick_s, time.monotonic())
        every(self, tick_s, self._tick)
        every(self, 1.0, self._report)

    def close(self) -> None:
        """Write the final counts."""
        write_json(self._counts_file, self._supervisor.counts.to_json())

    def _measure(self, message: JointState) -> None:
        self._supervisor.measure(list(message.name), list(message.position), time.monotonic())

    def _feel(self, message: WrenchStamped) -> None:
        force = message.wrench.force
        self._supervisor.feel((force.x, force.y, force.z), time.monotonic())
        if self._supervisor.latched:
            self._warn_once(f"stopped: {self._supervisor.latched}; call {names.RESET} to go on")

    def _receive(self, message: JointTrajectory) -> None:
        points = list(message.points)
        positions = list(points[0].positions) if len(points) == 1 else []
        age_s = time.time() - from_time(message.header.stamp)
        reason = self._supervisor.receive(list(message.joint_names), positions, age_s, time.monotonic())
        if reason:
            self._warn_once(f"a target was not taken: {reason}")

    def _tick(self) -> None:
        due = self._pace.due(time.monotonic())
        setpoint = None
        for due_s in due:
            setpoint = self._supervisor.tick(due_s)
        if setpoint is not None:
            self._supervisor.counts.late_ticks += len(due) - 1
            self._setpoints.data = doubles(setpoint)
            self._send_setpoints(self._setpoints)

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, f"was latched: {self._supervisor.reset()}"
        return response

    def _report(self) -> None:
        counts, latched = self._supervisor.counts.to_json(), self._supervisor.latched
        self._send_counts(String(data=json.dumps({"latched": latched, **counts})))
        status = DiagnosticStatus(name="rlaas: supervisor", hardware_id=self._hardware)
        status.level = DiagnosticStatus.ERROR if latched else DiagnosticStatus.OK
        if not latched and counts["violations"]:
            status.level = DiagnosticStatus.WARN
        status.message = f"stopped: {latched}" if latched else f"{counts['violations']} violations"
        status.values = [KeyValue(key=key, value=json.dumps(value)) for key, value in counts.items()]
        diagnostics = DiagnosticArray(status=[status])
        diagnostics.header.stamp = to_time(time.time_ns())
        self._send_diagnostics(diagnostics)

    def _warn_once(self, text: str) -> None:
        self.get_logger().warning(text, throttle_duration_sec=1.0)


if __name__ == "__main__":
    main(SupervisorNode)
