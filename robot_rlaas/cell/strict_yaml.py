"""YAML into frozen pydantic models, with errors that name file, line, value and the nearest valid key."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from robot_rlaas.cell.errors import InputError

Location = tuple[str | int, ...]


class Spec(BaseModel):
    """Base of everything that is read from a file: frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


def load_spec[T: Spec](path: Path, kind: type[T], base: Spec | None = None) -> T:
    """Read one YAML file into `kind`; top-level keys that it leaves out are those of `base`.

    Raises:
        InputError: with file, line, value and what is allowed, at the first thing that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file ({error})", file=path) from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise InputError(f"not valid YAML: {getattr(error, 'problem', error)}", file=path, line=line) from error
    lines: dict[Location, int] = {}
    content = _plain(root, (), lines, path) if root else {}
    if not isinstance(content, dict):
        raise InputError("expected keys and values at the top level", file=path, line=1)
    try:
        return kind.model_validate({**(dict(base) if base else {}), **content})
    except ValidationError as error:
        raise _explain(error, kind, lines, path) from error


def _plain(node: yaml.Node, at: Location, lines: dict[Location, int], path: Path) -> Any:
    """The node's Python value; records the line of every key and item on the way."""
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                raise InputError(f"the key '{key}' stands twice", file=path, line=line, fix="keep one of them")
            lines[(*at, key)] = line
            result[key] = _plain(value_node, (*at, key), lines, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*at, i), lines, path) for i, item in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node)


def _explain(error: ValidationError, kind: type[Spec], lines: dict[Location, int], path: Path) -> InputError:
    problems = error.errors()
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])  # a typo is also a missing key
    at: Location = tuple(problem["loc"])
    known = at
    while known not in lines and known:
        known = known[:-1]
    name = ".".join(str(part) for part in at)
    if problem["type"] == "extra_forbidden":
        valid = _valid_keys(kind, at[:-1])
        near = difflib.get_close_matches(str(at[-1]), valid, n=1, cutoff=0.5)
        fix = f"did you mean '{near[0]}'?" if near else "remove it"
        return InputError(
            f"unknown key '{name}'; allowed here: {', '.join(valid)}", file=path, line=lines[known], fix=fix
        )
    if problem["type"] == "missing":
        return InputError(f"the key '{name}' is missing", file=path, line=lines[known], fix="add it")
    reason = problem["msg"].removeprefix("Value error, ")
    fix = ""
    if problem["type"].endswith("_parsing") and isinstance(problem["input"], str):
        unit = name.rsplit("_", 1)[-1]
        fix = f"write a bare number; the unit stands in the key (_{unit})"
    return InputError(f"'{name}' is {problem['input']!r}: {reason}", file=path, line=lines[known], fix=fix)


def _valid_keys(kind: Any, at: Location) -> list[str]:
    """The field names at a location, following nested models, unions and containers by their annotations."""
    models = _models_in(kind)
    for part in at:
        if isinstance(part, int):
            continue
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = [found for annotation in fields for found in _models_in(annotation)] or models
    return sorted({name for m in models for name in m.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in getattr(annotation, "__args__", ()) for m in _models_in(arg)]


def line_of(path: Path, *key: str | int) -> int | None:
    """The line on which a key stands in a YAML file that `load_spec` accepts; None if it is left to its default."""
    lines: dict[Location, int] = {}
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    if root is not None:
        _plain(root, (), lines, path)
    return lines.get(key)
