"""Episodes as a LeRobotDataset v3 on disk, and back. Nothing here asks the network."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from robot_rlaas.cell.contract import Contract, components
from robot_rlaas.cell.errors import InputError
from robot_rlaas.data.episode import Episode
from robot_rlaas.data.lineage import LINEAGE, REGENERATE, Attempt, Lineage, attempt_of, read_lineage
from robot_rlaas.files import staged_dir, write_json

# What is no observation stands where training tools do not take it for one.
EXECUTED = "complementary_info.executed_action"
START = "complementary_info.start"
STAMP = "complementary_info.stamp_s"
LATE = "complementary_info.is_late"
CORRECTED = "complementary_info.is_intervention"
AGAIN = "observation.environment_state"  # the state a second time: LeRobot's ACT wants this or an image
PICTURES = "observation.images."

Size = tuple[int, int]


def _lerobot_dataset() -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ImportError as error:
        raise InputError("datasets need lerobot", fix="pip install 'robot_rlaas[train]'") from error
    return LeRobotDataset


def warm_up() -> None:
    """Import LeRobot, which takes seconds, before somebody waits for an episode to be stored."""
    _lerobot_dataset()


def features(contract: Contract, start: Sequence[str], cameras: Mapping[str, Size]) -> dict[str, dict[str, Any]]:
    """LeRobot's feature table.

    Args:
        contract: of the vectors.
        start: what the columns of the starts are called; none where they are not known.
        cameras: (height, width) of each one's pictures.
    """

    def vector(names: list[str]) -> dict[str, Any]:
        return {"dtype": "float32", "shape": (len(names),), "names": names}

    def flag(name: str) -> dict[str, Any]:
        return {"dtype": "bool", "shape": (1,), "names": [name]}

    def pictures(size: Size) -> dict[str, Any]:
        return {"dtype": "video", "shape": (*size, 3), "names": ["height", "width", "channels"]}

    state, action = components(contract.observation), components(contract.action)
    return {
        "observation.state": vector(state),
        AGAIN: vector(state),
        **({START: vector(list(start))} if start else {}),
        "action": vector(action),
        EXECUTED: vector(action),
        "next.reward": vector(["reward"]),
        "next.success": flag("success"),
        "next.done": flag("done"),
        STAMP: {"dtype": "float64", "shape": (1,), "names": ["stamp_s"]},
        LATE: flag("late"),
        CORRECTED: flag("intervention"),
        **{PICTURES + name: pictures(size) for name, size in cameras.items()},
    }


def write_dataset(
    path: Path,
    lineage: Lineage,
    episodes: Iterable[Episode],
    on_episode: Callable[[], None] = lambda: None,
    cameras: Mapping[str, Size] | None = None,
) -> None:
    """Write the episodes as one LeRobotDataset; the directory appears when it is complete.

    Args:
        path: its directory.
        lineage: what is said of it; its episodes are those that are given here.
        episodes: in the order in which they are stored.
        on_episode: called as each one is stored.
        cameras: (height, width) of the pictures that every episode brings.
    """
    contract = Contract.from_json(lineage.contract)
    with staged_dir(path) as part:
        dataset = _lerobot_dataset().create(
            repo_id=f"local/{path.name}",
            fps=round(contract.rate_hz),
            features=features(contract, lineage.start_axes, cameras or {}),
            root=part,
            video_backend="pyav",
        )
        attempts = _store(dataset, lineage, episodes, on_episode)
        write_json(part / "meta" / LINEAGE, _with_episodes(lineage, attempts))


def append_episode(path: Path, episode: Episode) -> None:
    """Add an episode to a dataset. Whatever happens meanwhile, the directory holds it whole or is as it was before."""
    lineage = read_lineage(path)
    with staged_dir(path) as part:
        shutil.copytree(path, part, copy_function=_link)
        with _newest_episodes_only():
            dataset = _lerobot_dataset().resume(repo_id=f"local/{path.name}", root=part, video_backend="pyav")
        attempts = _store(dataset, lineage, [episode], lambda: None)
        write_json(part / "meta" / LINEAGE, _with_episodes(lineage, [*lineage.episodes, *attempts]))


def _link(source: str, target: str) -> None:
    """LeRobot writes frames and videos into new files, but its tables of contents anew into the same one."""
    if Path(source).suffix in (".parquet", ".mp4") and Path(source).name != "tasks.parquet":
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def _with_episodes(lineage: Lineage, attempts: Sequence[Attempt]) -> dict[str, Any]:
    return lineage.model_copy(update={"episodes": tuple(attempts)}).model_dump(mode="json")


def _store(
    dataset: Any, lineage: Lineage, episodes: Iterable[Episode], on_episode: Callable[[], None]
) -> list[Attempt]:
    task, attempts = str(lineage.cell["description"]), []
    with _without_image_pass():
        for episode in episodes:
            for frame in _frames(episode, task):
                dataset.add_frame(frame)
            with _as_urgent_as_before():
                dataset.save_episode(parallel_encoding=False)
            attempts.append(attempt_of(episode))
            on_episode()
        dataset.finalize()
    return attempts


@contextmanager
def _as_urgent_as_before() -> Iterator[None]:
    """Run by root, AV1's encoder gives its caller the highest real-time priority: an arm beside it would starve."""
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


