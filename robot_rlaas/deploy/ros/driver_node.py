"""The node of an arm that has no ROS driver: LeRobot's driver of it behind a real arm's topics. Parameters: profile.

Exit code 2: the arm cannot be used as the profile says; 1: it was lost.
"""

import contextlib
import sys
import time
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import HardwareProfile
from robot_rlaas.deploy import names
from robot_rlaas.deploy.driver import ArmLost, Reading, driven
from robot_rlaas.deploy.pace import Pace
from robot_rlaas.deploy.ros.process import MORE_URGENT, RELIABLE, doubles, every, main, to_time


class DriverNode(Node):
    """Reads the arm at its state rate, and hands on each command as it comes.

    A reading that failed is told and not published: whoever needs it notices the silence.
    """

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__("rlaas_driver")
        profile = HardwareProfile.model_validate(params["profile"])
        self._opened = contextlib.ExitStack()
        self._arm = self._opened.enter_context(driven(profile))
        gripper = profile.gripper
        self._state = JointState(name=[*profile.joints, *([gripper.joint] if gripper else [])])
        self._state.header.frame_id = names.BASE_FRAME
        self._send = self.create_publisher(JointState, profile.topics.joint_states, qos_profile_sensor_data).publish
        self.create_subscription(Float64MultiArray, profile.topics.command, self._command, RELIABLE)
        if gripper is not None:
            self.create_subscription(Float64MultiArray, gripper.command, self._grip, RELIABLE)
        period_s = 1.0 / profile.state_rate_hz
        self._pace = Pace(period_s, time.monotonic())
        every(self, period_s, self._tick)
        self.get_logger().info(f"the {profile.arm} stands under power; it moves with the first command")

    def close(self) -> None:
        """Leave the arm as the profile says: held, or let go."""
        self._opened.close()

    def _tick(self) -> None:
        if not self._pace.due(time.monotonic()):
            return
        reading = self._arm.read()
        if reading is None:
            self.get_logger().warning(f"no reading: {self._arm.failed}", throttle_duration_sec=1.0)
        else:
            self._publish(reading)

    def _publish(self, reading: Reading) -> None:
        state = self._state
        state.header.stamp = to_time(reading.at_ns)
        further = [] if reading.gripper is None else [reading.gripper]
        unknown = np.full(len(further), np.nan)
        state.position = doubles(np.append(reading.q_rad, further))
        state.velocity = doubles(np.append(reading.velocity_rad_s, unknown))
        if reading.effort_Nm is not None:
            state.effort = doubles(np.append(reading.effort_Nm, unknown))
        self._send(state)

    def _command(self, message: Float64MultiArray) -> None:
        self._arm.command(message.data, time.monotonic())
        self._tell_refused()

    def _grip(self, message: Float64MultiArray) -> None:
        self._arm.grip(message.data[0] if len(message.data) == 1 else np.nan)
        self._tell_refused()

    def _tell_refused(self) -> None:
        if self._arm.refused:
            self.get_logger().error(f"a command did not reach the arm: {self._arm.refused}", throttle_duration_sec=1.0)


if __name__ == "__main__":
    try:
        main(DriverNode, urgency=MORE_URGENT)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except ArmLost as error:
        sys.exit(str(error))
