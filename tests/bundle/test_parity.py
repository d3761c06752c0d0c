"""The exported network against the trained one."""

import json
from pathlib import Path

import numpy as np
import pytest
from handmade import CONTRACT, network, policy_in

from robot_rlaas.bundle import OnnxPolicy, build_bundle, load_bundle
from robot_rlaas.bundle.parity import ALLOWED, check_parity
from robot_rlaas.cell.errors import InputError
from robot_rlaas.jobs.pipeline import parity_words

OBSERVATIONS = np.random.default_rng(0).normal(size=(1000, CONTRACT.observation_size)).astype(np.float32)


def stored(folder: Path, **changes: np.ndarray) -> Path:
    action = OnnxPolicy(network(), CONTRACT).act(OBSERVATIONS)
    np.savez(folder / "parity.npz", **{"observation": OBSERVATIONS, "action": action, **changes})
    return folder / "parity.npz"


def test_the_largest_difference_is_found_and_kept(tmp_path):
    policy = policy_in(tmp_path / "policy")
    action = OnnxPolicy(network(), CONTRACT).act(OBSERVATIONS).astype(np.float64)
    action[617, 2] += 4e-6
    stored(policy, action=action)
    bundle = load_bundle(build_bundle(policy, None, tmp_path / "bundle"))
    parity = bundle.manifest["parity"]
    assert parity["observations"] == 1000
    assert parity["largest_difference"] == pytest.approx(4e-6, rel=1e-3)
    assert parity["allowed"] == ALLOWED
    assert parity_words(bundle) == "4e-06 off torch at most, on 1,000 observations"


@pytest.mark.parametrize("off", [2 * ALLOWED, float("nan")])
def test_a_network_that_does_something_else_is_not_bundled(tmp_path, off):
    policy = policy_in(tmp_path / "policy")
    action = OnnxPolicy(network(), CONTRACT).act(OBSERVATIONS)
    action[3, 1] += off
    stored(policy, action=action)
    with pytest.raises(InputError, match=r"parity\.npz: the exported network's actions differ"):
        build_bundle(policy, None, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_an_exchanged_network_is_noticed(tmp_path):
    """As large a change as one weight's last quarter: no hash ties a policy's files together."""
    policy = policy_in(tmp_path / "policy")
    stored(policy)
    content = bytearray((policy / "policy.onnx").read_bytes())
    at = content.index(np.random.default_rng(3).normal(size=(28, 4)).astype(np.float32).tobytes())
    content[at + 2] ^= 0x40
    (policy / "policy.onnx").write_bytes(content)
    with pytest.raises(InputError, match="the network was exchanged or badly exported"):
        build_bundle(policy, None, tmp_path / "bundle")


@pytest.mark.parametrize(
    "changes",
    [
        {"observation": OBSERVATIONS[:, :5]},
        {"action": np.zeros((999, CONTRACT.action_size), np.float32)},
        {"observation": OBSERVATIONS[:0], "action": np.zeros((0, CONTRACT.action_size), np.float32)},
        {"action": np.array([{"pickled": "object"}], dtype=object)},
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, changes):
    """Pickled objects, too, without looking at them."""
    with pytest.raises(InputError, match="not the observations and actions of a training"):
        check_parity(stored(tmp_path, **changes), OnnxPolicy(network(), CONTRACT))


def test_a_policy_without_a_torch_network_is_said_to_be_one(tmp_path):
    bundle = load_bundle(build_bundle(policy_in(tmp_path / "policy"), None, tmp_path / "bundle"))
    assert bundle.manifest["parity"] is None
    assert parity_words(bundle) == "no torch network to compare with"
    (tmp_path / "policy" / "parity.npz").write_text(json.dumps({}))
    with pytest.raises(InputError, match=r"parity\.npz"):
        build_bundle(tmp_path / "policy", None, tmp_path / "other")
