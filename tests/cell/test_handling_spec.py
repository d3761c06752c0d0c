"""What a handling cell may say, and what it is told when it says something else."""

import re
from pathlib import Path

import pytest
import yaml

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import cell_path, load_cell

TENDING = yaml.safe_load(cell_path("machine_tending").read_text())
CASES = {
    "unknown part": ("part: billet, tolerance_mm: 4", "part: bilet, tolerance_mm: 4", "stages.0.part", "'billet'"),
    "unknown seat": ("at: vise, tolerance", "at: vice, tolerance", "stages.4.at", "'vise'"),
    "unknown tray": ("start: tray}", "start: trai}", "parts.0.start", "'tray'"),
    "unknown door": ("through: gate", "through: gat", "stages.3.through", "'gate'"),
    "later stage to retry from": (
        "part: billet, retry_from: reach_billet}",
        "part: billet, retry_from: close_vise}",
        "stages.1.retry_from",
        "up to this one",
    ),
    "placed without being grasped": (
        "    - {do: grasp, part: billet, retry_from: reach_billet}\n",
        "",
        "stages.1.part",
        "grasp it in a stage before",
    ),
    "two stages of one name": ("name: pass_gate", "name: wait_at_gate", "stages.3", "another `name`"),
    "a vise too narrow": ("opening_mm: 72", "opening_mm: 58", "stages.4.at", "2 mm wider"),
    "a jaw that moves the part away": ("opening_mm: 72", "opening_mm: 90", "stages.4.tolerance_mm", "15 mm"),
    "a grip above the part": ("grip_mm: 40", "grip_mm: 60", "parts.0.grip_mm", "60 mm high"),
    "what belongs to an insertion": ("  friction: [0.2, 0.4]", "  plate_xy_mm: [-1, 1]", "plate_xy_mm", "no plate"),
    "a key of another fixture": ("rim_mm: 8", "depth_mm: 8", "fixtures.0.depth_mm", "rim_mm"),
    "a stage of no kind": ("{do: close, fixture", "{do: clos, fixture", "stages.6", "'close'"),
}


def written(folder: Path, old: str, new: str) -> Path:
    text = cell_path("machine_tending").read_text()
    assert text.count(old) >= 1, old
    path = folder / "cell.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, case: str) -> None:
    old, new, key, hint = CASES[case]
    path = written(tmp_path, old, new)
    with pytest.raises(InputError) as caught:
        load_cell(str(path))
    message = str(caught.value)
    assert key in message
    assert hint in message
    line = int(re.search(rf"{path.name}:(\d+):", message).group(1))
    near = path.read_text().splitlines()[line - 1]
    changed = new.strip().splitlines()[0] if new else "do: move, part: billet, name: wait_at_gate"
    about = {"a vise too narrow": "at: vise", "a jaw that moves the part away": "at: vise"}.get(case, changed)
    assert about in near


def test_parts_that_would_touch_are_refused(tmp_path: Path) -> None:
    text = cell_path("kitting").read_text().replace("pitch_mm: [60, 60]", "pitch_mm: [60, 40]")
    (tmp_path / "cell.yaml").write_text(text)
    with pytest.raises(InputError, match=r"pitch_mm.*parts would touch: they need 40\.8 mm"):
        load_cell(str(tmp_path / "cell.yaml"))


def test_a_pocket_holds_its_own_part(tmp_path: Path) -> None:
    text = cell_path("kitting").read_text().replace("part: cube_1, at: kit.c", "part: cube_1, at: kit.a")
    (tmp_path / "cell.yaml").write_text(text)
    with pytest.raises(InputError, match="this pocket holds 'block_1', not 'cube_1'"):
        load_cell(str(tmp_path / "cell.yaml"))


def test_stages_are_called_after_what_they_do() -> None:
    task = load_cell("machine_tending").task
    assert task.labels[:3] == ("reach_billet", "grasp_billet", "wait_at_gate")
    assert len(task.labels) == len(TENDING["task"]["stages"])


@pytest.mark.parametrize("name", ["machine_tending", "kitting"])
def test_a_cell_survives_its_own_json(name: str) -> None:
    cell = load_cell(name)
    assert type(cell).model_validate_json(cell.model_dump_json()).hash == cell.hash
