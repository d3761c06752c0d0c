"""Anything that acts, by reference: every kind, and everything that is refused."""

import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from samples import policy_directory

from robot_rlaas.bundle import OnnxPolicy, build_bundle
from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.env.insertion.task import contract as contract_of
from robot_rlaas.files import sha256_file, sha256_tree
from robot_rlaas.jobs.policies import load

ROWS = 3
PROVENANCE = {"sequences": [{"seed": 0, "space": "TRAIN"}]}


@pytest.fixture(scope="session")
def contract(cell: CellSpec) -> Contract:
    return contract_of(cell)


@pytest.fixture
def observation(contract: Contract) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.01, 0.01, (ROWS, contract.observation_size)).astype(np.float32)


def network(rows: int, columns: int) -> bytes:
    """action = observation @ K, K drawn at random."""
    K = np.random.default_rng(3).normal(size=(rows, columns)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["observation", "K"], ["action"])],
        "proportional",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["n", rows])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["n", columns])],
        [numpy_helper.from_array(K, "K")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def directory(cell: CellSpec, contract: Contract, tmp_path: Path) -> Path:
    """As training leaves it."""
    content = network(contract.observation_size, contract.action_size)
    return policy_directory(tmp_path / "run" / "policy", cell, content, provenance=PROVENANCE)


def test_a_policy_its_bundle_and_its_network_are_the_same(directory, cell, contract, observation) -> None:
    network, bundle = directory / "policy.onnx", build_bundle(directory, None, directory.parent / "bundle")
    expected = OnnxPolicy(network, contract).act(observation)
    loaded = [load(reference, cell, ROWS) for reference in (directory, str(bundle), network)]
    for one in loaded:
        np.testing.assert_array_equal(one.policy.act(observation), expected)
    assert {one.sha256 for one in loaded} == {sha256_file(network)}
    assert [one.kind for one in loaded] == ["policy", "bundle", "onnx"]
    assert [one.name for one in loaded] == ["policy", "bundle", "policy.onnx"]
    assert [one.provenance for one in loaded] == [PROVENANCE, PROVENANCE, None]


def test_a_policy_of_the_current_directory_has_a_name(directory, cell, monkeypatch) -> None:
    monkeypatch.chdir(directory)
    assert load(".", cell, ROWS).name == "policy"


def test_the_expert_is_fresh_every_time(cell, contract, make_env) -> None:
    first, second = (load("expert", cell, 4) for _ in range(2))
    assert first[1:] == second[1:]
    assert (first.name, first.kind, len(first.sha256)) == ("expert", "expert", 64)
    observation = make_env(4).reset()
    expected = InsertionExpert(cell, contract, 4).act(observation)
    first.policy.act(observation)
    np.testing.assert_array_equal(second.policy.act(observation), expected)


def test_a_stable_baselines3_zip(cell, contract, observation, tmp_path) -> None:
    from stable_baselines3 import PPO

    class Still(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (contract.observation_size,), np.float32)
        action_space = gymnasium.spaces.Box(-1, 1, (contract.action_size,), np.float32)

    model = PPO("MlpPolicy", Still(), device="cpu", seed=0)
    model.save(tmp_path / "mine.zip")
    loaded = load(tmp_path / "mine.zip", cell, ROWS)
    expected = model.predict(observation, deterministic=True)[0]
    np.testing.assert_allclose(loaded.policy.act(observation), expected, atol=1e-6)
    assert loaded[1:] == ("mine.zip", sha256_file(tmp_path / "mine.zip"), "sb3", None)


def test_a_lerobot_directory(cell, contract, observation, tmp_path) -> None:
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors

    config = make_policy_config(
        "act",
        input_features={"observation.environment_state": PolicyFeature(FeatureType.ENV, (contract.observation_size,))},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (contract.action_size,))},
        **{"chunk_size": 2, "n_action_steps": 2, "dim_model": 16, "n_heads": 2, "dim_feedforward": 16},
        **{"n_encoder_layers": 1, "use_vae": False, "device": "cpu"},
    )
    policy = get_policy_class("act")(config).eval()
    processors = make_pre_post_processors(config)
    for part in (policy, *processors):
        part.save_pretrained(tmp_path / "act")
    loaded = load(tmp_path / "act", cell, ROWS)
    acted = loaded.policy.act(observation)
    assert acted.shape == (ROWS, contract.action_size)
    assert loaded[1:] == ("act", sha256_tree(tmp_path / "act"), "lerobot", None)


