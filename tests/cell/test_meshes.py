"""Meshes of cell files: what is read, what is kept, what is refused, and what of it is the cell's meaning."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from solids import block, cell_with, flanged, l_shape

from robot_rlaas.assets import data_dir
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.meshes import load_mesh, reach_mm
from robot_rlaas.cell.own_files import own_files
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.files import cache_dir
from robot_rlaas.jobs.cells import compare_cells
from robot_rlaas.sim.model import build

CLAMP = "obstacles:\n  - {name: stop, mesh_unit: mm, at_mm: [420, 150, 30], mesh: clamp.stl}\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_dir()


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_cell(str(path))
    return str(caught.value)


def test_a_box_stays_a_box_whatever_its_unit_and_format(tmp_path: Path) -> None:
    for unit, scale, suffix in (("mm", 1.0, "stl"), ("cm", 0.1, "obj"), ("m", 0.001, "stl"), ("inch", 1 / 25.4, "obj")):
        box = block(60, 40, 30)
        box.apply_scale(scale)
        box.export(tmp_path / f"{unit}.{suffix}")
        mesh = load_mesh(tmp_path / f"{unit}.{suffix}", unit, 1.0)
        assert mesh.volume_mm3 == pytest.approx(72_000, rel=1e-5)
        assert mesh.centroid_mm == pytest.approx((0, 0, 15), abs=1e-3)
        assert mesh.size_mm == pytest.approx((60, 40, 30), abs=1e-3)
        per_mass = np.array([40**2 + 30**2, 60**2 + 30**2, 60**2 + 40**2, 0, 0, 0]) / 12
        np.testing.assert_allclose(mesh.inertia_mm2, per_mass, atol=0.01)
        (piece,) = mesh.pieces
        assert {tuple(np.round(np.abs(corner), 2)) for corner in piece} == {(30, 20, 0), (30, 20, 30)}


def test_text_is_as_good_as_binary(tmp_path: Path) -> None:
    (tmp_path / "a.stl").write_text(trimesh.exchange.stl.export_stl_ascii(block(10, 10, 10)))
    block(10, 10, 10).export(tmp_path / "b.stl")
    text, binary = (load_mesh(tmp_path / name, "mm", 1.0) for name in ("a.stl", "b.stl"))
    assert text.model_dump(exclude={"sha256"}) == binary.model_dump(exclude={"sha256"})


def test_pieces_fill_what_is_solid_and_leave_the_notch(tmp_path: Path) -> None:
    l_shape().export(tmp_path / "l.stl")
    mesh = load_mesh(tmp_path / "l.stl", "mm", 1.0)
    assert mesh.volume_mm3 == pytest.approx(80_000)
    assert 2 <= len(mesh.pieces) <= 4
    assert reach_mm(mesh, 0, (-19, 19), (21.2, 59)) == pytest.approx((0, 20), abs=1.0)
    assert reach_mm(mesh, 0, (-19, 19), (1, 19)) == pytest.approx((0, 60), abs=0.01)
    low, high = reach_mm(mesh, 1, (21.2, 59), (21.2, 59))
    assert low > high, "nothing is in the notch"


def test_bodies_of_one_file_are_taken_apart_each_by_itself(tmp_path: Path) -> None:
    two = trimesh.util.concatenate([block(10, 10, 10), block(10, 10, 30).apply_translation((40, 0, 0))])
    two.export(tmp_path / "two.stl")
    mesh = load_mesh(tmp_path / "two.stl", "mm", 1.0)
    assert sorted(max(z for _, _, z in piece) for piece in mesh.pieces) == [10, 30]
    assert mesh.volume_mm3 == pytest.approx(4000)


def test_taking_apart_is_done_once_and_always_alike(tmp_path: Path, cache: Path) -> None:
    path = cell_with(tmp_path, "peg_insertion", CLAMP, clamp=l_shape())
    first = load_cell(str(path))
    (kept,) = (cache / "meshes").iterdir()
    content = kept.read_text()
    kept.unlink()
    assert load_cell(str(path)) == first
    assert kept.read_text() == content
    pieces = json.loads(content)[:1]
    kept.write_text(json.dumps(pieces))
    assert len(load_cell(str(path)).obstacles[0].mesh.pieces) == 1, "what is kept is what is used"
    kept.write_text(content[:50])
    assert load_cell(str(path)) == first, "half a file counts as none"
    path.write_text(path.read_text().replace("mesh_unit", "mesh_tolerance_mm: 2, mesh_unit"))
    load_cell(str(path))
    assert len(list((cache / "meshes").iterdir())) == 2


def test_without_a_cache_it_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_cell(str(cell_with(tmp_path, "peg_insertion", CLAMP, clamp=l_shape()))).obstacles


def test_the_mesh_is_the_cells_meaning_and_its_name_is_not(tmp_path: Path) -> None:
    plain = load_cell("peg_insertion")
    path = cell_with(tmp_path / "a", "peg_insertion", CLAMP, clamp=block(40, 30, 20))
    one = load_cell(str(path))
    assert "obstacles" not in plain.model_dump()
    moved = cell_with(tmp_path / "b", "peg_insertion", CLAMP.replace("clamp.stl", "c.stl"), c=block(40, 30, 20))
    other = cell_with(tmp_path / "c", "peg_insertion", CLAMP, clamp=block(40, 30, 21))
    assert one.hash == load_cell(str(moved)).hash != plain.hash
    assert load_cell(str(other)).hash != one.hash
    found = compare_cells(str(path), str(other))
    assert [d.key for d in found.differences] == ["obstacles.0.mesh"]
    assert str(found.differences[0].one).startswith("40 x 30 x 20 mm, 1 convex pieces, sha256 ")
    assert "cannot be bundled for B: obstacles" in found.consequences[0]
    assert "cannot be bundled for B: obstacles" in compare_cells("peg_insertion", str(path)).consequences[0]


def test_a_cell_as_json_needs_no_mesh_file(tmp_path: Path) -> None:
    """Policies, datasets and bundles carry it so."""
    cell = load_cell(str(cell_with(tmp_path, "peg_insertion", CLAMP, clamp=l_shape())))
    (tmp_path / "clamp.stl").unlink()
    again = CellSpec.model_validate(json.loads(json.dumps(cell.model_dump(mode="json"))))
    assert again == cell
    assert again.hash == cell.hash


def holes() -> trimesh.Trimesh:
    box = block(10, 10, 10)
    return trimesh.Trimesh(box.vertices, box.faces[:-1])


def inside_out() -> trimesh.Trimesh:
    box = block(10, 10, 10)
    box.invert()
    return box


def comb() -> trimesh.Trimesh:
    teeth = [block(0.2, 8, 8).apply_translation((0.5 * i, 0, 0)) for i in range(65)]
    return trimesh.util.concatenate(teeth)


WRONG = {
    "holes": (holes(), "", "it is not closed: 3 of its 18 edges do not belong to exactly two triangles", "repair it"),
    "inside out": (inside_out(), "", "its triangles do not all face outwards", "turn its normals"),
    "metres": (block(16, 16, 40), "mm->m", "with mesh_unit m it is 40000 mm long", "it is 40 mm in mm, 400 mm in cm"),
    "millimetres": (block(0.016, 0.016, 0.04), "", "with mesh_unit mm it is 0.04 mm long", "40 mm in m"),
    "no unit": (block(9, 9, 9), "mm->feet", "'obstacles.0.mesh_unit' is 'feet': allowed are 'mm', 'cm', 'm'", ""),
    "no tolerance": (
        block(9, 9, 9),
        "mm->mm, mesh_tolerance_mm: 0",
        "'obstacles.0.mesh_tolerance_mm' is 0",
        "greater than 0",
    ),
    "too fine": (trimesh.creation.icosphere(7, 30), "", "it has 327,680 triangles; allowed are 50,000", "coarser"),
    "too ragged": (comb(), "", "it takes 65 convex pieces; allowed are 64", "allow a larger mesh_tolerance_mm"),
    "another file": (
        block(9, 9, 9),
        "clamp.stl->clmp.stl",
        "clmp.stl: there is no such file",
        "did you mean 'clamp.stl'?",
    ),
    "another format": (block(9, 9, 9), "clamp.stl->clamp.step", "'.step' is no mesh that can be read", ".stl or .obj"),
    "no path": (block(9, 9, 9), "clamp.stl->7", "must be the path of an STL or OBJ file", ""),
    "a taken name": (block(9, 9, 9), "name: stop->name: plate", "something else has that name", ""),
    "on nothing": (
        block(9, 9, 9),
        "mm->mm, on: plat",
        "nothing can stand on it; allowed are plate",
        "did you mean 'plate'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_refused_where_it_is_named(tmp_path: Path, case: str) -> None:
    mesh, change, message, fix = WRONG[case]
    old, _, new = change.partition("->")
    path = cell_with(tmp_path, "peg_insertion", CLAMP.replace(old, new, 1) if old else CLAMP, clamp=mesh)
    told = refusal(path)
    assert told.startswith(f"{path}:3: ")
    assert message in told
    assert fix in told


@pytest.mark.parametrize(("content", "told"), [(b"", "it has no triangles"), (b"solid x\nendsolid x\n", "it has no t")])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = cell_with(tmp_path, "peg_insertion", CLAMP, clamp=block(9, 9, 9))
    (tmp_path / "clamp.stl").write_bytes(content)
    assert told in refusal(path) or "not a STL file" in refusal(path)


PART = """\
task:
  parts:
    - {name: billet, shape: cad, mesh: a.stl, mesh_unit: mm, mass_kg: [0.3, 0.4], grip_mm: 40, start: tray}
