"""What differs in meaning between two cells, and what that means for their policies."""

from pathlib import Path

import pytest

from robot_rlaas.cell.diff import differences
from robot_rlaas.cell.spec import cell_path, load_cell
from robot_rlaas.cli import main
from robot_rlaas.jobs.cells import compare_cells

CHANGES = {  # what a cell that extends peg_insertion says -> the keys that differ, and what follows
    "# nothing\n": ([], []),
    "variation: {friction: [0.2, 0.4]}\n": ([], []),
    "variation: {plate_xy_mm: [-30, 31]}\n": (
        ["variation.plate_xy_mm"],
        ["can be bundled for B", "B reaches beyond what a policy of A is trained on: plate_xy_mm"],
    ),
    "held_out: {friction: null}\n": (["held_out.friction"], ["can be bundled for B"]),
    "control: {rate_hz: 25}\n": (
        ["control.rate_hz"],
        ["cannot be judged in B: the contracts differ in rate_hz", "cannot be bundled for B: control"],
    ),
    "keep_out: []\n": (
        ["keep_out.0.name", "keep_out.0.center_mm", "keep_out.0.size_mm"],
        ["cannot be bundled for B: keep_out"],
    ),
}


def child(folder: Path, text: str) -> str:
    path = folder / "child.yaml"
    path.write_text(f"extends: peg_insertion\n{text}")
    return str(path)


@pytest.mark.parametrize("text", CHANGES)
def test_what_differs_and_what_follows(tmp_path: Path, text: str) -> None:
    keys, consequences = CHANGES[text]
    found = compare_cells("peg_insertion", child(tmp_path, text))
    assert [d.key for d in found.differences] == keys
    assert len(found.consequences) == len(consequences)
    for sentence, part in zip(found.consequences, consequences):
        assert part in sentence
    same = load_cell("peg_insertion").hash == load_cell(child(tmp_path, text)).hash
    assert same == (not keys)


def test_values_are_those_of_the_files(tmp_path: Path) -> None:
    other = load_cell(child(tmp_path, "task: {plate: {clearance_mm: 0.25}}\nheld_out: {chamfer_mm: null}\n"))
    found = {d.key: (d.one, d.other) for d in differences(load_cell("peg_insertion"), other)}
    assert found == {"task.plate.clearance_mm": (0.5, 0.25), "held_out.chamfer_mm": (0.8, None)}


def test_the_order_of_boxes_has_a_meaning_too(tmp_path: Path) -> None:
    boxes = (
        "{name: a, center_mm: [900, 0, 0], size_mm: [1, 1, 1]}",
        "{name: b, center_mm: [900, 0, 0], size_mm: [1, 1, 1]}",
    )
    one, other = (load_cell(child(tmp_path, f"keep_out: [{', '.join(order)}]\n")) for order in (boxes, boxes[::-1]))
    assert one.hash != other.hash
    assert [d.key for d in differences(one, other)] == ["keep_out.0.name", "keep_out.1.name"]


def test_the_command_has_the_exit_codes_of_diff(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = child(tmp_path, "control: {rate_hz: 25}\nvariation: {plate_xy_mm: [-5.5, 5]}\n")
    assert main(["cell", "diff", "peg_insertion", other]) == 1
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["control.rate_hz", "20", "25"] in rows
    assert ["variation.plate_xy_mm", "[-30,", "30]", "[-5.5,", "5]"] in rows
    assert main(["cell", "diff", "peg_insertion", str(cell_path("peg_insertion"))]) == 0
    assert capsys.readouterr().out == ""
    assert main(["cell", "diff", "peg_insertion", str(tmp_path / "none.yaml")]) == 2
