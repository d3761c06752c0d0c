"""A handling cell's topics, as a virtual arm's node has them: what a real gripper, vises, doors and a camera tell."""

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from robot_rlaas.deploy import names
from robot_rlaas.deploy.ros.process import RELIABLE
from robot_rlaas.deploy.virtual_arm.handling import VirtualHandlingArm


class VirtualCell:
    """Speaks and listens for what moves and stands round an arm.

    Attributes:
        joint: the gripper's, which the arm's joint states have besides the arm's own.
    """

    def __init__(self, node: Node, arm: VirtualHandlingArm) -> None:
        self._arm, self.joint, seen = arm, arm.gripper.joint, qos_profile_sensor_data
        self._parts = {
            part.name: node.create_publisher(PoseStamped, f"{names.PART}/{part.name}", seen).publish
            for part in arm.cell.task.parts
        }
        self._openings = JointState()
        self._send_openings = node.create_publisher(JointState, names.MACHINES, seen).publish
        node.create_subscription(Float64MultiArray, arm.gripper.command, self._grip, RELIABLE)
        node.create_subscription(JointState, names.MACHINES_TOLD, self._drive, RELIABLE)

    def show(self, state: JointState) -> None:
        """Add the gripper's joint to the joint states of a tick, and tell the rest with the same stamp."""
        state.position.append(self._arm.gripper_position)
        state.velocity.append(0.0)
        state.effort.append(0.0)
        openings = self._arm.openings
        self._openings.header.stamp = state.header.stamp
        self._openings.name, self._openings.position = list(openings), list(openings.values())
        self._send_openings(self._openings)
        for name, (p, yaw) in (self._arm.seen or {}).items():
            pose = PoseStamped()
            pose.header.frame_id, pose.header.stamp = names.BASE_FRAME, state.header.stamp
            at, turn = pose.pose.position, pose.pose.orientation
            at.x, at.y, at.z = p.tolist()
            turn.w, turn.z = float(np.cos(yaw / 2)), float(np.sin(yaw / 2))
            self._parts[name](pose)

    def _grip(self, message: Float64MultiArray) -> None:
        if len(message.data) == 1 and np.isfinite(message.data[0]):
            self._arm.grip(message.data[0])

    def _drive(self, message: JointState) -> None:
        self._arm.drive(dict(zip(message.name, message.position)))
