"""The files of a bundle as bytes, out of a directory or one .zip, and back. No link is followed."""

import io
import os
import stat
import zipfile
import zlib
from pathlib import Path

from robot_rlaas.cell.errors import InputError
from robot_rlaas.files import staged_dir, write_atomic

SEAL = "bundle.sha256"
MANIFEST = "manifest.json"
SIGNATURE = "model.sig"
NETWORK = "network.onnx"
KNOWLEDGE = ("contract.json", "cell.json", "kinematics.json", "envelope.json", "capsules.json")
REQUIRED = (NETWORK, *KNOWLEDGE, "LICENSE.txt")
DOMAIN, REPORT = "domain.json", "report.json"
OPTIONAL = (DOMAIN, REPORT)
KNOWN = frozenset((SEAL, MANIFEST, SIGNATURE, *REQUIRED, *OPTIONAL))
MOST_BYTES = 256 * 2**20  # of a file, of all files, and of a .zip
REBUILD = "build the bundle again with 'rlaas bundle build', or fetch an unchanged copy"
UNREADABLE = (  # what zipfile and zlib raise on bytes that are no archive
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError),
)
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a .zip can tell: the same bundle is the same bytes


def is_zip(path: Path) -> bool:
    """Whether a bundle of this name is one .zip."""
    return path.suffix == ".zip"


def is_bundle(path: Path) -> bool:
    """Whether there is a bundle, a directory or a .zip, changed or not."""
    if not path.is_file():
        return (path / SEAL).is_file()
    try:
        with zipfile.ZipFile(path) as archive:
            return SEAL in archive.namelist()
    except UNREADABLE:
        return False


def read_contents(path: Path) -> dict[str, bytes]:
    """Every file of the bundle at `path` by name. What they hold is not looked at.

    Raises:
        InputError: if there is none, or something in it that is no plain file of a bundle.
    """
    if path.is_dir():
        return _of_directory(path)
    if path.is_file():
        try:
            with path.open("rb") as opened:
                return contents_of_zip(path, opened.read(MOST_BYTES + 1))
        except OSError as error:
            raise InputError(f"cannot read the bundle ({error.strerror})", file=path) from error
    raise InputError(
        "there is no such bundle, a directory or a .zip", file=path, fix="build one with 'rlaas bundle build'"
    )


def write_contents(path: Path, contents: dict[str, bytes]) -> None:
    """Write a bundle, a .zip if its name says so, whole or not at all.

    Raises:
        InputError: if something is there that is no bundle.
    """
    if path.exists() and not is_bundle(path):
        raise InputError("exists and is not a bundle: it is not overwritten", file=path, fix="name another")
    if path.exists() and path.is_dir() == is_zip(path):
        raise InputError("a bundle of the other kind is there", file=path, fix="remove it, or name another")
    if is_zip(path):
        write_atomic(path, zipped(contents))
        return
    with staged_dir(path) as part:
        part.mkdir()
        for name, content in contents.items():
            (part / name).write_bytes(content)


def zipped(contents: dict[str, bytes]) -> bytes:
    """The files as one .zip: the same files give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def _of_directory(path: Path) -> dict[str, bytes]:
    contents, left = {}, MOST_BYTES
    try:
        for entry in sorted(os.scandir(path), key=lambda e: e.name):
            _refuse_strange(path, entry.name, entry.is_file(follow_symlinks=False))
            contents[entry.name] = _read(path / entry.name, left)
            left -= len(contents[entry.name])
    except OSError as error:
        raise InputError(f"cannot read the bundle ({error})", file=path, fix=REBUILD) from error
    return contents


def _read(file: Path, most: int) -> bytes:
    """At most so many bytes of a file that is none of the links, pipes and devices it may have become meanwhile."""
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InputError("not a plain file", file=file, fix=REBUILD)
        content = opened.read(most + 1)
    _refuse_large(file, len(content), most)
    return content


def contents_of_zip(path: Path, packed: bytes) -> dict[str, bytes]:
    """The same of a .zip that is in memory; `path` is what errors call it."""
    _refuse_large(path, len(packed), MOST_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            return _of_archive(path, archive)
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(f"not a readable .zip: {error}", file=path, fix=REBUILD) from error


def _of_archive(path: Path, archive: zipfile.ZipFile) -> dict[str, bytes]:
    entries = archive.infolist()
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        _refuse_strange(path, entry.orig_filename, kind in (0, stat.S_IFREG))
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise InputError("packed in a way that no bundle is", file=path / entry.filename, fix=REBUILD)
    if len({entry.filename for entry in entries}) < len(entries):
        raise InputError("the same name twice in one .zip", file=path, fix=REBUILD)
    _refuse_large(path, sum(entry.file_size for entry in entries), MOST_BYTES)
    return {entry.filename: _unpacked(archive, entry) for entry in entries}


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """A file of as many bytes as it says, and never more in memory than that."""
    with archive.open(entry) as packed:
        content = packed.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise zipfile.BadZipFile(f"{entry.filename} is not as long as it says")
    return content


def _refuse_strange(path: Path, name: str, plain: bool) -> None:
    if name not in KNOWN:
        raise InputError(
            f"{name!r}: no bundle has such a file; allowed are {', '.join(sorted(KNOWN))}",
            file=path,
            fix=f"remove it, or {REBUILD}",
        )
    if not plain:
        raise InputError("not a plain file: links and directories are not followed", file=path / name, fix=REBUILD)


def _refuse_large(path: Path, size: int, most: int) -> None:
    if size > most:
        raise InputError(f"more than {MOST_BYTES / 2**20:g} MiB, the most that a bundle may be", file=path, fix=REBUILD)
