"""What a dataset says of itself beside LeRobot's tables: `meta/rlaas.json`."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space, sequence_json
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.data.episode import SCRIPTED, Episode
from robot_rlaas.files import sha256_tree

LINEAGE = "rlaas.json"
FORMAT = 2
REGENERATE = "generate it again with 'rlaas demos generate'"
WHOLE = "name a dataset that 'rlaas demos' wrote, or restore the file from a copy"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Attempt(_Frozen):
    """One episode.

    Attributes:
        number: in its sequence.
        seed, space, key: the sequence that its start was drawn from; None for an episode that nobody drew.
        success: by the task's own predicate, or by whoever relabelled it.
        peak_force_N: largest contact force.
        steps: frames.
        operator: who demonstrated.
        recorded_at: when, ISO 8601; None for what a script makes again at any time.
    """

    number: int
    seed: int | None
    space: str | None
    key: tuple[int, ...]
    success: bool
    peak_force_N: float
    steps: int
    operator: str
    recorded_at: str | None = None

    @property
    def seeds(self) -> Seeds | None:
        """The sequence that its start was drawn from."""
        if self.seed is None or self.space is None:
            return None
        return Seeds(self.seed, Space[self.space], self.key)


class Parent(_Frozen):
    """A dataset that another was made of, with all that it said of its own making."""

    name: str
    sha256: str
    made: "Made"


class Made(_Frozen):
    """How a dataset came about.

    Attributes:
        by: the command.
        settings: what it was told.
        parents: the datasets that it took.
        left_out: one line per episode of a parent that is not in it as it was, with the reason.
    """

    by: str
    settings: dict[str, Any] = {}
    parents: tuple[Parent, ...] = ()
    left_out: tuple[str, ...] = ()


class Lineage(_Frozen):
    """`meta/rlaas.json`.

    Attributes:
        rlaas_demos: the format.
        contract: what the vectors mean.
        cell: the whole cell that it was recorded in, so that it can be simulated again.
        cell_hash: of that cell.
        start_axes: what the columns of the episodes' starts are called; none where nobody knows the true starts.
        episodes: in the order in which they are stored.
        made: how it came about.
    """

    rlaas_demos: Literal[2] = FORMAT
    contract: dict[str, Any]
    cell: dict[str, Any]
    cell_hash: str
    start_axes: tuple[str, ...]
    episodes: tuple[Attempt, ...] = Field(default=())
    made: Made

    @property
    def spec(self) -> CellSpec:
        """The cell that it was recorded in."""
        return CellSpec.model_validate(self.cell)

    @property
    def led_by(self) -> tuple[str, ...]:
        """Who demonstrated, besides the scripted expert."""
        return tuple(dict.fromkeys(a.operator for a in self.episodes if a.operator != SCRIPTED))

    @property
    def sequences(self) -> list[dict[str, Any]]:
        """The sequences that its episodes were drawn from, as a policy's provenance lists them."""
        drawn = dict.fromkeys(a.seeds for a in self.episodes if a.seeds is not None)
        return [sequence_json(seeds) for seeds in drawn]


def lineage_of(cell: CellSpec, contract: Contract, start_axes: tuple[str, ...], made: Made) -> Lineage:
    """Of a dataset without episodes yet."""
    return Lineage(
        contract=contract.to_json(),
        cell=cell.model_dump(mode="json"),
        cell_hash=cell.hash,
        start_axes=start_axes,
        made=made,
    )


def parent_of(path: Path, lineage: Lineage) -> Parent:
    """The dataset in this directory, as one that another is made of."""
    return Parent(name=path.name, sha256=sha256_tree(path), made=lineage.made)


def attempt_of(episode: Episode) -> Attempt:
    """What is noted of an episode beside its frames."""
    seeds = episode.seeds
    return Attempt(
        number=episode.number,
        seed=None if seeds is None else seeds.seed,
        space=None if seeds is None else seeds.space.name,
        key=() if seeds is None else seeds.key,
        success=episode.success,
        peak_force_N=episode.peak_force_N,
        steps=len(episode.action),
        operator=episode.operator,
        recorded_at=episode.recorded_at,
    )


def read_lineage(path: Path) -> Lineage:
    """`meta/rlaas.json` of the dataset in this directory.

    Raises:
        InputError: if it is missing, damaged, or of another format.
    """
    file = path / "meta" / LINEAGE
    try:
        return Lineage.model_validate(json.loads(file.read_text()))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"not a dataset of this project ({error})", file=file, fix=WHOLE) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        fix = f"a dataset of an older version: {REGENERATE}" if where == "rlaas_demos" else WHOLE
        raise InputError(f"'{where}': {first['msg']}", file=file, fix=fix) from error
