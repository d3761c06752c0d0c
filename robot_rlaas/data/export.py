"""Datasets for other tools: LeRobot without what is ours, and MCAP for Foxglove and PlotJuggler."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from robot_rlaas.cell.contract import Feature
from robot_rlaas.data.edit import fresh, whole
from robot_rlaas.data.lineage import LINEAGE
from robot_rlaas.data.opened import Opened, frames
from robot_rlaas.files import staged_dir, write_json

OURS = "complementary_info."
RULE = "=" * 80
HEADER = f"{RULE}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
TIME = f"{RULE}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
COMPRESSED_IMAGE = f"std_msgs/Header header\nstring format\nuint8[] data\n{HEADER}{TIME}"


def to_lerobot(opened: Opened, out: Path) -> None:
    """A plain LeRobotDataset: state, action, reward, success and pictures, as they are, and nothing of ours.

    Raises:
        InputError: if an episode cannot be read, or `out` is there.
    """
    whole(opened)
    fresh(out)
    with staged_dir(out) as part:
        shutil.copytree(opened.path, part)
        (part / "meta" / LINEAGE).unlink()
        for file in part.rglob("*.parquet"):
            _drop_ours(file)
        for name in ("info.json", "stats.json"):
            content = json.loads((part / "meta" / name).read_text())
            table = content["features"] if name == "info.json" else content
            for feature in [feature for feature in table if feature.startswith(OURS)]:
                del table[feature]
            write_json(part / "meta" / name, content)


def _drop_ours(file: Path) -> None:
    """Without our columns, and without what the datasets library noted of them; one row group per episode remains."""
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetFile(file) as source:
        kept = [name for name in source.schema_arrow.names if not name.removeprefix("stats/").startswith(OURS)]
        if len(kept) == len(source.schema_arrow.names):
            return
        groups = [source.read_row_group(i, columns=kept) for i in range(source.num_row_groups)]
    schema = pyarrow.schema([groups[0].schema.field(name) for name in kept])
    with parquet.ParquetWriter(file, schema) as target:
        for group in groups:
            target.write_table(group.select(kept).cast(schema))


def to_mcap(opened: Opened, out: Path, on_episode: Callable[[], None]) -> None:
    """A directory with one MCAP file per episode.

    Each feature of the contract is a topic of its own, as a ROS 2 message whose fields are its axes, with the frame in
    its header: /observation/force has x, y and z in N. Pictures are sensor_msgs/CompressedImage. Times count from the
    episode's start.

    Raises:
        InputError: if an episode cannot be read, or `out` is there.
    """
    whole(opened)
    fresh(out)
    with staged_dir(out) as part:
        part.mkdir()
        digits = len(str(max(opened.episodes)))
        for index in sorted(opened.episodes):
            _mcap(opened, index, part / f"episode_{index:0{digits}d}.mcap")
            on_episode()
        shutil.copy2(opened.path / "meta" / LINEAGE, part / LINEAGE)


def _mcap(opened: Opened, index: int, path: Path) -> None:
    from mcap_ros2.writer import Writer

    episode, contract = opened.episodes[index], opened.contract
    observed = contract.unpack(episode.observation)
    wanted, done = (_split(side, contract.action) for side in (episode.action, episode.executed))
    sides = [(f"/observation/{f.name}", f, observed[f.name]) for f in contract.observation]
    sides += [(f"/action/{f.name}", f, wanted[f.name]) for f in contract.action]
    sides += [(f"/executed/{f.name}", f, done[f.name]) for f in contract.action]
    flags = Feature("outcome", ("reward", "is_late", "is_intervention"), "1", "-", -np.inf, np.inf)
    values = np.column_stack([episode.reward, episode.late, episode.corrected])
    sides.append(("/episode/frame", flags, values))
    with path.open("wb") as file, Writer(file) as writer:
        schemas = {f.name: writer.register_msgdef(_type_name(f), _definition(f)) for _, f, _ in sides}
        image = writer.register_msgdef("sensor_msgs/msg/CompressedImage", COMPRESSED_IMAGE)
        films = {v.camera: frames(v, len(episode.action)) for v in opened.videos.get(index, ())}
        for t, stamp_s in enumerate(episode.stamp_s):
            at_ns = round(float(stamp_s) * 1e9)
            for topic, feature, rows in sides:
                fields = dict(zip(feature.axes, map(float, rows[t])))
                message = {"header": _header(at_ns, feature.frame), **fields}
                writer.write_message(topic, schemas[feature.name], message, at_ns, at_ns, t)
            for camera, film in films.items():
                message = {"header": _header(at_ns, camera), "format": "jpeg", "data": _jpeg(next(film))}
                writer.write_message(f"/{camera}/image/compressed", image, message, at_ns, at_ns, t)


def _split(values: np.ndarray, side: tuple[Feature, ...]) -> dict[str, np.ndarray]:
    ends = np.cumsum([len(f.axes) for f in side])
    return {f.name: values[:, end - len(f.axes) : end] for f, end in zip(side, ends)}


def _type_name(feature: Feature) -> str:
    return f"rlaas_msgs/msg/{''.join(word.capitalize() for word in feature.name.split('_'))}"


def _definition(feature: Feature) -> str:
    fields = "".join(f"float64 {axis}  # {feature.unit}\n" for axis in feature.axes)
    return f"std_msgs/Header header\n{fields}{HEADER}{TIME}"


def _header(at_ns: int, frame: str) -> dict[str, object]:
    return {"stamp": {"sec": at_ns // 10**9, "nanosec": at_ns % 10**9}, "frame_id": frame.strip("-")}


def _jpeg(picture: np.ndarray) -> bytes:
    done, content = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert done
    return content.tobytes()
