"""An arm that was stopped as it pressed into the plate: over ROS 2, with both kinds of controllers, in real time."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from geometry_msgs.msg import WrenchStamped
from onnx import TensorProto, helper, numpy_helper
from rclpy.qos import qos_profile_sensor_data
from samples import policy_directory
from std_msgs.msg import String
from std_srvs.srv import Trigger

from robot_rlaas.bundle import Trust, build_bundle, load_bundle
from robot_rlaas.cell.hardware import Line, load_hardware
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.deploy import names
from robot_rlaas.deploy.plan import plan
from robot_rlaas.deploy.ros.panel import Panel, on_domain
from robot_rlaas.deploy.ros.process import RELIABLE, wrench_of
from robot_rlaas.deploy.run import started
from robot_rlaas.env.insertion import task as insertion

pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")]

DOMAIN = 78
LIMIT_N = 20.0


class Felt(Panel):
    """Hears the wrist, less what it said at first, and what the supervisor did.

    Attributes:
        force_N: of the last readings.
        events: of the supervisor, one by one.
    """

    def __init__(self, topic: str) -> None:
        super().__init__("felt")
        self._readings, self.events = list[tuple[float, ...]](), list[dict]()
        self.node.create_subscription(WrenchStamped, topic, self._feel, qos_profile_sensor_data)
        self.node.create_subscription(String, names.EVENTS, self._note, RELIABLE)

    @property
    def force_N(self) -> float:
        zero, now = (np.mean(part, axis=0)[:3] for part in (self._readings[:50], self._readings[-20:]))
        return float(np.linalg.norm(now - zero))

    @property
    def latched(self) -> str | None:
        return self.heard[names.SUPERVISOR]["latched"]

    def _feel(self, message: WrenchStamped) -> None:
        self._readings.append(wrench_of(message))

    def _note(self, message: String) -> None:
        self.events.append(json.loads(message.data))


@pytest.fixture(scope="module")
def pressing(cell, tmp_path_factory) -> Path:
    """A bundle whose policy goes straight down, for an arm that is stopped at 20 N."""
    folder = tmp_path_factory.mktemp("pressing")
    profile = load_hardware("ur5e").model_copy(update={"force_limit_N": LIMIT_N})
    (folder / "gentle.yaml").write_text(yaml.safe_dump(profile.model_dump(mode="json")))
    content = cell.model_dump()
    content["robot"]["hardware"] = str(folder / "gentle.yaml")
    gentle = CellSpec.model_validate(content)
    policy_directory(folder, gentle, _down(insertion.contract(gentle).observation_size))
    return build_bundle(folder, None, folder / "bundle")


def _down(size: int) -> bytes:
    weights = {"W": np.zeros((size, 4), np.float32), "down": np.array([1, 0, -1, 0], np.float32)}
    nodes = [
        helper.make_node("MatMul", ["observation", "W"], ["zero"]),
        helper.make_node("Add", ["zero", "down"], ["action"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", n])
        for name, n in (("observation", size), ("action", 4))
    ]
    graph = helper.make_graph(
        nodes, "down", ends[:1], ends[1:], [numpy_helper.from_array(w, n) for n, w in weights.items()]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


@pytest.mark.parametrize("controller", ["forward", "trajectory"])
def test_it_presses_no_more_soon_after_the_stop_and_a_reset_stands(pressing, tmp_path, controller):
    bundle, out = load_bundle(pressing, Trust((), allow_unsigned=True)), tmp_path / "out"
    asked = {"attempts": 10, "arm": "virtual", "plant": "ur5e_worn", "seed": 0, "domain_id": DOMAIN}
    planned = plan(bundle, out, **asked, line=Line(controller=controller))
    with started([p for p in planned if p.name != "conductor"], out), on_domain(DOMAIN):
        felt = Felt(load_hardware(bundle.cell.robot.hardware).topics.felt)
        felt.start()
        felt.until(lambda: felt.latched == "force", "nothing stopped the arm")
        felt.spin(0.4)
        before_N = felt.force_N
        felt.until(lambda: any(event["what"] == "eased" for event in felt.events), "it is not eased", 6.0)
        felt.spin(0.3)
        after_N = felt.force_N
        (eased,) = [event for event in felt.events if event["what"] == "eased"]
        felt.call(Trigger, names.RESET, Trigger.Request())
        felt.spin(0.8)
        latched = felt.latched
        felt.close()
    assert before_N > LIMIT_N
    assert after_N < 0.5 * LIMIT_N
    assert 1 < eased["value"] <= eased["limit"] < 150
    assert latched is None
