"""Cells as people look at them: in pictures, and side by side."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.diff import Difference, differences
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.jobs.pipeline import Cell, Result, Watch


class Views(NamedTuple):
    """Ways to show a cell, None for each that is not wanted.

    Attributes:
        picture: a PNG of the cell, above close-ups of four starts.
        sheet: a PNG of twelve starts.
        cameras: a PNG of what the cell's cameras see at six starts.
        film: an MP4 of the scripted expert.
        port: of a page in 3D on this machine, which stays until Ctrl-C.
    """

    picture: Path | None = None
    sheet: Path | None = None
    cameras: Path | None = None
    film: Path | None = None
    port: int | None = None


def show(cell: Cell, views: Views, seed: int, watch: Watch) -> Result:
    """Show a cell, its starts and its film as `seed` draws them."""
    from robot_rlaas.sim.camera_sheet import camera_sheet
    from robot_rlaas.sim.render import RenderingUnavailable, cell_picture, save_png, start_sheet

    try:
        if views.picture:
            watch.say(f"{save_png(cell_picture(cell.spec, cell.workcell, seed=seed), views.picture)}")
        if views.sheet:
            watch.say(f"{save_png(start_sheet(cell.spec, cell.workcell, seed=seed), views.sheet)}")
        if views.cameras:
            watch.say(f"{save_png(camera_sheet(cell.spec, cell.workcell, seed), views.cameras)}")
        if views.film:
            watch.say(_film(cell, views.film, seed))
    except RenderingUnavailable as error:
        return Result(f"no picture: {error}", passed=False)
    if views.port:
        from robot_rlaas.qualify.viewer import serve

        serve(cell.spec, cell.workcell, views.port, seed, watch.say)
    return Result("shown")


def _film(cell: Cell, path: Path, seed: int) -> str:
    from robot_rlaas.env.tasks import contract_of, expert_of
    from robot_rlaas.qualify.clips import clip

    expert = expert_of(cell.spec, contract_of(cell.spec), 1)
    ended = clip(cell.spec, cell.workcell, expert, Seeds(seed, Space.SHOW), 0, path).outcome
    how = "done" if ended.success else "not done"
    return f"{path}: {how} after {ended.steps * cell.spec.period_s:.2f} s, at most {ended.peak_force_N:.0f} N"


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
    from robot_rlaas.env.tasks import contract_of

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
