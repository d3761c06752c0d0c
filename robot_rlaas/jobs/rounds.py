"""What goes round and round, on disk: a file per round, which belongs to what the round is made from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robot_rlaas.cell.errors import InputError
from robot_rlaas.files import write_json

KEY = "key"


def claim(file: Path, key: str) -> None:
    """Note what a round is made from, before anything of it is there.

    Args:
        file: of the round.
        key: over everything that it is made from: see `ledger.key_of`.

    Raises:
        InputError: if what is there was made from something else, or does not say from what.
    """
    if _content(file, key):
        return
    if file.exists():
        raise InputError("it does not say what this round was made from", file=file, fix="name another --out")
    write_json(file, {KEY: key})


def finished[T](file: Path, key: str, read: Callable[[dict[str, Any]], T]) -> T | None:
    """The round that was finished there; None if there is none, or one that cannot be read.

    `read` makes it of what is in its file, KEY included.

    Raises:
        InputError: if what is there was made from something else.
    """
    try:
        return read(_content(file, key))
    except (TypeError, KeyError):
        return None


def _content(file: Path, key: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
        other = content[KEY] != key
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    if other:
        message = "this round was made from another cell, policy or options"
        raise InputError(message, file=file, fix="name another --out")
    return content
