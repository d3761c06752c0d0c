"""YAML into frozen pydantic models, with errors that name file, line, value and the nearest valid key."""

from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.explain import Location, Wrong, explain

DEEPEST = 32  # levels of nesting; what is deeper is an anchor that holds itself


class Spec(BaseModel):
    """Base of everything that is read from a file: frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_values(cls, content: Any) -> Any:
        """YAML reads yes, no, on and off as truth values, and pydantic would take those for 1 and 0."""
        for name, value in content.items() if isinstance(content, dict) else ():
            items = value if isinstance(value, list) else [value]
            field = cls.model_fields.get(name)
            if field and field.annotation is not bool and any(isinstance(item, bool) for item in items):
                raise Wrong(name, "a truth value does not belong here", fix="write a number, or text in quotes")
        return content


class Place(NamedTuple):
    """Where something stands; lines count from 1."""

    file: Path
    line: int


class Document(NamedTuple):
    """The content of a YAML file, and where everything in it stands.

    Attributes:
        path: the file.
        content: keys and values at its top level.
        places: of every key and item; () is the whole. With `overlay`, they may stand in several files.
        removed: of keys that a file on top has set to null.
    """

    path: Path
    content: dict[str, Any]
    places: dict[Location, Place]
    removed: dict[Location, Place]

    def place(self, *key: str | int) -> Place:
        """Where a key stands; if it was left out, where the innermost thing stands that it would belong to."""
        while key not in self.places:
            key = key[:-1]
        return self.places[key]


def load_spec[T: Spec](path: Path, kind: type[T], base: Spec | None = None) -> T:
    """Read one YAML file into `kind`; top-level keys that it leaves out are those of `base`.

    Raises:
        InputError: with file, line, value and what is allowed, at the first thing that is wrong.
    """
    return validate(read(path), kind, base)


def validate[T: Spec](document: Document, kind: type[T], base: Spec | None = None) -> T:
    """`load_spec` of what has already been read.

    Raises:
        InputError: as `load_spec`.
    """
    if not document.content and base is None:
        raise InputError("the file is empty", file=document.path, line=1, fix="write keys and values, 'key: value'")
    try:
        return kind.model_validate({**(dict(base) if base else {}), **document.content})
    except ValidationError as error:
        wrong = explain(error, kind, document.content)
        removed = document.removed.get(wrong.at)
        place = removed or document.place(*wrong.at)
        message, fix = wrong.message, wrong.fix
        if removed:
            message, fix = f"{message}: it is set to null here", "give it a value, or take this line out"
        elif place.file != document.path:
            fix += f"{'; ' if fix else ''}or override it in {document.path.name}, which extends this file"
        raise InputError(message, file=place.file, line=place.line, fix=fix) from error


def read(path: Path) -> Document:
    """Read a YAML file as it is written.

    Raises:
        InputError: if it cannot be read, is not YAML, says a key twice or has no keys at its top level.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        message = f"the byte 0x{error.object[error.start]:02x} is not UTF-8"
        raise InputError(message, file=path, line=line, fix="save the file as UTF-8") from error
    except OSError as error:
        raise InputError(f"cannot read the file ({error.strerror})", file=path) from error
    places: dict[Location, Place] = {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        places[()] = Place(path, root.start_mark.line + 1 if root else 1)
        content = _plain(root, (), places, path) if root else {}
    except yaml.YAMLError as error:
        raise _not_yaml(error, text, path) from error
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else repr(content)
        fix = "write keys and values, 'key: value'"
        raise InputError(f"{kind} stands at the top level instead of keys", file=path, line=places[()].line, fix=fix)
    return Document(path, content, places, {})


def _not_yaml(error: yaml.YAMLError, text: str, path: Path) -> InputError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    if mark is None:
        return InputError(f"not valid YAML: {problem}", file=path)
    line, fix = text.splitlines()[min(mark.line, len(text.splitlines()) - 1)], ""
    if "\t" in line:
        problem, fix = "a tab", "indent with spaces: YAML allows no tabs there"
    elif "expected <block end>" in problem:
        fix = "give keys that belong together the same indentation"
    elif "mapping values are not allowed" in problem:
        fix = "one 'key: value' to a line; put text that holds a colon in quotes"
    elif "expected ',' or" in problem:
        mark, fix = error.context_mark, "close the bracket of this line, or put commas between its entries"
    elif "another document" in problem:
        fix = "take out the '---': a file holds one document"
    return InputError(f"not valid YAML: {problem}", file=path, line=mark.line + 1, fix=fix)


def _plain(node: yaml.Node, at: Location, places: dict[Location, Place], path: Path) -> Any:
    """The node's Python value; records the place of every key and item on the way."""
    place = places.setdefault(at, Place(path, node.start_mark.line + 1))
    if len(at) > DEEPEST:
        message = f"more than {DEEPEST} levels deep"
        raise InputError(message, file=path, line=place.line, fix="let no anchor hold itself")
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                raise InputError(f"the key '{key}' stands twice", file=path, line=line, fix="keep one of them")
            places[(*at, key)] = Place(path, line)
            result[key] = _plain(value_node, (*at, key), places, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*at, i), places, path) for i, item in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node)
