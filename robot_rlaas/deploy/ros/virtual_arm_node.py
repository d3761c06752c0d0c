"""The virtual arm's node: a real arm's topics, a feeder, a camera.

Parameters: cell, plant, seed, topics, command_type, score_file.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.hardware import Topics, load_plant
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.deploy import names
from robot_rlaas.deploy.pace import Pace
from robot_rlaas.deploy.ros.commands import chunk_of
from robot_rlaas.deploy.ros.definitions import message_class
from robot_rlaas.deploy.ros.handling_arm import VirtualCell
from robot_rlaas.deploy.ros.process import LATCHED, MORE_URGENT, RELIABLE, doubles, every, main, to_time, wall_offset_ns
from robot_rlaas.deploy.virtual_arm.arm import Reading, VirtualArm
from robot_rlaas.deploy.virtual_arm.controllers import Controller, ForwardCommandController, JointTrajectoryController
from robot_rlaas.deploy.virtual_arm.handling import VirtualHandlingArm
from robot_rlaas.files import write_json


class VirtualArmNode(Node):
    """Steps the arm in real time at its state rate.

    A command that has come by one tick holds from that tick to the next, as with a real controller; joint states are
    stamped with the time they are true at.
    """

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__("virtual_arm")
        cell = CellSpec.model_validate(params["cell"])
        kind = VirtualHandlingArm if isinstance(cell.task, HandlingTask) else VirtualArm
        self._arm = arm = kind(cell, load_plant(params["plant"], len(cell.robot.home_deg)), params["seed"])
        self._cell = VirtualCell(self, arm) if isinstance(arm, VirtualHandlingArm) else None
        self._score_file, topics = Path(params["score_file"]), Topics(**params["topics"])
        self._controller = self._obey(message_class(params["command_type"]), topics.command)
        self._held: np.ndarray | None = None
        self._shown: tuple[Any, ...] = ()
        more = [self._cell.joint] if self._cell else []
        self._wrench, self._state = WrenchStamped(), JointState(name=[*arm.profile.joints, *more])
        self._wrench.header.frame_id, self._state.header.frame_id = names.WRIST_FRAME, names.BASE_FRAME
        self._send_wrench = self._wrench_publisher(topics.wrench)
        self._send_state = self.create_publisher(JointState, topics.joint_states, qos_profile_sensor_data).publish
        self._send_plate = self.create_publisher(PoseStamped, names.PLATE, LATCHED).publish
        self._send_score = self.create_publisher(String, names.SCORE, LATCHED).publish
        self.create_service(Trigger, names.NEXT_PART, self._next_part)
        self._show_plate()
        self._pace = Pace(arm.tick_s, time.monotonic())
        every(self, arm.tick_s, self._tick)

    def close(self) -> None:
        """Write the score."""
        self._write_score()

    def _wrench_publisher(self, topic: str | None) -> Callable[[WrenchStamped], None]:
        """Of an arm that feels something."""
        if topic is None:
            return lambda message: None
        return self.create_publisher(WrenchStamped, topic, qos_profile_sensor_data).publish

    def _obey(self, kind: Any, topic: str) -> Controller:
        """Listen to commands of a message type -> the controller that gets them."""
        joints = self._arm.profile.joints
        forward, player = ForwardCommandController(), JointTrajectoryController(self._arm.tick_s)

        def hold(message: Float64MultiArray) -> None:
            command = np.array(message.data)
            if command.shape == (len(joints),) and np.isfinite(command).all():
                forward.take(command)

        def follow(message: JointTrajectory) -> None:
            chunk = chunk_of(message, joints)
            if isinstance(chunk, str):
                self.get_logger().error(f"a trajectory is refused: {chunk}")
            else:
                player.take(chunk)

        self.create_subscription(kind, topic, follow if kind is JointTrajectory else hold, RELIABLE)
        return player if kind is JointTrajectory else forward

    def _tick(self) -> None:
        for due_s in self._pace.due(time.monotonic()):
            reading = self._arm.tick(self._held)
            self._held = self._controller.command(reading)
            self._show(reading, round(due_s * 1e9) + wall_offset_ns())
        state = self._arm.score
        shown = (len(state.closed), state.current.started, state.ended)
        if shown != self._shown:
            self._shown = shown
            self._send_score(String(data=json.dumps(state.to_json())))

    def _show(self, reading: Reading, stamp_ns: int) -> None:
        wrench, state = self._wrench, self._state
        wrench.header.stamp = state.header.stamp = to_time(stamp_ns)
        force, torque = wrench.wrench.force, wrench.wrench.torque
        force.x, force.y, force.z, torque.x, torque.y, torque.z = reading.wrench.tolist()
        state.position, state.velocity = doubles(reading.q_rad), doubles(reading.velocity_rad_s)
        state.effort = doubles(reading.effort_Nm)
        if self._cell is not None:
            self._cell.show(state)
        self._send_wrench(wrench)
        self._send_state(state)

    def _next_part(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        closed = self._arm.next_part()
        response.success = closed is not None
        response.message = json.dumps(closed._asdict()) if closed else "the tool is in the way of the next part"
        if closed:
            self._show_plate()
            self._write_score()
        return response

    def _show_plate(self) -> None:
        if isinstance(self._arm, VirtualHandlingArm):
            return
        pose, seen = PoseStamped(), self._arm.observed_plate
        pose.header.frame_id, pose.header.stamp = names.BASE_FRAME, to_time(time.time_ns())
        at, turn, quaternion = pose.pose.position, pose.pose.orientation, np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, seen.R[0].flatten())
        at.x, at.y, at.z = seen.p[0].tolist()
        turn.w, turn.x, turn.y, turn.z = quaternion.tolist()
        self._send_plate(pose)

    def _write_score(self) -> None:
        write_json(self._score_file, self._arm.score.to_json())


if __name__ == "__main__":
    main(VirtualArmNode, urgency=MORE_URGENT)
