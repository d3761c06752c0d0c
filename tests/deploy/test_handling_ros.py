"""A handling cell over ROS 2, in real time: its gripper, vise, gate and camera are topics, and all of them are logged.

The network is made by hand: it goes over the billet and closes its hand there, which is no success.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from onnx import TensorProto, helper, numpy_helper
from samples import policy_directory

from robot_rlaas.bundle import build_bundle, load_bundle
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.deploy import names
from robot_rlaas.deploy.plan import plan
from robot_rlaas.deploy.run import Deployment, deploy
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.jobs.demos_import import read_deployment
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.sim.model import build

# rclpy's message generator imports a parser that imports a deprecated module
pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")]

DOMAIN = 97
TIMEOUT_S = 3.0
GRIPPER = "robotiq_85_left_knuckle_joint"


class Run(NamedTuple):
    cell: CellSpec
    bundle: Path
    out: Path
    deployment: Deployment
    messages: dict[str, list]


@pytest.fixture(scope="module")
def run(key, trust, tmp_path_factory) -> Run:
    folder, shipped = tmp_path_factory.mktemp("handling"), load_cell("machine_tending").model_dump()
    shipped["task"]["timeout_s"] = shipped["requirements"]["cycle_time_s"]["limit"] = TIMEOUT_S
    cell = CellSpec.model_validate(shipped)
    policy = policy_directory(folder / "policy", cell, _network(cell))
    bundle, out = build_bundle(policy, None, folder / "bundle", key=key), folder / "deployment"
    options = {"attempts": 1, "plant": "worn", "domain_id": DOMAIN, "on_event": lambda line: None}
    deployment, messages = deploy(bundle, out, trust=trust, **options), {}
    with (out / "log.mcap").open("rb") as file:
        for _, channel, _, content in make_reader(file, decoder_factories=[DecoderFactory()]).iter_decoded_messages():
            messages.setdefault(channel.topic, []).append(content)
    return Run(cell, bundle, out, deployment, messages)


def _network(cell: CellSpec) -> bytes:
    """action = clip(gains * observation + bias): sideways to the goal; the hand is told to close."""
    contract = contract_of(cell)
    gains = np.zeros((contract.observation_size, contract.action_size), np.float32)
    first = [feature.name for feature in contract.observation].index("tool_position")
    x = sum(len(feature.axes) for feature in contract.observation[:first])
    gains[x, 0] = gains[x + 1, 1] = -8
    bias = np.array([0, 0, 0, 0, -1], np.float32)
    given = {"gains": gains, "bias": bias, "low": np.float32(-1), "high": np.float32(1)}
    nodes = [
        helper.make_node("MatMul", ["observation", "gains"], ["a"]),
        helper.make_node("Add", ["a", "bias"], ["b"]),
        helper.make_node("Clip", ["b", "low", "high"], ["action"]),
    ]
    graph = helper.make_graph(
        nodes,
        "by_hand",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["n", contract.observation_size])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["n", contract.action_size])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in given.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def test_the_arm_counts_the_attempt_and_nobody_had_to_step_in(run) -> None:
    (attempt,) = run.deployment.attempts
    assert attempt["started"]
    assert not attempt["success"]
    assert run.deployment.violations == 0, run.deployment.supervisor


def test_the_policy_sees_the_billet_and_goes_over_it(run) -> None:
    said = [json.loads(message.data) for message in run.messages[names.OBSERVATION]]
    seen = contract_of(run.cell).unpack(np.array([one["seen"] for one in said if one["seen"]], np.float32))
    away = np.linalg.norm(seen["tool_position"][:, :2], axis=1)
    assert away[0] > 0.05
    assert away[-1] < 0.01
    lies = np.array([[p.pose.position.x, p.pose.position.y] for p in run.messages[f"{names.PART}/billet"]])
    tray = np.array(run.cell.task.fixtures[0].at_mm[:2]) / 1000
    assert np.abs(lies - tray).max() < 0.07


def test_the_hand_closes_by_way_of_the_supervisor_and_what_it_does_is_measured(run) -> None:
    wanted = [message.points[0].positions[0] for message in run.messages[names.GRIP]]
    sent = [message.data[0] for message in run.messages["/gripper_position_controller/commands"]]
    assert set(sent) <= set(wanted)
    assert max(sent) == pytest.approx(0.7929)
    states = run.messages["/joint_states"]
    assert all(list(state.name)[-1] == GRIPPER for state in states[::20])
    position = np.array([state.position[-1] for state in states])
    assert position[0] == pytest.approx(0.0, abs=0.01)
    assert position.max() > 0.7


def test_vise_and_gate_are_told_and_tell(run) -> None:
    assert {tuple(message.name) for message in run.messages[names.MACHINES_TOLD]} == {("vise",)}
    openings = np.array([list(message.position) for message in run.messages[names.MACHINES]])
    assert {tuple(message.name) for message in run.messages[names.MACHINES][::20]} == {("vise", "gate")}
    assert openings[:, 0].min() > 0.95
    assert np.ptp(openings[:, 1]) > 0.9


def test_its_log_is_read_as_that_of_its_cell(run, tmp_path) -> None:
    """`rlaas demos import` makes episodes of these attempts."""
    (attempt,) = read_deployment(run.out, Cell(run.cell, build(run.cell), tmp_path)).attempts
    assert attempt.result is not None
    assert attempt.result["success"] is False
    assert len(attempt.observation) == pytest.approx(TIMEOUT_S / run.cell.period_s, abs=2)


def test_a_perception_file_is_about_a_plate(run, trust, tmp_path) -> None:
    asked = {"attempts": 1, "arm": "real", "plant": "worn", "seed": 0, "domain_id": None}
    with pytest.raises(InputError, match="this is a handling cell"):
        plan(load_bundle(run.bundle, trust), tmp_path, perception=tmp_path / "plate.yaml", **asked)
