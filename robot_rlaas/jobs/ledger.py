"""Which stages of a run are finished, from which inputs, at what cost."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from robot_rlaas.files import write_json

FOLDER = ".stages"


class Entry(NamedTuple):
    """A finished stage.

    Attributes:
        key: over everything it was made from. It is finished for these inputs and for no others.
        wall_s, core_s: what it cost.
        result: one line.
        passed: whether it met what was required of it.
    """

    key: str
    wall_s: float
    core_s: float
    result: str
    passed: bool


class Ledger:
    """The finished stages of the run in a directory. An entry is written after its artefact is complete."""

    def __init__(self, out: Path) -> None:
        self._folder = out / FOLDER

    def find(self, stage: str, key: str) -> Entry | None:
        """The entry of a stage, if it is finished for these inputs."""
        try:
            entry = Entry(**json.loads((self._folder / f"{stage}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return entry if entry.key == key else None

    def write(self, stage: str, entry: Entry) -> None:
        """Note that a stage is finished."""
        write_json(self._folder / f"{stage}.json", entry._asdict())

    def forget(self, stage: str) -> None:
        """The stage is about to be made anew."""
        (self._folder / f"{stage}.json").unlink(missing_ok=True)


def key_of(*inputs: Any) -> str:
    """A key over JSON-able inputs."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
