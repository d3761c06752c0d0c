"""A dataset as it is found, damaged or not: what can be read, and what cannot and why."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError
from robot_rlaas.data.episode import Episode
from robot_rlaas.data.lerobot import AGAIN, PICTURES, episode_from, features, read_files
from robot_rlaas.data.lineage import WHOLE, Lineage, read_lineage


class Damage(NamedTuple):
    """What is wrong with the files of one episode.

    Attributes:
        episode: its index in the dataset.
        text: what is missing.
        lost: nothing of the episode can be used.
    """

    episode: int
    text: str
    lost: bool


class Video(NamedTuple):
    """Where one episode's pictures of one camera stand: seconds within a file."""

    camera: str
    file: Path
    begin_s: float
    end_s: float


class Opened(NamedTuple):
    """A dataset.

    Attributes:
        path: its directory.
        lineage: what it says of itself.
        contract: of its vectors.
        episodes: those that can be read, by their index.
        damage: of the others, and of those that are not whole.
        videos: by the index of their episode.
        cameras: (height, width) of each one's pictures.
    """

    path: Path
    lineage: Lineage
    contract: Contract
    episodes: dict[int, Episode]
    damage: tuple[Damage, ...]
    videos: dict[int, tuple[Video, ...]]
    cameras: dict[str, tuple[int, int]]


def open_dataset(path: Path) -> Opened:
    """Read what can be read.

    Raises:
        InputError: if `meta/rlaas.json` or `meta/info.json` cannot be read: then nothing says what the rest is.
    """
    lineage = read_lineage(path)
    contract = Contract.from_json(lineage.contract)
    cameras = _cameras(path / "meta" / "info.json")
    wanted = features(contract, lineage.start_axes, {}).keys() - {AGAIN, "next.success", "next.done"}
    episodes, damage, unreadable = dict[int, Episode](), list[Damage](), list[str]()
    for file in sorted((path / "data").rglob("*.parquet")):
        try:
            columns = read_files([file], (*wanted, "episode_index", "frame_index"))
        except InputError as error:
            unreadable.append(f"{file.relative_to(path)} cannot be read ({error.message})")
            continue
        for index, rows in _runs(columns["episode_index"]):
            if index < len(lineage.episodes):
                episodes[index] = episode_from(columns, rows, lineage.episodes[index])
                damage += _rows_missing(index, columns["frame_index"][rows], lineage.episodes[index].steps)
    why = "; ".join(unreadable) or "no file holds its frames"
    damage += [Damage(i, why, lost=True) for i in range(len(lineage.episodes)) if i not in episodes]
    videos, more = _videos(path, tuple(cameras), len(lineage.episodes))
    damage += more
    return Opened(path, lineage, contract, episodes, tuple(sorted(damage)), videos, cameras)


def _cameras(info: Path) -> dict[str, tuple[int, int]]:
    """(height, width) of the pictures of each camera that LeRobot's table of features names."""
    try:
        about = json.loads(info.read_text())["features"]
        sizes = {name: feature["shape"][:2] for name, feature in about.items() if name.startswith(PICTURES)}
        return {name.removeprefix(PICTURES): (int(height), int(width)) for name, (height, width) in sizes.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"not LeRobot's description of a dataset ({error})", file=info, fix=WHOLE) from error


def _runs(index: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Stretches of equal values."""
    edges = [0, *(np.flatnonzero(np.diff(index)) + 1), len(index)]
    for begin, end in pairwise(edges):
        if end > begin:
            yield int(index[begin]), slice(int(begin), int(end))


def _rows_missing(episode: int, frame: np.ndarray, steps: int) -> Iterator[Damage]:
    if len(frame) != steps or (frame != np.arange(steps)).any():
        yield Damage(episode, f"{len(frame)} frames are stored, {steps} were recorded", lost=False)


def _videos(path: Path, cameras: tuple[str, ...], count: int) -> tuple[dict[int, tuple[Video, ...]], list[Damage]]:
    """Where each episode's pictures stand, from LeRobot's table of episodes."""
    if not cameras:
        return {}, []
    fields = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
    names = [f"videos/{PICTURES}{camera}/{field}" for camera in cameras for field in fields]
    try:
        files = sorted((path / "meta" / "episodes").rglob("*.parquet"))
        table = read_files(files, ("episode_index", *names))
    except InputError as error:
        text = f"the table of episodes cannot be read ({error.message}): nothing tells where its pictures are"
        return {}, [Damage(i, text, lost=False) for i in range(count)]
    videos = {}
    for row, index in enumerate(table["episode_index"]):
        found = []
        for camera in cameras:
            chunk, number, begin, end = (table[f"videos/{PICTURES}{camera}/{field}"][row] for field in fields)
            file = path / "videos" / f"{PICTURES}{camera}" / f"chunk-{chunk:03d}" / f"file-{number:03d}.mp4"
            found.append(Video(camera, file, float(begin), float(end)))
        videos[int(index)] = tuple(found)
    return videos, []


def pictures(video: Video, count: int) -> np.ndarray:
    """Decode one episode's pictures of one camera -> (count, height, width, 3) uint8.

    Args:
        count: how many frames the episode has.

    Raises:
        InputError: if the file cannot be decoded, or ends before them.
    """
    return np.stack(list(frames(video, count)))


def frames(video: Video, count: int) -> Iterator[np.ndarray]:
    """As `pictures`, one by one."""
    import av

    done, half = 0, 0.5 * (video.end_s - video.begin_s) / max(count, 1)
    try:
        with av.open(str(video.file)) as container:
            stream = container.streams.video[0]
            if stream.time_base is None:
                raise InputError("the stream has no time base")
            container.seek(int(max(0.0, video.begin_s - half) / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if done < count and frame.time is not None and frame.time >= video.begin_s - half:
                    yield frame.to_ndarray(format="rgb24")
                    done += 1
                if done == count:
                    return
    except (av.FFmpegError, OSError, IndexError) as error:
        raise InputError(f"its pictures cannot be decoded ({error})", file=video.file) from error
    raise InputError(f"its pictures end after {done} of {count} frames", file=video.file)
