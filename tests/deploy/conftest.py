"""A cell whose parts hardly vary, and a bundle whose network is a hand-made controller that is good enough for it."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from samples import policy_directory, signing_key

from robot_rlaas.bundle import OnnxPolicy, Trust, build_bundle
from robot_rlaas.bundle.domain import fit
from robot_rlaas.bundle.keys import PrivateKey
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.insertion import task as insertion
from robot_rlaas.files import sha256_file, write_json
from robot_rlaas.qualify.observed import Observed
from robot_rlaas.qualify.trials import stream
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build


@pytest.fixture(scope="session")
def cell() -> CellSpec:
    """The shipped cell with parts that lie where the camera says."""
    shipped = load_cell("peg_insertion")
    exact = {"plate_bias_mm": (0, 0), "plate_bias_deg": (0, 0), "hand_offset_mm": (0, 0.1), "hand_offset_deg": (0, 0)}
    content = shipped.model_dump()
    return CellSpec.model_validate(content | {"variation": content["variation"] | exact})


@pytest.fixture(scope="session")
def key(tmp_path_factory) -> PrivateKey:
    return signing_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def trust(key) -> Trust:
    return Trust((key.public,))


@pytest.fixture(scope="session")
def bundle(cell, key, tmp_path_factory) -> Path:
    """Moves over the hole in proportion to the error, and down the more, the smaller the error."""
    folder = tmp_path_factory.mktemp("policy")
    policy_directory(folder, cell, _network(insertion.contract(cell).observation_size))
    return build_bundle(folder, _judged(cell, folder), folder / "bundle", key=key)


def _judged(cell: CellSpec, folder: Path) -> Path:
    """As much of a qualification as a bundle looks at, and what is seen in 40 episodes."""
    workcell, sha256, observed = build(cell), sha256_file(folder / "policy.onnx"), Observed(40)
    env = BatchEnv(cell, workcell, CpuBackend(workcell, cell, 20), Seeds(0, Space.QUALIFY))
    trials = islice(stream(env, OnnxPolicy(folder / "policy.onnx"), lambda ended: None, observed), 40)
    seen = observed.of([trial.outcome.episode for trial in trials if trial.outcome.success])
    domain = fit(seen, env.contract, cell.hash, sha256)
    assert domain is not None
    write_json(folder / "domain.json", domain.to_json())
    about = {"kind": "qualification", "cell_hash": cell.hash, "policy": {"sha256": sha256}}
    write_json(folder / "report.json", about)
    return folder / "report.json"


def _network(size: int) -> bytes:
    """Three layers by hand: sides of the errors, a gate that keeps the tool up, the action."""
    sides, B = np.zeros((size, 7), np.float32), np.zeros((8, 4), np.float32)
    for i, (error, gain, action) in enumerate([(0, 25, 0), (1, 25, 1), (5, 5, 3)]):  # x, y, the turn about z
        sides[error, 2 * i], sides[error, 2 * i + 1] = 1, -1
        B[2 * i, action], B[2 * i + 1, action] = -gain, gain
    sides[14, 6], B[6, 2] = 1, 0.01  # not down against 20 N
    gate = np.eye(7, 8, dtype=np.float32)
    gate[:4, 7], B[7, 2] = 1, 300  # not down, while the tool is more than 2 mm off the hole
    weights = {
        "sides": sides,
        "gate": gate,
        "threshold": np.array([0, 0, 0, 0, 0, 0, 0, -0.001], np.float32),
        "B": B,
        "down": np.array([0, 0, -0.2, 0], np.float32),
        "low": np.float32(-1),
        "high": np.array([1, 1, 0, 1], np.float32),
    }
    steps = [
        ("MatMul", ("observation", "sides")),
        ("Relu", ()),
        ("MatMul", ("gate",)),
        ("Add", ("threshold",)),
        ("Relu", ()),
        ("MatMul", ("B",)),
        ("Add", ("down",)),
        ("Max", ("low",)),
        ("Min", ("high",)),
    ]
    nodes, before = [], ()
    for i, (kind, inputs) in enumerate(steps):
        output = "action" if i == len(steps) - 1 else f"step_{i}"
        nodes.append(helper.make_node(kind, [*before, *inputs], [output]))
        before = (output,)
    graph = helper.make_graph(
        nodes,
        "by_hand",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["n", size])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
