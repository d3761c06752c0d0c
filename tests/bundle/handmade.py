"""Bundles of a network that was written by hand."""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from samples import policy_directory

from robot_rlaas.bundle import build_bundle
from robot_rlaas.bundle.keys import PrivateKey
from robot_rlaas.bundle.load import sha256
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.env.insertion import task as insertion

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
    return policy_directory(folder, CELL, content or network(), **changes)


def report_in(folder: Path, policy: Path) -> Path:
    """As much of a qualification's report as a bundle looks at."""
    hashes = {
        "cell_hash": CELL.hash,
        "kind": "qualification",
        "policy": {"name": "policy", "sha256": sha256((policy / "policy.onnx").read_bytes()), "kind": "policy"},
    }
    report = folder / "report.json"
    report.write_text(json.dumps({"cell": CELL.name, **hashes}))
    return report


def bundle_in(folder: Path, key: PrivateKey | None = None, name: str = "bundle") -> Path:
    policy = policy_in(folder / "policy")
    return build_bundle(policy, report_in(folder, policy), folder / name, key=key)
