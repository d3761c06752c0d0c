"""What differs in meaning between two cells."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from robot_rlaas.cell.explain import Location, dotted
from robot_rlaas.cell.spec import CellSpec


class Difference(NamedTuple):
    """One key that does not say the same in both cells; None where a cell has no such key.

    Attributes:
        key: the way to it, as in "task.plate.clearance_mm" or "keep_out.0.size_mm".
        one, other: the values, in the key's unit.
    """

    key: str
    one: Any
    other: Any


def differences(one: CellSpec, other: CellSpec) -> list[Difference]:
    """What differs, in the order of the cell file; empty if and only if the cells' hashes are equal."""
    left, right = _leaves(one), _leaves(other)
    sections = list(CellSpec.model_fields)
    keys = sorted(left | right, key=lambda at: sections.index(str(at[0])))
    return [Difference(dotted(at), left.get(at), right.get(at)) for at in keys if left.get(at) != right.get(at)]


def _leaves(cell: CellSpec) -> dict[Location, Any]:
    content = cell.model_dump(mode="json")
    for name in ("calibration", "contact"):
        found = content.pop(name, None)
        if found is not None:
            sha256 = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
            content[name] = f"of {found['date']}, sha256 {sha256[:12]}"
    return dict(_walk(content, ()))


def _walk(value: Any, at: Location) -> Iterator[tuple[Location, Any]]:
    """Every (location, value) but those of keys without a value; lists of numbers are values."""
    if isinstance(value, dict) and at[-1:] == ("mesh",):
        size = " x ".join(f"{high - low:g}" for low, high in zip(value["low_mm"], value["high_mm"]))
        yield at, f"{size} mm, {len(value['pieces'])} convex pieces, sha256 {value['sha256'][:12]}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, (*at, key))
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for i, item in enumerate(value):
            yield from _walk(item, (*at, i))
    elif value not in (None, []):
        yield at, value
