"""Bundles: build, verify, refuse, run. Real networks, made with the onnx package."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from robot_rlaas.bundle import OnnxPolicy, build_bundle, load_bundle
from robot_rlaas.bundle.load import sha256
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.env import insertion

CELL = load_cell("peg_insertion")
CONTRACT = insertion.contract(CELL)


def network(
    rows: int = CONTRACT.observation_size, columns: int = CONTRACT.action_size, batch: str | int = "n"
) -> bytes:
    """action = clip(observation @ K, -1, 1), K drawn at random."""
    K = np.random.default_rng(3).normal(size=(rows, columns)).astype(np.float32)
    limits = [numpy_helper.from_array(np.float32(v), name) for name, v in (("low", -1), ("high", 1))]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["observation", "K"], ["product"]),
            helper.make_node("Clip", ["product", "low", "high"], ["action"]),
        ],
        "proportional",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, [batch, rows])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, [batch, columns])],
        [numpy_helper.from_array(K, "K"), *limits],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def policy_in(folder: Path, content: bytes | None = None, **changes) -> Path:
    folder.mkdir()
    (folder / "policy.onnx").write_bytes(content or network())
    description = {
        "format": 1,
        "contract": CONTRACT.to_json(),
        "cell": CELL.model_dump(mode="json"),
        "cell_hash": CELL.hash,
        "seed": 0,
        "provenance": {},
    }
    (folder / "policy.json").write_text(json.dumps(description | changes))
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    policy = policy_in(folder / "policy")
    report = folder / "report.json"
    policy_hash = sha256((policy / "policy.onnx").read_bytes())
    hashes = {"cell_hash": CELL.hash, "policy": {"path": "policy", "sha256": policy_hash, "kind": "policy"}}
    report.write_text(json.dumps({"cell": CELL.name, **hashes}))
    return build_bundle(policy, report, folder / "bundle")


def test_a_bundle_brings_everything_back(built):
    bundle = load_bundle(built)
    assert bundle.cell == CELL
    assert bundle.contract == CONTRACT
    assert bundle.report is not None
    assert bundle.report["cell"] == CELL.name
    from robot_rlaas.sim.model import build

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
