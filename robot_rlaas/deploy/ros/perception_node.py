"""The perception's node: the plate's pose out of a camera's pictures.

Parameters: perception and calibration, the contents of both files; height_m of the hole; chain up to the flange for a
camera on the wrist, else None; topics. It looks when it starts and whenever somebody calls LOOK, and tells PLATE
once for each time.
"""

import json
import time
from typing import Any

import numpy as np
from geometry_msgs.msg import Pose, PoseStamped, PoseWithCovarianceStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from robot_rlaas.cell.camera_calibration import CameraCalibration
from robot_rlaas.cell.hardware import Topics
from robot_rlaas.cell.perception import Eye, PerceptionSpec
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.deploy import names
from robot_rlaas.deploy.perception import Perception, Picture, Seen
from robot_rlaas.deploy.plate_pose import Refused
from robot_rlaas.deploy.ros.process import LATCHED, every, from_time, main, stamp_ns, to_time
from robot_rlaas.vision.lens import lens_of
from robot_rlaas.vision.picture import gray_of

LOOK_S = 0.02
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class PerceptionNode(Node):
    """Pictures in, the plate's pose out."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__("rlaas_perception")
        spec = PerceptionSpec.model_validate(params["perception"])
        eye = Eye(spec, CameraCalibration.model_validate(params["calibration"]))
        chain = SerialChain.from_json(params["chain"]) if params["chain"] else None
        self._perception = Perception(eye, params["height_m"], chain)
        self._info, self._said = spec.camera.info, Refused("", "")
        self._send_plate = self.create_publisher(PoseStamped, names.PLATE, LATCHED).publish
        self._send_sure = self.create_publisher(PoseWithCovarianceStamped, names.PLATE_COVARIANCE, LATCHED).publish
        self._send_state = self.create_publisher(String, names.PERCEPTION, LATCHED).publish
        self.create_subscription(Image, spec.camera.image, self._see, NEWEST, raw=True)
        if self._info:
            self.create_subscription(CameraInfo, self._info, self._know_lens, qos_profile_sensor_data)
        if chain:
            topic = Topics(**params["topics"]).joint_states
            self.create_subscription(JointState, topic, self._measure, qos_profile_sensor_data)
        self.create_service(Trigger, names.LOOK, self._asked)
        self._ask()
        every(self, LOOK_S, self._look)

    def close(self) -> None:
        """Nothing is left to say."""

    def _asked(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._ask()
        response.success, response.message = True, f"{names.PLATE} will say where the plate is"
        return response

    def _ask(self) -> None:
        self._perception.ask(time.time())
        self._said = Refused("", "")
        self._tell(Refused("looking", "looking for the plate"))

    def _know_lens(self, message: CameraInfo) -> None:
        try:
            lens = lens_of(message.distortion_model, np.array(message.k), np.array(message.d))
        except ValueError as error:
            self._tell(Refused("lens", f"{self._info}: {error}"))
            return
        self._info = None
        self._perception.through(lens, (message.height, message.width))

    def _measure(self, message: JointState) -> None:
        self._perception.measure(list(message.name), list(message.position), from_time(message.header.stamp))

    def _see(self, content: Any) -> None:
        """Pictures are only unpacked while somebody waits for a pose."""
        if not self._perception.looking:
            return
        if self._info:
            self._tell(Refused("no_info", f"no lens on {self._info} yet"))
            return
        message = deserialize_message(content, Image)
        try:
            gray = gray_of(message.encoding, message.width, message.height, message.step, memoryview(message.data))
        except ValueError as error:
            self._tell(Refused("encoding", str(error)))
            return
        self._tell(self._perception.see(Picture(gray, stamp_ns(message.header.stamp)), time.time()))

    def _look(self) -> None:
        said = self._perception.look(time.time())
        if isinstance(said, Seen):
            self._show(said)
        else:
            self._tell(said)

    def _show(self, seen: Seen) -> None:
        plate, sure = PoseStamped(pose=_pose(seen.T_base_plate)), PoseWithCovarianceStamped()
        plate.header.frame_id, plate.header.stamp = names.BASE_FRAME, to_time(seen.stamp_ns)
        sure.header, sure.pose.pose = plate.header, plate.pose
        sure.pose.covariance = seen.covariance.ravel().tolist()
        self._send_sure(sure)
        self._send_plate(plate)
        std = np.sqrt(np.diag(seen.covariance))
        mm, deg = 1000 * std[:3].max(), np.rad2deg(std[3:].max())
        text = (
            f"the plate is seen in {seen.pictures} pictures, {seen.corners} corners, to {mm:.2f} mm and {deg:.2f} deg"
        )
        self._tell(Refused("seen", text))

    def _tell(self, said: Refused | None) -> None:
        """Say on the wire and in the log what has changed."""
        if said is None or said.cause == self._said.cause:
            return
        self._said = said
        self._send_state(String(data=json.dumps({"looking": self._perception.looking, **said._asdict()})))
        self.get_logger().info(said.text)


def _pose(T: np.ndarray) -> Pose:
    """A pose (4, 4) as a message."""
    pose = Pose()
    at, turn = pose.position, pose.orientation
    at.x, at.y, at.z = T[:3, 3].tolist()
    turn.w, turn.x, turn.y, turn.z = Rotation.from_matrix(T[:3, :3]).as_quat(canonical=True, scalar_first=True).tolist()
    return pose


if __name__ == "__main__":
    main(PerceptionNode, urgency=0)  # an arm that moves is more urgent than one that waits for a part
