"""Bundles: build, verify, refuse, run. Real networks, made with the onnx package."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from handmade import CELL, CONTRACT, bundle_in, network, policy_in
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from samples import policy_directory
from solids import cell_with, l_shape

from robot_rlaas.bundle import OnnxPolicy, build_bundle, load_bundle
from robot_rlaas.bundle.load import sha256
from robot_rlaas.bundle.network import NESTED
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.sim.model import build


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    return bundle_in(tmp_path_factory.mktemp("built"))


def test_a_bundle_brings_everything_back(built):
    bundle = load_bundle(built)
    assert bundle.cell == CELL
    assert bundle.contract == CONTRACT
    assert bundle.report is not None
    assert bundle.report["cell"] == CELL.name
    workcell = build(CELL)
    for mine, theirs in zip((*bundle.chain, *bundle.envelope), (*workcell.chain, *workcell.envelope)):
        np.testing.assert_array_equal(mine, theirs)
    assert set(bundle.manifest["files"]) == {p.name for p in built.iterdir()} - {"manifest.json", "bundle.sha256"}


def test_the_bundled_policy_acts_as_the_network_does(built):
    policy = load_bundle(built).policy()
    observation = np.random.default_rng(0).normal(size=(5, CONTRACT.observation_size)).astype(np.float32)
    K = numpy_helper.to_array(onnx.load_from_string(network()).graph.initializer[0])
    np.testing.assert_allclose(policy.act(observation), np.clip(observation @ K, -1, 1), atol=1e-5)
    np.testing.assert_array_equal(policy.act(observation), policy.act(observation))
    assert policy.act(observation[:1]).shape == (1, CONTRACT.action_size)


@pytest.mark.parametrize(
    "name",
    [
        *("network.onnx", "manifest.json", "contract.json", "cell.json", "kinematics.json", "envelope.json"),
        "capsules.json",
        *("report.json", "LICENSE.txt", "bundle.sha256"),
    ],
)
def test_one_changed_byte_anywhere_is_refused_by_name(built, tmp_path, name):
    copy = shutil.copytree(built, tmp_path / "copy")
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(InputError, match=name) as caught:
        load_bundle(copy)
    assert "fix:" in str(caught.value)


def test_missing_and_extra_files_are_refused(built, tmp_path):
    less = shutil.copytree(built, tmp_path / "less")
    (less / "envelope.json").unlink()
    with pytest.raises(InputError, match=r"envelope\.json"):
        load_bundle(less)
    more = shutil.copytree(built, tmp_path / "more")
    (more / "policy.pkl").write_bytes(b"x")
    with pytest.raises(InputError, match=r"policy\.pkl"):
        load_bundle(more)
    with pytest.raises(InputError, match="no such bundle"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cell_hash": "0" * 64}, "another cell"),
        ({"policy": {"sha256": "0" * 64}}, "another policy"),
        ({"policy": "policy"}, "another policy"),
    ],
)
def test_a_report_of_something_else_is_refused(built, tmp_path, change, words):
    policy = policy_in(tmp_path / "policy")
    content = json.loads((built / "report.json").read_text()) | change
    (tmp_path / "report.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=words):
        build_bundle(policy, tmp_path / "report.json", tmp_path / "bundle")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["policy", "report.json"]


def test_only_a_bundle_is_overwritten(built, tmp_path):
    policy = policy_in(tmp_path / "policy")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="not overwritten"):
        build_bundle(policy, None, tmp_path / "mine")
    again = shutil.copytree(built, tmp_path / "again")
    build_bundle(policy, None, again)
    assert load_bundle(again).report is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a network", "not a usable ONNX network"),
        (network(rows=7), "maps 7 numbers"),
        (network(columns=3), "numbers to 3"),
        (network(batch=1), "n left open"),
    ],
)
def test_an_unusable_network_is_refused(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        build_bundle(policy_in(tmp_path / "policy", content), None, tmp_path / "bundle")
    with pytest.raises(InputError, match=words):
        OnnxPolicy(content, CONTRACT)


def test_a_policy_of_another_cell_is_refused(tmp_path):
    with pytest.raises(InputError, match="cell_hash"):
        build_bundle(policy_in(tmp_path / "policy", cell_hash="0" * 64), None, tmp_path / "bundle")


def test_a_bundle_brings_the_meshes_of_its_cell(tmp_path):
    """On a machine without the mesh files it is verified, and simulated as it was."""
    text = "obstacles: [{name: stop, mesh: stop.stl, mesh_unit: mm, at_mm: [400, 200, 30]}]\n"
    path = cell_with(tmp_path / "cell", "peg_insertion", text, stop=l_shape())
    cell = load_cell(str(path))
    policy = policy_directory(tmp_path / "policy", cell, network())
    with pytest.raises(InputError, match="another obstacles"):
        build_bundle(policy, None, tmp_path / "plain", load_cell("peg_insertion"))
    shutil.rmtree(path.parent)
    bundle = load_bundle(build_bundle(policy, None, tmp_path / "bundle"))
    assert bundle.cell == cell
    one, other = build(bundle.cell).model, build(cell).model
    assert one.nmesh == other.nmesh > 0
    np.testing.assert_array_equal(one.mesh_vert, other.mesh_vert)


WEIGHTS = "weights.bin"
ROWS, COLUMNS = CONTRACT.observation_size, CONTRACT.action_size


def external(place: str) -> onnx.ModelProto:
    """action = observation @ K; K, in the given place of the model, lies in weights.bin, beside the network."""
    value = numpy_helper.from_array(np.ones((ROWS, COLUMNS), np.float32), "K")
    external_data_helper.set_external_data(value, WEIGHTS)
    value.ClearField("raw_data")
    action = helper.make_tensor_value_info("action", TensorProto.FLOAT, ["n", COLUMNS])
    product = helper.make_node("MatMul", ["observation", "K"], ["action"])
    constant = helper.make_node("Constant", [], ["K"], value=value)
    opsets = [helper.make_opsetid("", 17)]
    nodes, initializers, sparse, functions = [product], [], [], []
    if place == "initializer":
        initializers = [value]
    elif place == "attribute":
        nodes = [constant, product]
    elif place == "subgraph":
        inner = [helper.make_graph([product], name, [], [action], [value]) for name in ("then", "else")]
        nodes = [
            helper.make_node("ReduceSum", ["observation"], ["sum"], keepdims=0),
            helper.make_node("Cast", ["sum"], ["choice"], to=TensorProto.BOOL),
            helper.make_node("If", ["choice"], ["action"], then_branch=inner[0], else_branch=inner[1]),
        ]
    elif place == "function":
        opsets.append(helper.make_opsetid("own", 1))
        functions = [helper.make_function("own", "F", ["observation"], ["action"], [constant, product], opsets[:1])]
        nodes = [helper.make_node("F", ["observation"], ["action"], domain="own")]
    elif place == "sparse":
        where = numpy_helper.from_array(np.arange(ROWS * COLUMNS), "where")
        value.dims[:] = [ROWS * COLUMNS]
        sparse = [helper.make_sparse_tensor(value, where, [ROWS, COLUMNS])]
    observation = helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["n", ROWS])
    graph = helper.make_graph(nodes, "g", [observation], [action], initializers, sparse_initializer=sparse)
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions)


@pytest.fixture
def weights(tmp_path, monkeypatch) -> None:
    """weights.bin, where onnxruntime would find it."""
    monkeypatch.chdir(tmp_path)
    np.ones((ROWS, COLUMNS), np.float32).tofile(WEIGHTS)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("place", ["initializer", "attribute", "subgraph", "function", "sparse"])
def test_weights_in_another_file_are_refused(built, tmp_path, place):
    """No hash covers that file: it could be changed after the qualification."""
    content, words = external(place).SerializeToString(), "lies in another file"
    with pytest.raises(InputError, match=words):
        OnnxPolicy(content, CONTRACT)
    with pytest.raises(InputError, match=rf"policy\.onnx: .*{words}"):
        build_bundle(policy_in(tmp_path / "policy", content), None, tmp_path / "bundle")
    forged = shutil.copytree(built, tmp_path / "forged")
    (forged / "network.onnx").write_bytes(content)
    manifest = json.loads((forged / "manifest.json").read_text())
    manifest["files"]["network.onnx"] = sha256(content)
    (forged / "manifest.json").write_text(json.dumps(manifest))
    (forged / "bundle.sha256").write_text(f"{sha256((forged / 'manifest.json').read_bytes())}  manifest.json\n")
    with pytest.raises(InputError, match=words):
        load_bundle(forged)


@pytest.mark.usefixtures("weights")
def test_an_odd_encoding_hides_no_weights():
    model = external("subgraph")
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    size = bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7 | 0x80, 0x00])
    with pytest.raises(InputError, match="lies in another file"):
        OnnxPolicy(model.SerializeToString() + b"\xba\x80\x00" + size + graph, CONTRACT)
    for odd in (b"\xbb\x00\xbc\x00", b"\xba\x80\x80\x80\x10" + size + graph):  # a group; more than 32 bits
        with pytest.raises(InputError, match=r"not a usable ONNX network: (a field of wire|not a protocol)"):
            OnnxPolicy(network() + odd, CONTRACT)


@pytest.mark.usefixtures("weights")
def test_the_fix_for_weights_in_another_file_works():
    path = Path("policy.onnx")
    path.write_bytes(external("initializer").SerializeToString())
    onnx.save_model(onnx.load(path), path)
    Path(WEIGHTS).unlink()
    np.testing.assert_array_equal(OnnxPolicy(path, CONTRACT).act(np.eye(ROWS)), np.ones((ROWS, COLUMNS)))


def test_every_way_to_a_tensor_is_known():
    """Against onnx.proto, as the onnx package has it."""
    found, left = {}, [onnx.ModelProto.DESCRIPTOR]
    while left:
        kind = left.pop()
        if kind.name not in found:
            found[kind.name] = {f.number: f.message_type.name for f in kind.fields if f.message_type}
            left += [f.message_type for f in kind.fields if f.message_type]
    leads = {"TensorProto"}
    while more := {kind for kind, fields in found.items() if leads & {*fields.values()}} - leads:
        leads |= more
    leads_only = {kind: {n: k for n, k in found[kind].items() if k in leads} for kind in leads}
    assert leads_only == NESTED
