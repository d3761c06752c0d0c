"""A cell file that extends another means what the two say together, and an error stands where the value stands."""

from pathlib import Path

import pytest
import yaml

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.extends import place_of, read_cell
from robot_rlaas.cell.spec import cell_path, load_cell
from robot_rlaas.sim.check import check

SHIPPED = cell_path("peg_insertion")


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def changed(path: Path, old: str, new: str) -> str:
    text = SHIPPED.read_text()
    assert text.count(old) == 1
    return write(path, text.replace(old, new))


def refusal(reference: str) -> str:
    with pytest.raises(InputError) as caught:
        load_cell(reference)
    return str(caught.value)


def test_it_equals_the_same_cell_written_out(tmp_path: Path) -> None:
    child = write(
        tmp_path / "narrow.yaml",
        "extends: peg_insertion\nname: narrow\nkeep_out: []\nvariation: {plate_xy_mm: [-5, 5]}\n"
        "held_out: null\ncontrol: {rate_hz: 10}\n",
    )
    whole = yaml.safe_load(SHIPPED.read_text())
    whole |= {"name": "narrow", "keep_out": []}
    whole["variation"]["plate_xy_mm"], whole["control"]["rate_hz"] = [-5, 5], 10
    del whole["held_out"]
    written_out = write(tmp_path / "whole.yaml", yaml.safe_dump(whole))
    assert load_cell(child) == load_cell(written_out)
    assert load_cell(child).hash == load_cell(written_out).hash != load_cell("peg_insertion").hash
    assert load_cell(write(tmp_path / "same.yaml", "extends: peg_insertion\n")).hash == load_cell("peg_insertion").hash


def test_a_base_is_found_beside_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "line" / "base.yaml", "extends: peg_insertion\nname: base\n")
    write(tmp_path / "line" / "cells" / "first.yaml", "extends: ../base.yaml\ntask: {depth_mm: 12}\n")
    cell = load_cell("line/cells/first.yaml")
    assert (cell.name, cell.task.depth_mm) == ("base", 12.0)


def test_an_error_stands_where_the_value_stands(tmp_path: Path) -> None:
    base = changed(tmp_path / "base.yaml", "rate_hz: 20", "rate_hz: 2000")
    line = 1 + next(i for i, text in enumerate(Path(base).read_text().splitlines()) if "rate_hz: 2000" in text)
    message = refusal(write(tmp_path / "child.yaml", "extends: base.yaml\nname: child\n"))
    assert message.startswith(f"{base}:{line}: 'control.rate_hz' is 2000")
    assert "override it in child.yaml" in message
    child = write(tmp_path / "child.yaml", "extends: base.yaml\ncontrol:\n  rate_hz: 300\n")
    assert refusal(child).startswith(f"{child}:3: 'control.rate_hz' is 300")
    assert load_cell(write(tmp_path / "child.yaml", "extends: base.yaml\ncontrol: {rate_hz: 20}\n"))


def test_only_what_is_optional_can_be_taken_out(tmp_path: Path) -> None:
    child = write(tmp_path / "child.yaml", "extends: peg_insertion\ntask:\n  timeout_s: null\n")
    message = refusal(child)
    assert message.startswith(f"{child}:3: the key 'task.timeout_s' is missing: it is set to null here")
    grandchild = write(tmp_path / "again.yaml", "extends: child.yaml\ntask: {timeout_s: 8}\n")
    assert load_cell(grandchild).hash == load_cell("peg_insertion").hash
    typo = write(tmp_path / "typo.yaml", "extends: peg_insertion\nheld_uot: null\n")
    assert "did you mean 'held_out'?" in refusal(typo)


def test_places_follow_the_base(tmp_path: Path) -> None:
    child = Path(write(tmp_path / "child.yaml", "extends: peg_insertion\ntask:\n  plate:\n    chamfer_mm: 2\n"))
    assert place_of(child, "task", "plate", "chamfer_mm") == (child, 4)
    assert place_of(child, "task", "plate", "top_mm") == place_of(SHIPPED, "task", "plate", "top_mm")
    assert place_of(child, "task", "plate", "top_mm").file == SHIPPED
    without = Path(write(tmp_path / "without.yaml", "extends: peg_insertion\nheld_out: null\n"))
    assert ("held_out", "friction") not in read_cell(without).places


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("name: x\nextends: peg_insertoin\n", ":2: 'extends' is 'peg_insertoin': neither a shipped cell"),
        ("extends: ../none.yaml\n", ":1: 'extends' is '../none.yaml': neither"),
        ("extends: [a, b]\n", ":1: 'extends' is ['a', 'b']: must be a name"),
        ("extends: child.yaml\n", ":1: a circle: child.yaml -> child.yaml"),
        ("name: x\nextends: one.yaml\n", "two.yaml:1: a circle: child.yaml -> one.yaml -> two.yaml -> child.yaml"),
    ],
)
def test_a_base_that_cannot_be_is_refused(tmp_path: Path, text: str, what: str) -> None:
    write(tmp_path / "one.yaml", "extends: two.yaml\n")
    write(tmp_path / "two.yaml", "extends: child.yaml\n")
    message = refusal(write(tmp_path / "child.yaml", text))
    assert what in message
    assert "fix: " in message


def test_a_calibration_lies_beside_the_file_that_names_it(tmp_path: Path) -> None:
    base = write(tmp_path / "base" / "cell.yaml", "extends: peg_insertion\ncalibration: found.yaml\n")
    message = refusal(write(tmp_path / "child.yaml", "extends: base/cell.yaml\nname: child\n"))
    assert message.startswith(f"{base}:2: calibration found.yaml: there is no such calibration")
    assert load_cell(write(tmp_path / "child.yaml", "extends: base/cell.yaml\ncalibration: null\n")).calibration is None


def test_an_arm_of_menagerie_is_left_to_whoever_builds_it(tmp_path: Path) -> None:
    """Where Menagerie is not installed, that is said; where it is, what arms it has. Both at the arm's line."""
    path = Path(write(tmp_path / "cell.yaml", "extends: peg_insertion\nrobot:\n  arm: menagerie:ur55\n"))
    cell = load_cell(str(path))
    assert cell.robot.arm == "menagerie:ur55"
    told = r"('menagerie:ur55' needs the package mujoco-menagerie|MuJoCo Menagerie has no arm 'ur55'; it has )"
    with pytest.raises(InputError, match=rf"cell\.yaml:3: {told}"):
        check(cell, path)
    write(path, "extends: peg_insertion\nrobot: {arm: ur55}\n")
    assert "'ur55' is neither a shipped name nor a file" in refusal(str(path))
