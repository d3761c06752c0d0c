"""Cells side by side: what differs between two of them, and what that means for their policies."""

from collections.abc import Iterator
from typing import NamedTuple

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.diff import Difference, differences
from robot_rlaas.cell.spec import CellSpec, load_cell


class Comparison(NamedTuple):
    """What differs between two cells, A and B, and what follows from it, a sentence each."""

    differences: list[Difference]
    consequences: list[str]


def compare_cells(one: str, other: str) -> Comparison:
    """Two cells, by shipped name or path.

    Raises:
        InputError: if one of them is wrong.
    """
    a, b = load_cell(one), load_cell(other)
    found = differences(a, b)
    return Comparison(found, list(_consequences(a, b)) if found else [])


def _consequences(a: CellSpec, b: CellSpec) -> Iterator[str]:
    from robot_rlaas.bundle.build import not_the_same
    from robot_rlaas.env.task import contract_of

    different = [name for name, x, y in zip(Contract._fields, contract_of(a), contract_of(b)) if x != y]
    if different:
        yield f"a policy of A cannot be judged in B: the contracts differ in {' and '.join(different)}"
    sections = not_the_same(a, b)
    if sections:
        yield f"a policy of A cannot be bundled for B: {', '.join(sections)} would have to be the same"
    elif not different:
        yield "a policy of A can be bundled for B: 'rlaas bundle build --cell B'"
    wider = [name for name, (low, high) in b.variation if not _within((low, high), getattr(a.variation, name))]
    if wider:
        yield f"B reaches beyond what a policy of A is trained on: {', '.join(wider)}"


def _within(inner: tuple[float, float], outer: tuple[float, float]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
