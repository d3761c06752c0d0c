"""Files that are either finished or not there."""

import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def cache_dir() -> Path:
    """The person's own folder for what can be made again: rlaas/ in $XDG_CACHE_HOME, or in ~/.cache."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "rlaas"


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write the whole file or leave what was there: a temporary file beside it, then a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(part, path)


def write_json(path: Path, content: Any) -> None:
    """`write_atomic` of readable JSON."""
    write_atomic(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


@contextmanager
def staged_dir(path: Path) -> Iterator[Path]:
    """A directory that appears at `path` only when the block ends well, in the place of what was there."""
    path = Path(os.path.abspath(path))  # a name also for "."
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        if path.exists():
            _exchange(part, path)
        else:
            os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _exchange(a: Path, b: Path) -> None:
    """Swap two directories. Where the file system can, in one step: nobody ever finds one of them missing."""
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2), which Python does not have
    if ctypes.CDLL(None).renameat2(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0:
        return
    old = b.with_name(f".{b.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    os.replace(b, old)
    os.replace(a, b)
    os.replace(old, a)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sha256_tree(path: Path) -> str:
    """SHA-256 over the names and contents of all files below a directory."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path)}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()
