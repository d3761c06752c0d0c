"""Where a log's messages stand: one MCAP file, a rosbag2 directory of several, or a plain folder of MCAP files."""

from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from robot_rlaas.calibrate.cut_off import is_cut, told
from robot_rlaas.cell.calibration import DataFile
from robot_rlaas.cell.errors import InputError
from robot_rlaas.files import sha256_file, sha256_tree

METADATA = "metadata.yaml"
CONVERT = "convert it to plain MCAP files with 'ros2 bag convert'"


def is_bag(path: Path) -> bool:
    """Whether a directory holds a recording: rosbag2's description of one, or MCAP files."""
    return path.is_dir() and ((path / METADATA).is_file() or any(path.glob("*.mcap")))


def mcap_files(path: Path) -> list[Path]:
    """The MCAP files of a log: the file itself, those that a rosbag2 directory names, or all of a folder.

    Raises:
        InputError: if there is none, a file that is named is missing, or they are of another format.
    """
    if not path.is_dir():
        return [path]
    if not (path / METADATA).is_file():
        found = sorted(path.glob("*.mcap"))
        if not found:
            raise InputError("there is no MCAP file in this folder", file=path, fix="name the folder of a recording")
        return found
    named = [path / PurePosixPath(name).name for name in _named(path / METADATA)]  # older bags name themselves first
    missing = [file.name for file in named if not file.is_file()]
    if missing:
        fix = "copy all files of the recording, or take metadata.yaml out to read those that are there"
        raise InputError(f"this recording lacks {', '.join(missing)}", file=path / METADATA, fix=fix)
    return named


def data_file(path: Path) -> DataFile:
    """A log as it stands in a result: its name, the SHA-256 of its content, and what is missing of it.

    Raises:
        InputError: if it cannot be read.
    """
    missing = lost(path)
    return DataFile(file=path.name, sha256=sha256_tree(path) if path.is_dir() else sha256_file(path), lost=missing)


def lost(path: Path) -> tuple[str, ...]:
    """What is missing of a log, a line per file of it that was cut off.

    Raises:
        InputError: if a file cannot be read, or is damaged besides.
    """
    files = [] if path.is_dir() and not is_bag(path) else mcap_files(path)
    return tuple(f"{file.name}: {told(file)}" for file in files if is_cut(file))


def _named(metadata: Path) -> list[str]:
    """The names of a rosbag2 recording's files (rosbag2_storage/bag_metadata.hpp)."""
    try:
        about: Any = yaml.safe_load(metadata.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
        storage, files = about["storage_identifier"], about["relative_file_paths"]
        compressed = str(about.get("compression_mode") or "none").lower()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        message = f"not rosbag2's description of a recording ({type(error).__name__}: {error})"
        raise InputError(message, file=metadata, fix="run 'ros2 bag reindex' on the recording") from error
    if storage != "mcap":
        raise InputError(f"the recording is stored as {storage}; only MCAP is read", file=metadata, fix=CONVERT)
    if compressed != "none":  # MCAP's own compression of chunks is another thing, and is read
        raise InputError(f"rosbag2 compressed each {compressed}; that is not read", file=metadata, fix=CONVERT)
    if not isinstance(files, list) or not files:
        raise InputError("the recording has no files", file=metadata, fix="record again")
    return [str(name) for name in files]
