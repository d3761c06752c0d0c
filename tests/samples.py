"""What several rooms' tests need: a policy as training leaves it, and a watch that keeps what it is told."""

import json
from pathlib import Path
from typing import Any

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.insertion import task as insertion


def policy_directory(folder: Path, cell: CellSpec, network: bytes, **changes: Any) -> Path:
    """policy.onnx and policy.json; `changes` replace keys of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.onnx").write_bytes(network)
    description = {
        "format": 1,
        "contract": insertion.contract(cell).to_json(),
        "cell": cell.model_dump(mode="json"),
        "cell_hash": cell.hash,
        "seed": 0,
        "provenance": {},
    }
    (folder / "policy.json").write_text(json.dumps(description | changes))
    return folder


class Notes:
    """Implements `pipeline.Watch`."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def bar(self, text: str, done: float, total: float) -> None:
        assert 0 <= done <= total
