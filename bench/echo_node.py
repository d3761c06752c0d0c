"""The least that a ROS 2 node in Python can do with a joint state: send its stamp on. Parameters: topic, out."""

from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from robot_rlaas.deploy.ros.process import MORE_URGENT, RELIABLE, main, stamp_ns


class EchoNode(Node):
    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__("echo")
        self._out = Float64MultiArray()
        self._send = self.create_publisher(Float64MultiArray, params["out"], RELIABLE).publish
        self.create_subscription(JointState, params["topic"], self._take, qos_profile_sensor_data)

    def close(self) -> None: ...

    def _take(self, message: JointState) -> None:
        self._out.data = [stamp_ns(message.header.stamp) * 1e-9, *message.position]
        self._send(self._out)


if __name__ == "__main__":
    main(EchoNode, urgency=MORE_URGENT)