PYTHON = """
import numpy as np

def standing(contract, rows):
    assert rows == 3
    return lambda observation: np.zeros((len(observation), contract.action_size))

class Counting:
    def __init__(self, contract, rows):
        self.size, self.steps = contract.action_size, np.zeros(rows)

    def reset(self, ids):
        self.steps[ids] = 0

    def act(self, observation):
        self.steps += 1
        return np.tile(self.steps[:, None] / 10, self.size)

def flat(contract, rows):
    return lambda observation: np.zeros(contract.action_size)

def nothing(contract, rows):
    return None

def forgetful(contract, rows):
    class Forgetful:
        def act(self, observation): ...
    return Forgetful()

class Failing:
    def __init__(self, contract, rows): ...

    def reset(self, ids):
        raise IndexError("no such row")

    def act(self, observation):
        return {}["no such key"]

def ragged(contract, rows):
    return lambda observation: [[0.0], [0.0, 0.0]]

def act(observation):
    return observation[:, :4]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch) -> str:
    """A module in the current directory, which is not on the path yet."""
    name = f"own_policies_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(PYTHON)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_a_python_function(module, cell, observation) -> None:
    loaded = load(f"{module}:standing", cell, ROWS)
    np.testing.assert_array_equal(loaded.policy.act(observation), np.zeros((ROWS, 4), np.float32))
    loaded.policy.reset(np.arange(ROWS))
    assert loaded[1:] == (f"{module}:standing", "", "callable", None)


def test_a_python_policy(module, cell, observation) -> None:
    policy = load(f"{module}:Counting", cell, ROWS).policy
    policy.act(observation)
    policy.reset(np.array([1]))
    np.testing.assert_allclose(policy.act(observation)[:, 0], [0.2, 0.1, 0.2])


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("missing", "AttributeError: .*allowed is a policy directory"),
        ("act", r"TypeError: .*\n.*is called with \(contract, rows\)"),
        ("nothing", "returned NoneType; allowed is an object with act and reset, or a function"),
        ("forgetful", "returned Forgetful; allowed"),
    ],
)
def test_python_that_makes_no_policy_is_refused(attribute, reason, module, cell) -> None:
    with pytest.raises(InputError, match=f"(?s){reason}"):
        load(f"{module}:{attribute}", cell, ROWS)


def test_python_actions_of_a_wrong_shape_are_refused(module, cell, observation) -> None:
    policy = load(f"{module}:flat", cell, ROWS).policy
    with pytest.raises(InputError, match=r"returned actions of shape \(4,\), not \(3, 4\)"):
        policy.act(observation)


def test_python_that_fails_is_blamed(module, cell, observation) -> None:
    failing, ragged = (load(f"{module}:{name}", cell, ROWS).policy for name in ("Failing", "ragged"))
    with pytest.raises(InputError, match=f"'{module}:Failing' cannot act: KeyError: 'no such key'") as raised:
        failing.act(observation)
    assert isinstance(raised.value.__cause__, KeyError)
    with pytest.raises(InputError, match="cannot reset: IndexError: no such row"):
        failing.reset(np.arange(ROWS))
    with pytest.raises(InputError, match=r"cannot act: ValueError: .*inhomogeneous"):
        ragged.act(observation)


def test_a_module_that_is_not_there(cell, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(InputError, match="'no_such_module:make' cannot be made: ModuleNotFoundError"):
        load("no_such_module:make", cell, ROWS)


def test_a_file_goes_before_a_module(cell, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("os:getcwd").touch()
    with pytest.raises(InputError, match="nothing that acts"):
        load("os:getcwd", cell, ROWS)


def test_what_is_no_policy_is_refused_with_what_is_allowed(cell, tmp_path) -> None:
    (tmp_path / "notes.txt").touch()
    for reference in (tmp_path, tmp_path / "notes.txt", tmp_path / "nowhere", "nowhere"):
        with pytest.raises(InputError, match=r"a policy directory \(.*module:attribute.*'expert'") as raised:
            load(reference, cell, ROWS)
        assert "rlaas train" in raised.value.fix


def test_a_network_of_other_sizes_is_refused(directory, cell, contract) -> None:
    (directory / "policy.onnx").write_bytes(network(7, 2))
    wanted = f"{contract.observation_size} to {contract.action_size}"
    for reference in (directory, directory / "policy.onnx"):
        with pytest.raises(InputError, match=f"maps 7 numbers to 2; the contract says {wanted}"):
            load(reference, cell, ROWS)


def test_a_policy_for_another_contract_is_refused(directory, cell) -> None:
    bundle = build_bundle(directory, None, directory.parent / "bundle")
    slower = cell.model_copy(update={"control": cell.control.model_copy(update={"rate_hz": 10.0})})
    for reference in (directory, bundle):
        with pytest.raises(InputError, match="another contract than this cell's: rate_hz differ"):
            load(reference, slower, ROWS)
    load(directory / "policy.onnx", slower, ROWS)


def test_weights_in_another_file_are_refused(directory, cell, monkeypatch) -> None:
    network = directory / "policy.onnx"
    model = onnx.load(network)
    onnx.save_model(model, network, save_as_external_data=True, location="weights.bin", size_threshold=0)
    monkeypatch.chdir(directory)
    for reference in (directory, network):
        with pytest.raises(InputError, match=r"policy\.onnx: a tensor of the network lies in another file"):
            load(reference, cell, ROWS)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (5, "'provenance': Input should be"),
        ([], "'provenance': Input should be"),
        ({"sequences": 5}, r"'provenance\.sequences': "),
        ({"sequences": {"a": 1}}, r"'provenance\.sequences': "),
        ({"sequences": ["x"]}, r"'provenance\.sequences\.0': "),
        ({"sequences": [{"seed": "0"}]}, r"'provenance\.sequences\.0\.seed': "),
        ({"sequences": [{"space": 1}]}, r"'provenance\.sequences\.0\.space': "),
        ({"sequences": [{"key": [None]}]}, r"'provenance\.sequences\.0\.key\.0': "),
        ({"variation": [1]}, r"'provenance\.variation': "),
    ],
)
def test_malformed_provenance_is_refused(told, reason, directory, cell) -> None:
    file = directory / "policy.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"provenance": told}))
    with pytest.raises(InputError, match=rf"policy\.json: {reason}"):
        load(directory, cell, ROWS)
    bundle = build_bundle(directory, None, directory.parent / "bundle")
    with pytest.raises(InputError, match=rf"manifest\.json: {reason}"):
        load(bundle, cell, ROWS)


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        {"sequences": None, "variation": None},
        {"sequences": [{"seed": None, "space": None, "key": None}]},
        {"sequences": [{"seed": 0, "space": "TRAIN", "key": [1], "by": "me"}], "demonstrations_sha256": "ab"},
    ],
)
def test_provenance_may_say_less_or_more(told, directory, cell) -> None:
    file = directory / "policy.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"provenance": told}))
    assert load(directory, cell, ROWS).provenance == told


def test_broken_policies_are_refused(directory, cell) -> None:
    bundle = build_bundle(directory, None, directory.parent / "bundle")
    (bundle / "network.onnx").write_bytes(b"")
    with pytest.raises(InputError, match="changed after the bundle was built"):
        load(bundle, cell, ROWS)
    for content in ("{", "[]", "{}"):
        (directory / "policy.json").write_text(content)
        with pytest.raises(InputError, match="not the description of a policy"):
            load(directory, cell, ROWS)
    (directory / "policy.json").unlink()
    with pytest.raises(InputError, match=r"policy\.json.*\n.*name the network alone"):
        load(directory, cell, ROWS)
    (directory / "policy.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="not a usable ONNX network"):
        load(directory / "policy.onnx", cell, ROWS)


def test_without_torch_only_foreign_policies_are_refused(directory, cell, tmp_path) -> None:
    """In a process that has no torch."""
    (tmp_path / "model.zip").touch()
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from robot_rlaas.cell.spec import load_cell; from robot_rlaas.jobs.policies import load\n"
        "assert not {'mujoco', 'onnxruntime', 'scipy'} & set(sys.modules), 'importing it must be cheap'\n"
        "cell = load_cell('peg_insertion')\n"
        f"load(r'{directory}', cell, 1), load('expert', cell, 1)\n"
        f"load(r'{tmp_path}/model.zip', cell, 1)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert "InputError: this kind of policy needs torch" in done.stderr, done.stderr
