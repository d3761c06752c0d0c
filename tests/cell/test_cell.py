"""A wrong cell file: where, what, what is allowed, what to do."""

from pathlib import Path

import pytest

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space, key_of
from robot_rlaas.cell.spec import cell_path, load_cell
from robot_rlaas.env.insertion.task import contract
from robot_rlaas.sim.check import check

SHIPPED = cell_path("peg_insertion").read_text()


def write(folder: Path, old: str, new: str) -> Path:
    assert old in SHIPPED
    path = folder / "cell.yaml"
    path.write_text(SHIPPED.replace(old, new, 1))
    return path


WRONG = [
    ("depth_mm: 20", "deth_mm: 20", "unknown key 'task.deth_mm'", "did you mean 'depth_mm'?"),
    ("clearance_mm: 0.5", "clearance_m: 0.0005", "unknown key", "did you mean 'clearance_mm'?"),
    ("clearance_mm: 0.5", "clearance_mm: -0.5", "'task.plate.clearance_mm' is -0.5", "greater than 0"),
    ("clearance_mm: 0.5", "clearance_mm: 0.5 mm", "'0.5 mm'", "write a bare number; the unit stands in the key (_mm)"),
    ("plate_xy_mm: [-30, 30]", "plate_xy_mm: [30, -30]", "variation.plate_xy_mm", "[low, high]"),
    ("  timeout_s: 8\n", "", "'task.timeout_s' is missing", "add it"),
    ("  depth_mm: 20", "  depth_mm: 20\n  depth_mm: 21", "stands twice", "keep one of them"),
    ("depth_mm: 20", "depth_mm: 200", "more than the plate is thick", ""),
    ("rate_hz: 20", "rate_hz: fast", "'fast'", "number"),
    ("rlaas: 1", "rlaas: 2", "'rlaas' is 2", "1"),
    ("kind: insertion", "kind: juggling", "'juggling'", "insertion"),
]


@pytest.mark.parametrize(("old", "new", "what", "remedy"), WRONG, ids=[w[1].strip()[:24] for w in WRONG])
def test_a_wrong_value_is_explained(tmp_path: Path, old: str, new: str, what: str, remedy: str) -> None:
    path = write(tmp_path, old, new)
    with pytest.raises(InputError) as caught:
        load_cell(str(path))
    message = str(caught.value)
    assert what in message
    assert remedy in message
    assert message.startswith(f"{path}:")


def test_the_line_is_the_line(tmp_path: Path) -> None:
    path = write(tmp_path, "clearance_mm: 0.5", "clearance_mm: -0.5")
    line = 1 + path.read_text().splitlines().index(next(s for s in path.read_text().splitlines() if "-0.5" in s))
    with pytest.raises(InputError, match=f"cell.yaml:{line}: "):
        load_cell(str(path))


def test_an_unreachable_plate_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "top_mm: [500, 0, 60]", "top_mm: [1500, 0, 60]")
    with pytest.raises(InputError, match=r"cell\.yaml:\d+: task\.plate\.top_mm is .*1500.*") as caught:
        check(load_cell(str(path)), path)
    assert "move the plate" in str(caught.value)


def test_a_start_inside_the_plate_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "top_mm: [500, 0, 60]", "top_mm: [500, 0, 110]")
    with pytest.raises(InputError, match=r"robot\.home_deg"):
        check(load_cell(str(path)), path)


def test_a_missing_mesh_is_named(tmp_path: Path) -> None:
    tool = tmp_path / "tool.xml"
    tool.write_text(
        '<mujoco><asset><mesh name="finger" file="finger.stl"/></asset><worldbody><body name="hand">\n'
        '<geom type="mesh" mesh="finger"/><site name="wrist"/></body></worldbody></mujoco>'
    )
    path = write(tmp_path, "tool: parallel_gripper", f"tool: {tool}")
    with pytest.raises(InputError, match=r"finger\.stl") as caught:
        check(load_cell(str(path)), path)
    assert str(tool) in str(caught.value)


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(InputError, match="peg_insertion"):
        load_cell("peg_insertoin")


def test_the_shipped_cell_holds() -> None:
    path = cell_path("peg_insertion")
    _, findings = check(load_cell("peg_insertion"), path)
    assert len(findings) == 4


def test_layout_does_not_change_the_hash(tmp_path: Path) -> None:
    path = write(tmp_path, "rlaas: 1", "# a comment\nrlaas:   1")
    assert load_cell(str(path)).hash == load_cell("peg_insertion").hash
    other = write(tmp_path, "depth_mm: 20", "depth_mm: 19")
    assert load_cell(str(other)).hash != load_cell("peg_insertion").hash


def test_a_contract_survives_json() -> None:
    c = contract(load_cell("peg_insertion"))
    again = Contract.from_json(c.to_json())
    assert again == c
    assert again.hash == c.hash


def test_seed_spaces_never_meet() -> None:
    def numbers(*seeds) -> bytes:
        return Seeds(*seeds).generator(17).random(4).tobytes()

    sequences = [(3, space) for space in Space] + [(3, Space.QUALIFY, key_of(64 * digit)) for digit in "0f"]
    assert len({numbers(*s) for s in sequences}) == len(sequences)
    assert numbers(3, Space.TRAIN) == numbers(3, Space.TRAIN)


def test_a_key_does_not_depend_on_the_order() -> None:
    assert key_of("12" * 32, "ab" * 32) == key_of("ab" * 32, "12" * 32)
    assert key_of("12" * 32) == (0x12121212, 0x12121212)


def test_a_keep_out_box_may_be_called_like_anything(tmp_path: Path) -> None:
    """What is built of it has names of its own: "table" is also what the plate lies on."""
    path = write(tmp_path, "name: clamp", "name: table")
    workcell, _ = check(load_cell(str(path)), path)
    assert workcell.model.geom("solid/table").pos[1] == pytest.approx(0.16)