"""
BADLY_SHAPED = {
    "in the air": (block(60, 40, 60).apply_translation((0, 0, 5)), "its lowest point is at z = 5 mm"),
    "off the middle": (block(60, 40, 60).apply_translation((0, 5, 0)), "it reaches from y = -15.0 to 25.0 mm"),
    "not there": (block(60, 40, 30), "'task.parts.0.grip_mm' is 40: the mesh has nothing there"),
    "hollow there": (l_shape().apply_translation((-40, 0, 0)), "nothing there about its z axis"),
    "half in the jaws": (
        flanged().apply_transform(np.diag([1.0, -1, -1, 1])).apply_translation((0, 0, 60)),
        "jaws the",
    ),
}


@pytest.mark.parametrize("case", BADLY_SHAPED)
def test_a_part_that_cannot_be_handled_is_refused(tmp_path: Path, case: str) -> None:
    mesh, told = BADLY_SHAPED[case]
    message = refusal(cell_with(tmp_path, "machine_tending", PART, a=mesh))
    assert told in message
    assert "fix: " in message


def test_a_part_is_gripped_where_it_is_told(tmp_path: Path) -> None:
    cell = load_cell(str(cell_with(tmp_path, "machine_tending", PART, a=flanged())))
    part = cell.task.parts[0]
    assert part.size_mm == pytest.approx((60, 40, 60))
    assert part.width_mm == pytest.approx(40)
    assert part.symmetry_deg == 360


def test_a_parts_mass_follows_from_its_material(tmp_path: Path) -> None:
    dense = PART.replace("mass_kg: [0.3, 0.4]", "density_kg_m3: [2500, 2700]")
    cell = load_cell(str(cell_with(tmp_path, "machine_tending", dense, a=block(60, 40, 60))))
    assert cell.task.parts[0].mass_range_kg == pytest.approx((0.144 * 2.5, 0.144 * 2.7))  # litres times kg per litre
    assert cell.task.start_ranges["billet_mass_kg"] == pytest.approx((0.36, 0.3888))
    assert build(cell).model.body("billet").mass[0] == pytest.approx(0.3744)
    assert CellSpec.model_validate(cell.model_dump()) == cell
    weighed = load_cell(str(cell_with(tmp_path, "machine_tending", PART, a=block(60, 40, 60))))
    assert "density_kg_m3" not in weighed.model_dump()["task"]["parts"][0], "the hash of older cells stays"


WEIGHED = {
    "not at all": ("grip_mm: 40", "'task.parts.0.mass_kg' is missing: it says what the part weighs, or density_kg_m3"),
    "twice": ("mass_kg: [1, 2], density_kg_m3: [1, 2], grip_mm: 40", "mass_kg says what the part weighs, too"),
    "as one number": ("density_kg_m3: 2700, grip_mm: 40", "'task.parts.0.density_kg_m3' is 2700"),
}


@pytest.mark.parametrize("how", WEIGHED)
def test_a_part_is_weighed_once(tmp_path: Path, how: str) -> None:
    keys, told = WEIGHED[how]
    part = PART.replace("mass_kg: [0.3, 0.4], grip_mm: 40", keys)
    message = refusal(cell_with(tmp_path, "machine_tending", part, a=block(60, 40, 60)))
    assert told in message
    assert "fix: " in message


def test_what_stands_in_an_arms_own_file_is_the_cells_meaning(tmp_path: Path) -> None:
    shipped = (data_dir("sim_assets") / "arms" / "ur5e.xml").read_text()
    profile = (data_dir("hardware") / "ur5e.yaml").read_text()
    (tmp_path / "arm.xml").write_text(shipped.replace('name="flange"', 'name="attachment_site"'))
    (tmp_path / "ur5e.yaml").write_text(profile)
    text = f"robot: {{arm: {tmp_path / 'arm.xml'}, hardware: {tmp_path / 'ur5e.yaml'}}}\n"
    path = cell_with(tmp_path, "peg_insertion", text)
    cell = load_cell(str(path))
    assert sorted(cell.own_files) == ["arm", "hardware"]
    build(cell)
    (tmp_path / "ur5e.yaml").write_text(f"# a comment\n{profile}")
    assert load_cell(str(path)).hash == cell.hash
    (tmp_path / "arm.xml").write_text(shipped.replace('name="flange"', 'name="tool0"'))
    changed = load_cell(str(path))
    assert changed.hash != cell.hash
    build(changed)
    with pytest.raises(InputError, match=r"robot\.arm .*arm\.xml is not what it was"):
        build(cell)


def test_the_files_of_a_model_count_too(tmp_path: Path) -> None:
    (tmp_path / "meshes").mkdir()
    block(10, 10, 10).export(tmp_path / "meshes" / "finger.stl")
    (tmp_path / "more.xml").write_text("<mujoco><asset><mesh file='finger.stl'/></asset></mujoco>")
    tool = tmp_path / "tool.xml"
    tool.write_text("<mujoco><compiler meshdir='meshes'/><include file='more.xml'/></mujoco>")
    first = own_files("ur5e", str(tool), "ur5e")
    assert list(first) == ["tool"]
    block(10, 10, 11).export(tmp_path / "meshes" / "finger.stl")
    assert own_files("ur5e", str(tool), "ur5e") != first
