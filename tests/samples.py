"""What several rooms' tests need."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from robot_rlaas.bundle.keys import PrivateKey, make_pair, read_private
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.sim.backend import Physics


def policy_directory(folder: Path, cell: CellSpec, network: bytes, **changes: Any) -> Path:
    """policy.onnx and policy.json; `changes` replace keys of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.onnx").write_bytes(network)
    description = {
        "format": 1,
        "contract": contract_of(cell).to_json(),
        "cell": cell.model_dump(mode="json"),
        "cell_hash": cell.hash,
        "seed": 0,
        "provenance": {},
    }
    (folder / "policy.json").write_text(json.dumps(description | changes))
    return folder


def signing_key(folder: Path, name: str = "tester") -> PrivateKey:
    """A new key without a passphrase."""
    return read_private(make_pair(folder, name).private, lambda: "")


TINY_ACT = {  # settings of a LeRobot policy that is made in a moment
    "chunk_size": 5,
    "n_action_steps": 3,
    "dim_model": 32,
    "n_heads": 2,
    "dim_feedforward": 32,
    "n_encoder_layers": 1,
    "n_vae_encoder_layers": 1,
    "latent_dim": 4,
    "pretrained_backbone_weights": None,
    "device": "cpu",
}


def watch_forces(env: BatchEnv) -> list[np.ndarray]:
    """A list that gets the largest contact forces (n,) of every period from now on."""
    forces: list[np.ndarray] = []
    rollout = env.backend.step

    def watched(setpoints: np.ndarray, opening: np.ndarray) -> Physics:
        physics = rollout(setpoints, opening)
        forces.append(physics.contact_N.copy())
        return physics

    env.backend.step = watched
    return forces


class Notes:
    """Implements `pipeline.Watch`."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def bar(self, text: str, done: float, total: float) -> None:
        assert 0 <= done <= total
