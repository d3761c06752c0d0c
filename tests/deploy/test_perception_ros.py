"""The perception's process, real ROS 2 on loopback: pictures go in over the wire, the plate's pose comes out."""

import json
import os
import time

import numpy as np
import pytest
import rclpy
import yaml
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from plate_scene import (
    KNOWN,
    LENS,
    MARKERS,
    SIZE,
    calibration,
    draw,
    looking_at,
    pose,
    rays_of,
    spec_of,
    spoil,
    texture_of,
)
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from robot_rlaas.bundle import load_bundle
from robot_rlaas.deploy import names
from robot_rlaas.deploy.plan import environment, plan
from robot_rlaas.deploy.ros.process import LATCHED, stamp_ns, to_time
from robot_rlaas.deploy.run import started
from robot_rlaas.vision.poses import inverse

# rclpy's message generator imports a parser that imports a deprecated module
pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")]

DOMAIN = 77
REAL = {"attempts": 1, "arm": "real", "plant": "ur5e_worn", "seed": 0, "domain_id": None}


@pytest.fixture
def process(bundle, trust, tmp_path):
    """The plan's process for a camera in the cell, on a domain of the test's own, and the camera (4, 4)."""
    loaded = load_bundle(bundle, trust)
    top_m = np.array(loaded.cell.task.plate.top_mm) / 1000
    T_camera = looking_at(top_m, 0.8, 25.0, 40.0)
    (tmp_path / "camera.yaml").write_text(yaml.safe_dump(calibration(T_camera).model_dump(mode="json")))
    content = spec_of(MARKERS, KNOWN).model_dump(mode="json", exclude_none=True)
    (tmp_path / "plate.yaml").write_text(yaml.safe_dump(content))
    planned = {p.name: p for p in plan(loaded, tmp_path, **REAL, perception=tmp_path / "plate.yaml")}
    return planned["perception"]._replace(environment=environment(DOMAIN)), T_camera, top_m


class Bench:
    """A camera that sends pictures of a plate, and ears."""

    def __init__(self, T_camera: np.ndarray, top_m: np.ndarray) -> None:
        self._T_camera, self._top_m, self._rng = T_camera, top_m, np.random.default_rng(0)
        self._rays, self._texture = rays_of(LENS), texture_of(spec_of(MARKERS).target)
        self.node = rclpy.create_node("test_camera")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._send = self.node.create_publisher(Image, "/camera/image_raw", qos_profile_sensor_data)
        self.plates, self.sure, self.told = list[PoseStamped](), list[PoseWithCovarianceStamped](), list[str]()
        self.node.create_subscription(PoseStamped, names.PLATE, self.plates.append, LATCHED)
        self.node.create_subscription(PoseWithCovarianceStamped, names.PLATE_COVARIANCE, self.sure.append, LATCHED)
        tell = lambda message: self.told.append(json.loads(message.data)["cause"])  # noqa: E731
        self.node.create_subscription(String, names.PERCEPTION, tell, LATCHED)
        self.look = self.node.create_client(Trigger, names.LOOK)
        self.stamps = set[int]()

    def lay(self, xy_m, yaw_deg: float) -> np.ndarray:
        """Lay the plate there; its pose (4, 4)."""
        R = Rotation.from_euler("z", yaw_deg, degrees=True).as_matrix()
        T = pose(self._top_m + np.append(xy_m, 0.0), R)
        self._clean = draw(self._texture, inverse(self._T_camera) @ T, self._rays)
        return T

    def until(self, condition, seconds: float, camera: bool = True) -> bool:
        deadline, shoot_at = time.monotonic() + seconds, time.monotonic()
        while not condition() and time.monotonic() < deadline:
            if camera and time.monotonic() >= shoot_at:
                shoot_at += 0.1
                self._shoot()
            self._executor.spin_once(timeout_sec=0.02)
        return bool(condition())

    def _shoot(self) -> None:
        stamp = time.time_ns()
        gray = spoil(self._clean, self._rng)
        image = Image(height=SIZE[1], width=SIZE[0], encoding="rgb8", step=3 * SIZE[0])
        image.header.stamp, image.header.frame_id = to_time(stamp), "camera_optical_frame"
        image.data = np.repeat(gray[..., None], 3, axis=2).tobytes()
        self.stamps.add(stamp)
        self._send.publish(image)


@pytest.fixture
def ros():
    before = dict(os.environ)
    os.environ |= environment(DOMAIN)
    rclpy.init()
    yield
    rclpy.try_shutdown()
    os.environ.clear()
    os.environ.update(before)


def seen(message: PoseStamped) -> np.ndarray:
    at, turn = message.pose.position, message.pose.orientation
    return pose([at.x, at.y, at.z], Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix())


def test_pictures_go_in_and_the_plates_pose_comes_out(process, ros, tmp_path):
    perception, T_camera, top_m = process
    bench = Bench(T_camera, top_m)
    with started([perception], tmp_path):
        assert bench.until(lambda: "silent" in bench.told, 12.0, camera=False), bench.told
        truth = bench.lay([0.02, -0.015], 7.0)
        assert bench.until(lambda: bench.plates, 5.0), bench.told
        np.testing.assert_allclose(seen(bench.plates[0])[:3, 3], truth[:3, 3], atol=1e-3)
        np.testing.assert_allclose(seen(bench.plates[0])[:3, :3], truth[:3, :3], atol=2e-3)
        assert bench.plates[0].header.frame_id == names.BASE_FRAME
        assert stamp_ns(bench.plates[0].header.stamp) in bench.stamps
        assert bench.until(lambda: bench.sure, 2.0)
        std = np.sqrt(np.diag(bench.sure[0].pose.covariance.reshape(6, 6)))
        assert bench.sure[0].header == bench.plates[0].header
        assert 5e-5 < std[:3].max() < 1e-3
        assert not bench.until(lambda: len(bench.plates) > 1, 1.0)  # nobody asked
        truth = bench.lay([-0.02, 0.01], -5.0)
        answer = bench.look.call_async(Trigger.Request())
        assert bench.until(lambda: len(bench.plates) > 1, 5.0), bench.told
        assert answer.result().success
        np.testing.assert_allclose(seen(bench.plates[1])[:3, 3], truth[:3, 3], atol=1e-3)
        assert bench.until(lambda: bench.told.count("seen") == 2, 2.0), bench.told
    bench.node.destroy_node()
