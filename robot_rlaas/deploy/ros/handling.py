"""A handling cell's topics, as a policy's node has them: what is seen and sensed there, and what it is told."""

from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robot_rlaas.cell.fixtures import Vise
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.hardware import Gripper
from robot_rlaas.deploy import names
from robot_rlaas.deploy.around import Surroundings
from robot_rlaas.deploy.ros.process import RELIABLE, in_base


class CellTalk:
    """Listens for a node, and tells gripper and vises where to go.

    Args:
        node: whose topics these are.
        task, gripper: plain content of a HandlingTask and of a Gripper.

    Attributes:
        around: what was heard.
    """

    def __init__(self, node: Node, task: dict[str, Any], gripper: dict[str, Any]) -> None:
        known, self._gripper = HandlingTask.model_validate(task), Gripper(**gripper)
        self.around, self._open_share = Surroundings(known, self._gripper), known.grip.open_share
        self._vises = [i for i, fixture in enumerate(known.moving) if isinstance(fixture, Vise)]
        for part in self.around.parts:
            self._listen(node, part)
        node.create_subscription(JointState, names.MACHINES, self._hear, qos_profile_sensor_data)
        self._point = JointTrajectoryPoint()
        self._grip = JointTrajectory(joint_names=[self._gripper.joint], points=[self._point])
        self._told = JointState(name=[self.around.machines[i] for i in self._vises])
        self._send_grip = node.create_publisher(JointTrajectory, names.GRIP, RELIABLE).publish
        self._send_told = node.create_publisher(JointState, names.MACHINES_TOLD, RELIABLE).publish

    def tell(self, stamp: Time, grip: float | None, machines: np.ndarray | None) -> None:
        """Send where the gripper and the vises are to go. See `Cycle.grip` and `Cycle.machines`."""
        if grip is not None:
            self._grip.header.stamp = stamp
            self._point.positions = [self._gripper.position(grip * self._open_share)]
            self._send_grip(self._grip)
        if machines is not None and self._vises:
            self._told.header.stamp = stamp
            self._told.position = machines[self._vises].tolist()
            self._send_told(self._told)

    def _listen(self, node: Node, part: str) -> None:
        def see(message: PoseStamped) -> None:
            pose = in_base(node, message)
            if pose is not None:
                self.around.see(part, pose)

        node.create_subscription(PoseStamped, f"{names.PART}/{part}", see, qos_profile_sensor_data)

    def _hear(self, message: JointState) -> None:
        self.around.hear(dict(zip(message.name, message.position)))