@contextmanager
def _newest_episodes_only() -> Iterator[None]:
    """Let LeRobot read the newest table of episodes alone: to go on it needs the last row, and takes long for all."""
    import pyarrow.parquet as parquet
    from datasets import Dataset
    from lerobot.datasets import dataset_metadata

    def newest(root: Path) -> Any:
        file = parquet.ParquetFile(max((root / "meta" / "episodes").rglob("*.parquet")))
        wanted = [name for name in file.schema_arrow.names if not name.startswith("stats/")]
        return Dataset.from_dict(file.read(wanted).to_pydict())

    load = dataset_metadata.load_episodes
    dataset_metadata.load_episodes = newest
    try:
        yield
    finally:
        dataset_metadata.load_episodes = load


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


def _frames(episode: Episode, task: str) -> Iterator[dict[str, Any]]:
    start = {START: episode.start.astype(np.float32)} if len(episode.start) else {}
    last = len(episode.action) - 1
    for t in range(last + 1):
        yield {
            "observation.state": episode.observation[t],
            AGAIN: episode.observation[t],
            **start,
            "action": episode.action[t],
            EXECUTED: episode.executed[t],
            "next.reward": episode.reward[t : t + 1],
            "next.success": np.array([t == last and episode.success]),
            "next.done": np.array([t == last]),
            STAMP: episode.stamp_s[t : t + 1],
            LATE: episode.late[t : t + 1],
            CORRECTED: episode.corrected[t : t + 1],
            **{PICTURES + name: taken[t] for name, taken in (episode.pictures or {}).items()},
            "task": task,
        }


def read_dataset(path: Path, contract: Contract) -> list[Episode]:
    """Read a dataset back, without its pictures.

    Raises:
        InputError: if it is damaged, truncated, or made under another contract.
    """
    lineage = read_lineage(path)
    if Contract.from_json(lineage.contract).hash != contract.hash:
        raise InputError("the dataset was made under another contract than the cell's", file=path, fix=REGENERATE)
    wanted = features(contract, lineage.start_axes, {}).keys() - {AGAIN, "next.success", "next.done"}
    columns = read_columns(path, (*wanted, "episode_index"))
    counts = np.bincount(columns["episode_index"], minlength=len(lineage.episodes))
    expected = [attempt.steps for attempt in lineage.episodes]
    if counts.tolist() != expected:
        raise InputError(
            f"{int(counts.sum())} frames in {len(counts)} episodes, {sum(expected)} in {len(expected)} were recorded",
            file=path,
            fix=REGENERATE,
        )
    ends = np.cumsum(counts)
    return [episode_from(columns, slice(end - n, end), of) for n, end, of in zip(counts, ends, lineage.episodes)]


def read_columns(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Whole columns from the dataset's Parquet files: many times faster than LeRobot's frame by frame reading.

    Returns:
        Each column (rows,), or (rows, size) where its rows are vectors.

    Raises:
        InputError: if a file or a column is missing or damaged.
    """
    try:
        return read_files(sorted((path / "data").rglob("*.parquet")), names)
    except InputError as error:
        raise InputError(f"the dataset cannot be read ({error.message})", file=path / "data", fix=REGENERATE) from error


def read_files(files: Sequence[Path], names: Iterable[str]) -> dict[str, np.ndarray]:
    """As `read_columns`, from these files."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        table = pyarrow.concat_tables([parquet.read_table(file, columns=list(names)) for file in files])
        return {name: _array(table.column(name).combine_chunks()) for name in table.column_names}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(" ".join(str(error).split()), file=files[0] if len(files) == 1 else None) from error


def _array(column: Any) -> np.ndarray:
    if "list" not in str(column.type):
        return column.to_numpy(zero_copy_only=False)
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def episode_from(columns: dict[str, np.ndarray], rows: slice, attempt: Attempt) -> Episode:
    """The episode that stands in these rows of the columns."""
    starts = columns.get(START)
    return Episode(
        number=attempt.number,
        observation=columns["observation.state"][rows],
        action=columns["action"][rows],
        executed=columns[EXECUTED][rows],
        reward=columns["next.reward"][rows].reshape(-1),
        success=attempt.success,
        peak_force_N=attempt.peak_force_N,
        start=np.zeros(0) if starts is None else starts[rows][0],
        stamp_s=columns[STAMP][rows],
        late=columns[LATE][rows],
        corrected=columns[CORRECTED][rows],
        seeds=attempt.seeds,
        operator=attempt.operator,
        recorded_at=attempt.recorded_at,
    )
