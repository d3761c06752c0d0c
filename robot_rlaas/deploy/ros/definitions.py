"""Message definitions as a bag needs them: a type's .msg file and those of all types in it."""

import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from robot_rlaas.cell.errors import InputError

PRIMITIVE = re.compile(r"^(bool|byte|char|w?string.*|u?int(8|16|32|64)|float(32|64))$")
RULE = "=" * 80


def message_class(name: str) -> Any:
    """The class of a message type, "sensor_msgs/msg/JointState" and so on."""
    package, _, kind = name.split("/")
    return getattr(import_module(f"{package}.msg"), kind)


def definition(name: str) -> str:
    """The concatenated definition of a message type.

    Args:
        name: "sensor_msgs/msg/JointState".

    Raises:
        InputError: if a .msg file is not installed.
    """
    texts, todo = dict[str, str](), [name]
    while todo:
        full = todo.pop(0)
        if full in texts:
            continue
        texts[full] = _msg_file(full).read_text()
        todo += _parts(texts[full], full.split("/")[0])
    head, *rest = texts.items()
    return "\n".join([head[1]] + [f"{RULE}\nMSG: {full.replace('/msg/', '/')}\n{text}" for full, text in rest])


def _parts(text: str, package: str) -> list[str]:
    """Full names of the message types that a definition's fields have."""
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    kinds = {re.sub(r"\[.*\]$", "", words[0]) for words in lines if len(words) >= 2}
    names = [kind.split("/") for kind in sorted(kinds) if not PRIMITIVE.match(kind)]
    return [f"{parts[0] if len(parts) > 1 else package}/msg/{parts[-1]}" for parts in names]


def _msg_file(name: str) -> Path:
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    package, _, kind = name.split("/")
    for prefix in filter(None, prefixes):
        path = Path(prefix) / "share" / package / "msg" / f"{kind}.msg"
        if path.is_file():
            return path
    raise InputError(f"the definition of {name} is not installed", fix=f"pip install ros-{package.replace('_', '-')}")
