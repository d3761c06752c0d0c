"""Episodes as a LeRobotDataset v3 on disk, and back. Nothing here asks the network."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from robot_rlaas.cell.contract import Contract, Feature
from robot_rlaas.cell.errors import InputError
from robot_rlaas.data.episode import START_AXES, Episode
from robot_rlaas.files import staged_dir, write_json

LINEAGE = "rlaas.json"
EXECUTED = "complementary_info.executed_action"
START = "complementary_info.start"  # not an observation: training tools take those as inputs
AGAIN = "observation.environment_state"  # the state a second time: LeRobot's ACT wants this or an image
REGENERATE = "generate it again with 'rlaas demos generate'"


def _lerobot_dataset() -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ImportError as error:
        raise InputError("datasets need lerobot", fix="pip install 'robot_rlaas[train]'") from error
    return LeRobotDataset


def features(contract: Contract, start: tuple[str, ...] = START_AXES) -> dict[str, dict[str, Any]]:
    """LeRobot's feature table for a contract, and for starts whose columns are called so."""

    def vector(names: list[str]) -> dict[str, Any]:
        return {"dtype": "float32", "shape": (len(names),), "names": names}

    def names(side: tuple[Feature, ...]) -> list[str]:
        return [f"{feature.name}.{axis}" for feature in side for axis in feature.axes]

    action = names(contract.action)
    return {
        "observation.state": vector(names(contract.observation)),
        AGAIN: vector(names(contract.observation)),
        START: vector(list(start)),
        "action": vector(action),
        EXECUTED: vector(action),
        "next.reward": vector(["reward"]),
        "next.success": {"dtype": "bool", "shape": (1,), "names": ["success"]},
        "next.done": {"dtype": "bool", "shape": (1,), "names": ["done"]},
    }


def write_dataset(
    path: Path,
    contract: Contract,
    episodes: list[Episode],
    task: str,
    lineage: dict[str, Any],
    on_episode: Callable[[], None] = lambda: None,
    start: tuple[str, ...] = START_AXES,
) -> None:
    """Write the episodes as one LeRobotDataset; the directory appears when it is complete.

    Args:
        path: its directory.
        contract: what the vectors mean; it becomes the feature table.
        episodes: in the order in which they are stored.
        task: LeRobot's task sentence.
        lineage: what made it: cell hash, seed, demonstrator. Stored beside the contract in meta/rlaas.json.
        on_episode: called as each one is stored.
        start: what the columns of the episodes' starts are called.
    """
    dataset_type = _lerobot_dataset()
    with staged_dir(path) as part, _without_image_pass():
        dataset = dataset_type.create(
            repo_id=f"local/{path.name}",
            fps=round(contract.rate_hz),
            features=features(contract, start),
            root=part,
            video_backend="pyav",
        )
        for episode in episodes:
            for frame in _frames(episode, task):
                dataset.add_frame(frame)
            dataset.save_episode()
            on_episode()
        dataset.finalize()
        outcomes = [
            {"episode": e.number, "success": e.success, "peak_force_N": e.peak_force_N, "steps": len(e.action)}
            for e in episodes
        ]
        write_json(part / "meta" / LINEAGE, {"contract": contract.to_json(), "outcomes": outcomes, **lineage})


@contextmanager
def _without_image_pass() -> Iterator[None]:
    """Skip LeRobot's pass that embeds images, row by row, into tables without any: most of the time."""
    import datasets
    from lerobot.datasets import dataset_writer

    embed = dataset_writer.embed_images
    dataset_writer.embed_images = lambda table: table
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        dataset_writer.embed_images = embed
        datasets.enable_progress_bars()


def _frames(episode: Episode, task: str):
    start = episode.start.astype(np.float32)
    last = len(episode.action) - 1
    for t in range(last + 1):
        yield {
            "observation.state": episode.observation[t],
            AGAIN: episode.observation[t],
            START: start,
            "action": episode.action[t],
            EXECUTED: episode.executed[t],
            "next.reward": episode.reward[t : t + 1],
            "next.success": np.array([t == last and episode.success]),
            "next.done": np.array([t == last]),
            "task": task,
        }


def read_lineage(path: Path) -> dict[str, Any]:
    """meta/rlaas.json of a dataset.

    Raises:
        InputError: if it is missing or damaged.
    """
    file = path / "meta" / LINEAGE
    try:
        return json.loads(file.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"not a dataset of this project ({error})", file=file, fix=REGENERATE) from error


def read_dataset(path: Path, contract: Contract) -> list[Episode]:
    """Read a dataset back.

    Raises:
        InputError: if it is damaged, truncated, or made under another contract.
    """
    lineage = read_lineage(path)
    if Contract.from_json(lineage["contract"]).hash != contract.hash:
        raise InputError("the dataset was made under another contract than the cell's", file=path, fix=REGENERATE)
    columns = _columns(path, (*(features(contract).keys() - {AGAIN}), "episode_index"))
    outcomes = lineage["outcomes"]
    counts = np.bincount(columns["episode_index"], minlength=len(outcomes))
    expected = [outcome["steps"] for outcome in outcomes]
    if counts.tolist() != expected:
        raise InputError(
            f"{int(counts.sum())} frames in {len(counts)} episodes, {sum(expected)} in {len(expected)} were recorded",
            file=path,
            fix=REGENERATE,
        )
    ends = np.cumsum(counts)
    return [_episode(columns, slice(end - n, end), outcome) for n, end, outcome in zip(counts, ends, outcomes)]


def _columns(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Whole columns from the dataset's Parquet files: many times faster than LeRobot's frame by frame reading."""
    import pyarrow
    import pyarrow.parquet as parquet

    files = sorted((path / "data").rglob("*.parquet"))
    try:
        table = pyarrow.concat_tables([parquet.read_table(file, columns=list(names)) for file in files])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"the dataset cannot be read ({error})", file=path / "data", fix=REGENERATE) from error
    return {name: _array(table.column(name).combine_chunks()) for name in names}


def _array(column: Any) -> np.ndarray:
    """A column of numbers, or of lists of equal length, as an array (rows,) or (rows, size)."""
    if "list" not in str(column.type):
        return column.to_numpy(zero_copy_only=False)
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def _episode(columns: dict[str, np.ndarray], rows: slice, outcome: dict[str, Any]) -> Episode:
    return Episode(
        number=outcome["episode"],
        observation=columns["observation.state"][rows],
        action=columns["action"][rows],
        executed=columns[EXECUTED][rows],
        reward=columns["next.reward"][rows].reshape(-1),
        success=outcome["success"],
        peak_force_N=outcome["peak_force_N"],
        start=columns[START][rows][0],
    )
