"""What a cell file names: another cell that it changes, arm and tool, what was found out about them."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.errors import InputError, did_you_mean
from robot_rlaas.cell.explain import Location, dotted, holds, location
from robot_rlaas.cell.strict_yaml import Document, Place, read

EXTENDS, FORMAT = "extends", 1
MENAGERIE = "menagerie:"  # how the name of an arm begins that is MuJoCo Menagerie's


def cells_dir() -> Path:
    """Where the shipped cells lie."""
    return data_dir("sim_assets") / "cells"


def read_cell(path: Path) -> Document:
    """A cell file over the one that it extends, and so on down.

    Mappings merge, lists and scalars replace, and a key that is set to null is taken out.

    Raises:
        InputError: if a file cannot be read, names no cell or, by way of others, itself; or if a number is not finite.
    """
    document = _resolved(path, (path.resolve(),))
    _of_this_format(document)
    _all_finite(document, document.content, ())
    return document


def place_of(path: Path, *key: str | int) -> Place:
    """Where a key of a cell stands, in its file or in one that it extends; see `Document.place`."""
    return read_cell(path).place(*key)


@contextmanager
def naming_lines(path: Path) -> Iterator[None]:
    """Errors within that are about a key of this cell file get the file and the line where it stands."""
    try:
        yield
    except InputError as error:
        if error.file or not error.key:
            raise
        place = place_of(path, *location(error.key))
        raise InputError(error.message, **place._asdict(), fix=error.fix, key=error.key) from error


def all_there(document: Document, arm: str, tool: str, hardware: str) -> None:
    """Arm, tool and hardware profile are shipped names or files; an arm may also be one of MuJoCo Menagerie's.

    Raises:
        InputError: naming the first that is neither, where it stands, and what is shipped.
    """
    assets, profiles = data_dir("sim_assets"), data_dir("hardware")
    named = {"arm": (arm, assets / "arms", ".xml"), "tool": (tool, assets / "tools", ".xml")}
    for key, (name, folder, suffix) in {**named, "hardware": (hardware, profiles, ".yaml")}.items():
        if key == "arm" and name.startswith(MENAGERIE):
            continue  # whoever builds the model looks for it
        try:
            find(name, folder, suffix)
        except InputError as error:
            place = document.place("robot", key)
            raise InputError(f"robot.{key}: {error.message}", **place._asdict(), fix=error.fix) from error


def beside(document: Document, key: str, named: str, command: str) -> Path:
    """A calibration or a contact file, relative to the file that names it under a key such as "calibration".

    Raises:
        InputError: if it is not there, with the `rlaas calibrate` command that makes one.
    """
    at = location(key)
    place = document.place(*at)
    path = place.file.parent / named
    if not path.is_file():
        message = f"{key} {named}: there is no such {at[-1]}; its path is relative to this file"
        fix = f"run `rlaas calibrate {command}` again, or take '{key}' out of the cell file"
        raise InputError(message, **place._asdict(), fix=fix)
    return path


def overlay(base: Document, top: Document) -> Document:
    """`top` over `base`; see `read_cell`. Every place is that of the file which says the value."""
    replaced: list[Location] = []
    content = _laid(base.content, top.content, (), replaced)
    removed = base.removed | {at: top.places[at] for at in replaced}
    kept = {at: place for at, place in base.places.items() if not any(at[: len(r)] == r for r in replaced)}
    places = {at: place for at, place in (kept | top.places).items() if holds(content, at)}
    return Document(top.path, content, places, {at: p for at, p in removed.items() if at not in places})


def _laid(base: dict[str, Any], top: dict[str, Any], at: Location, replaced: list[Location]) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        below, here = base.get(key), (*at, key)
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = _laid(below, value, here, replaced)
            continue
        result[key] = value
        replaced.append(here)
        if value is None and key in base:
            del result[key]
    return result


def _resolved(path: Path, seen: tuple[Path, ...]) -> Document:
    document = read(path)
    if EXTENDS not in document.content:
        return document
    base = _base(document, seen)
    content = {key: value for key, value in document.content.items() if key != EXTENDS}
    return overlay(_resolved(base, (*seen, base)), document._replace(content=content))


def _base(document: Document, seen: tuple[Path, ...]) -> Path:
    """The file that a document extends."""
    named, (file, line) = document.content[EXTENDS], document.places[(EXTENDS,)]
    shipped = sorted(p.stem for p in cells_dir().glob("*.yaml"))
    if not isinstance(named, str):
        fix = f"name one cell: a shipped one ({', '.join(shipped)}) or a path, relative to this file"
        raise InputError(f"'{EXTENDS}' is {named!r}: must be a name", file=file, line=line, fix=fix)
    path = cells_dir() / f"{named}.yaml" if named in shipped else (file.parent / named).resolve()
    if not path.is_file():
        message = f"'{EXTENDS}' is '{named}': neither a shipped cell ({', '.join(shipped)}) nor a file beside this one"
        raise InputError(message, file=file, line=line, fix=did_you_mean(named, shipped) or "correct the path")
    if path in seen:
        circle = " -> ".join(p.name for p in (*seen[seen.index(path) :], path))
        raise InputError(f"a circle: {circle}", file=file, line=line, fix="let one of them stand by itself")
    return path


def _of_this_format(document: Document) -> None:
    found = document.content.get("rlaas", FORMAT)
    if isinstance(found, int) and found != FORMAT:
        message = f"'rlaas' is {found}: this version of robot_rlaas reads format {FORMAT}"
        fix = "install a newer robot_rlaas" if found > FORMAT else f"write the file for format {FORMAT}"
        raise InputError(message, **document.place("rlaas")._asdict(), fix=fix)


def _all_finite(document: Document, value: Any, at: Location) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        place = document.place(*at)
        raise InputError(f"'{dotted(at)}' is {value}: must be finite", file=place.file, line=place.line)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        _all_finite(document, item, (*at, key))
