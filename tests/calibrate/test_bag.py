"""Recordings of several files: rosbag2's split bags, written by rosbags, and plain folders of MCAP files."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hidden_plant import Motion, cut_off, write_mcap
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from robot_rlaas.calibrate.bag import METADATA, data_file
from robot_rlaas.calibrate.drives.importer import import_motion
from robot_rlaas.calibrate.drives.motion import load, save
from robot_rlaas.calibrate.log import read_log
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import load_hardware

PROFILE = load_hardware("ur5e")
T = np.arange(0, 6, 0.01)
Q = 0.3 * np.sin(2 * np.pi * 0.8 * T[:, None] + np.arange(6))
START_NS = 1_790_000_000 * 10**9
TYPES = get_typestore(Stores.ROS2_HUMBLE)


def write_bag(path: Path, rows: np.ndarray) -> dict:
    """One rosbag2 recording of joint states and commands -> its metadata."""
    state, command = "sensor_msgs/msg/JointState", "std_msgs/msg/Float64MultiArray"
    header, stamp, layout = (
        TYPES.types[name]
        for name in ("std_msgs/msg/Header", "builtin_interfaces/msg/Time", "std_msgs/msg/MultiArrayLayout")
    )
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        states = writer.add_connection(PROFILE.topics.joint_states, state, typestore=TYPES)
        commands = writer.add_connection(PROFILE.topics.command, command, typestore=TYPES)
        for row in rows:
            ns = START_NS + round(T[row] * 1e9)
            head = header(stamp(ns // 10**9, ns % 10**9), "base_link")
            message = TYPES.types[state](head, list(PROFILE.joints), Q[row], np.zeros(0), np.zeros(0))
            writer.write(states, ns, TYPES.serialize_cdr(message, state))
            message = TYPES.types[command](layout([], 0), Q[row])
            writer.write(commands, ns, TYPES.serialize_cdr(message, command))
    return yaml.safe_load((path / METADATA).read_text())


@pytest.fixture
def split(tmp_path) -> Path:
    """A recording in three files, as `ros2 bag record --max-bag-duration 2` leaves it."""
    folder, files, about = tmp_path / "split", [], {}
    folder.mkdir()
    for i, rows in enumerate(np.array_split(np.arange(len(T)), 3)):
        about = write_bag(tmp_path / f"part_{i}", rows)
        files.append(f"split_{i}.mcap")
        (tmp_path / f"part_{i}" / f"part_{i}.mcap").rename(folder / files[-1])
    whole = about["rosbag2_bagfile_information"]
    whole |= {"relative_file_paths": files, "files": [], "message_count": 2 * len(T)}
    whole["starting_time"]["nanoseconds_since_epoch"] = START_NS
    whole["duration"]["nanoseconds"] = round(T[-1] * 1e9)
    for topic in whole["topics_with_message_count"]:
        topic["message_count"] = len(T)
    (folder / METADATA).write_text(yaml.safe_dump(about))
    with Reader(folder) as reader:  # it is what rosbag2 takes for one recording
        assert sum(1 for _ in reader.messages()) == 2 * len(T)
    return folder


def test_the_files_of_a_split_recording_are_one_log(split) -> None:
    told: list[str] = []
    log = import_motion(split, PROFILE, on_event=told.append)
    np.testing.assert_allclose(log.time_s - log.time_s[0], T, atol=1e-6)
    np.testing.assert_allclose(log.position, Q, atol=1e-12)
    assert not any("gap" in line for line in told)
    assert log.source == data_file(split)
    commanded = read_log(split, PROFILE)
    np.testing.assert_allclose(commanded.q_rad, Q, atol=1e-12)
    np.testing.assert_allclose(commanded.command_rad, Q, atol=1e-12)


def test_a_plain_folder_is_read_in_the_order_of_time(split) -> None:
    (split / METADATA).unlink()
    (split / "split_0.mcap").rename(split / "z_first.mcap")
    log = import_motion(split, PROFILE, on_event=lambda _: None)
    np.testing.assert_allclose(log.position, Q, atol=1e-12)


def test_what_is_missing_between_files_is_a_gap(split) -> None:
    (split / METADATA).unlink()
    (split / "split_1.mcap").unlink()
    told: list[str] = []
    import_motion(split, PROFILE, on_event=told.append)
    assert "1 gaps of up to 2.010 s, about 200 samples missing" in told
    with pytest.raises(InputError, match=r"no joint states for 2\.01 s, 1\.99 s after the start"):
        read_log(split, PROFILE)


def test_a_file_that_is_named_and_not_there_is_told(split) -> None:
    (split / "split_1.mcap").unlink()
    with pytest.raises(InputError, match=r"(?s)metadata\.yaml: this recording lacks split_1\.mcap.*take metadata"):
        import_motion(split, PROFILE)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("storage_identifier", "sqlite3", "stored as sqlite3; only MCAP is read\n  fix: convert it"),
        ("compression_mode", "FILE", "rosbag2 compressed each file"),
        ("relative_file_paths", [], "the recording has no files"),
    ],
)
def test_other_formats_are_refused(split, key, value, message) -> None:
    content = yaml.safe_load((split / METADATA).read_text())
    content["rosbag2_bagfile_information"][key] = value
    (split / METADATA).write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=message):
        import_motion(split, PROFILE)


@pytest.mark.parametrize("text", ["", "[1, 2]", "rosbag2_bagfile_information: 3", "{", "a: b"])
def test_a_broken_description_is_refused(split, text) -> None:
    (split / METADATA).write_text(text)
    with pytest.raises(InputError, match=r"metadata\.yaml: not rosbag2's description of a recording"):
        import_motion(split, PROFILE)


def test_two_recordings_of_one_time_are_no_log(tmp_path, workcell) -> None:
    for name in ("one", "other"):
        write_mcap(tmp_path / f"{name}.mcap", workcell, Motion(T, Q, Q))
    with pytest.raises(InputError, match=r"one\.mcap and other\.mcap were recorded at the same time"):
        import_motion(tmp_path, PROFILE)


def test_a_motion_log_remembers_that_its_source_was_cut_off(tmp_path, workcell) -> None:
    told: list[str] = []
    cut = cut_off(write_mcap(tmp_path / "whole.mcap", workcell, Motion(T, Q, Q)), tmp_path / "log.mcap", 0.7)
    log = import_motion(cut, PROFILE, on_event=told.append)
    assert told[0].startswith("log.mcap: cut off: what came after")
    assert log.source.lost == (told[0],)
    assert len(log.time_s) < len(T)
    save(log, tmp_path / "log.parquet")
    assert load(tmp_path / "log.parquet").source == log.source


def test_an_empty_folder_is_no_log(tmp_path) -> None:
    with pytest.raises(InputError, match="there is no MCAP file in this folder"):
        read_log(tmp_path, PROFILE)
