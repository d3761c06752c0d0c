"""Meshes in the simulation: a box made of triangles is a box, a notch is free, what stands on a plate moves with it."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh
from solids import block, cell_with, flanged, l_shape

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.meshes import load_mesh
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.control.kinematics import Pose, solve, tool_pose
from robot_rlaas.control.rotation import about_z
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.sim.backend import Physics
from robot_rlaas.sim.backends import backend_of
from robot_rlaas.sim.check import check
from robot_rlaas.sim.geometry import STEEL, fixture
from robot_rlaas.sim.obstacles import add_pieces
from robot_rlaas.sim.shapes import Scene
from robot_rlaas.sim.variation import draw

N = 4
PART = """\
task:
  parts:
    - {name: billet, shape: cad, mesh: part.stl, mesh_unit: mm, mass_kg: [0.36, 0.42], grip_mm: 40, start: tray}
"""


def obstacle(at_mm: list[float], more: str = "") -> str:
    return f"obstacles:\n  - {{name: stop, mesh: stop.stl, mesh_unit: mm, at_mm: {at_mm}{more}}}\n"


def started(cell: Cell, simulator: str = "cpu"):
    backend = backend_of(simulator, cell.workcell, cell.spec, N)
    starts = draw(cell.spec, Seeds(0, Space.SHOW), np.arange(N))
    home = np.tile(np.deg2rad(np.array(cell.spec.robot.home_deg)), (N, 1))
    return backend, starts, home, backend.reset(np.arange(N), starts, home)


def test_a_part_made_of_triangles_is_the_part(tmp_path: Path) -> None:
    """A box is the same geom with the same mass and inertia, and comes to rest on the tray in the same way."""
    cells = (
        Cell.load("machine_tending"),
        Cell.load(str(cell_with(tmp_path, "machine_tending", PART, part=block(60, 40, 60)))),
    )
    rests = []
    for cell in cells:
        model = cell.workcell.model
        (geom,) = np.flatnonzero(model.geom_bodyid == model.body("billet").id)
        assert model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX
        np.testing.assert_allclose(sorted(model.geom_size[geom]), [0.02, 0.03, 0.03], atol=1e-6)
        assert model.body("billet").mass[0] == pytest.approx(0.39)
        inertia = 0.39 / 12 * np.array([0.06**2 + 0.04**2, 0.06**2 + 0.04**2, 0.06**2 + 0.06**2])
        np.testing.assert_allclose(sorted(model.body("billet").inertia), inertia, rtol=1e-5)
        backend, _, home, _ = started(cell)
        for _ in range(10):
            physics = backend.step(np.repeat(home[:, None], backend.substeps, axis=1), np.ones((N, 3)))
        rests.append(physics.parts[:, 0])
    np.testing.assert_allclose(rests[1][:, :3], rests[0][:, :3], atol=2e-5)
    np.testing.assert_allclose(np.abs(rests[1][:, 3:]), np.abs(rests[0][:, 3:]), atol=1e-3)


def test_the_inertia_is_that_of_the_mesh(tmp_path: Path) -> None:
    """The foot is 60 x 40 x 30 mm, 3/5 of the mass; the block on it 40 x 40 x 30 mm: by the parallel axis theorem."""
    model = Cell.load(str(cell_with(tmp_path, "machine_tending", PART, part=flanged()))).workcell.model
    billet, foot, top = model.body("billet"), 0.6 * 0.39, 0.4 * 0.39
    height = 0.6 * 15 + 0.4 * 45
    np.testing.assert_allclose(billet.ipos * 1000, (0, 0, height), atol=1e-3)
    about_y = foot * ((60**2 + 30**2) / 12 + (height - 15) ** 2) + top * ((40**2 + 30**2) / 12 + (45 - height) ** 2)
    about_z_ = foot * (60**2 + 40**2) / 12 + top * (40**2 + 40**2) / 12
    about_x = foot * ((40**2 + 30**2) / 12 + (height - 15) ** 2) + top * ((40**2 + 30**2) / 12 + (45 - height) ** 2)
    np.testing.assert_allclose(sorted(billet.inertia * 1e6), sorted([about_x, about_y, about_z_]), rtol=1e-4)


def test_a_ball_lies_in_the_notch(tmp_path: Path) -> None:
    """It touches the L's foot below and nothing beside it, 1.5 mm away from the other leg."""
    l_shape().export(tmp_path / "l.stl")
    spec = mujoco.MjSpec()
    spec.option.timestep = 0.002
    body = spec.worldbody.add_body(name="l")
    add_pieces(spec, body, load_mesh(tmp_path / "l.stl", "mm", 1.0), fixture, STEEL)
    ball = spec.worldbody.add_body(name="ball", pos=(0.0295, 0, 0.05))
    ball.add_joint(type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(0, 0, 1), damping=0.5)
    ball.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=(0.008, 0, 0), mass=0.1, contype=1, conaffinity=2)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, 1000)
    assert data.body("ball").xpos[2] == pytest.approx(0.028, abs=1e-3)
    assert (np.abs(data.contact.frame[:, 2]) > 0.99).all(), "pushed upwards and nowhere else"


def test_what_stands_on_the_plate_moves_with_it(tmp_path: Path) -> None:
    cell = Cell.load(
        str(cell_with(tmp_path, "peg_insertion", obstacle([40, 40, 0], ", on: plate"), stop=block(9, 8, 7)))
    )
    backend, starts, _, _ = started(cell)
    for i in range(N):
        data = backend.batch.get_data(i)
        mujoco.mj_forward(backend.batch.get_model(i), data)
        middle = (
            np.array([0.5, 0, 0.06]) + [*starts.plate_xy_m[i], 0] + about_z(starts.plate_yaw_rad)[i] @ (0.04, 0.04, 0)
        )
        np.testing.assert_allclose(data.body("obstacle/stop").xpos, middle, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (obstacle([480, 20, 60]), "obstacle 'stop' is in the way: with the plate displaced by x -30 mm"),
        (obstacle([520, 0, 100]), "the tool is"),
        (obstacle([400, 200, 300]), None),
    ],
)
def test_check_says_what_is_in_the_way(tmp_path: Path, text: str, told: str | None) -> None:
    path = cell_with(tmp_path, "peg_insertion", text, stop=block(40, 40, 40))
    if told is None:
        _, findings = check(load_cell(str(path)), path)
        assert ("'stop', 40 x 40 x 40 mm", "1 convex piece, 100.0 % of its volume, 64 cm3") in findings
        return
    with pytest.raises(InputError, match=told) as caught:
        check(load_cell(str(path)), path)
    assert str(caught.value).startswith(f"{path}:3: ")


def test_check_says_where_a_gripper_cannot_go(tmp_path: Path) -> None:
    path = cell_with(tmp_path, "machine_tending", obstacle([460, 270, 160]), stop=block(10, 10, 40))
    with pytest.raises(InputError, match=r"obstacle 'stop' is in the way: 'billet' at 'vise', with the grasp point at"):
        check(load_cell(str(path)), path)
    path = cell_with(tmp_path, "machine_tending", obstacle([55, 45, 20], ", on: tray"), stop=block(40, 40, 40))
    with pytest.raises(InputError, match=r"obstacle 'stop'"):
        check(load_cell(str(path)), path)


def pressed(cell: Cell, simulator: str) -> tuple[np.ndarray, Physics]:
    """The tool's contact forces (periods, n) while the peg is pressed onto the ring's edge; how it ends."""
    backend, starts, home, _ = started(cell, simulator)
    chain, turn = cell.workcell.chain, about_z(starts.plate_yaw_rad)
    above = np.array([0.5, 0, 0.06]) + np.concatenate([starts.plate_xy_m, np.zeros((N, 1))], axis=1)
    p = above + turn @ np.array([0.045, 0.04, 0.0295])
    q, error = solve(chain, Pose(turn @ tool_pose(chain, home).R, p), home)
    assert error.max() < 1e-6
    forces = []
    for k in range(24):
        setpoint = home + (q - home) * min(1.0, (k + 1) / 20)
        physics = backend.step(np.repeat(setpoint[:, None], backend.substeps, axis=1))
        forces.append(physics.contact_N)
    return np.array(forces), physics


def test_both_simulators_agree_about_hollow_things(tmp_path: Path) -> None:
    text = obstacle([30, 40, 15], ", on: plate")
    ring = trimesh.creation.annulus(10, 20, 30, sections=32)
    cell = Cell.load(str(cell_with(tmp_path, "peg_insertion", text, stop=ring)))
    (cpu_N, cpu), (warp_N, warp) = (pressed(cell, simulator) for simulator in ("cpu", "warp:cpu"))
    assert (cpu_N.max(axis=0) > 20).sum() == 3, "one peg stands so in the hand that it misses"
    np.testing.assert_allclose(warp_N.max(axis=0), cpu_N.max(axis=0), rtol=0.1)
    np.testing.assert_allclose(warp.q_rad, cpu.q_rad, atol=2e-3)


def test_it_is_seen_and_its_touch_is_felt(tmp_path: Path) -> None:
    never = "requirements: {untouched: {surfaces: [{name: stop}], rate: 0.01}}\n"
    ring = trimesh.creation.annulus(10, 20, 30, sections=32)
    text = obstacle([30, 40, 15], ", on: plate") + never
    cell = Cell.load(str(cell_with(tmp_path, "peg_insertion", text, stop=ring)))
    scene = Scene(cell.workcell)
    (shape,) = (shape for shape in scene.shapes if scene.bodies[shape.body] == "obstacle/stop")
    np.testing.assert_allclose(np.abs(shape.vertices).max(axis=0), (0.02, 0.02, 0.015), atol=2e-4)
    assert len(shape.faces) > 100
    assert (started(cell)[3].touch_N == 0).all()
    forces_N, physics = pressed(cell, "cpu")
    felt = forces_N[-1] > 1
    assert felt.any()
    assert (physics.touch_N[felt] > 0.5).all()


def test_a_housing_is_held_with_the_part(tmp_path: Path) -> None:
    """It stands on the plate before the peg is in, and the peg's friction and offset in the hand are its own."""
    text = "task: {part: {housing: {mesh: flange.stl, mesh_unit: mm}}}\n"
    flange = block(40, 40, 5)
    path = cell_with(tmp_path, "peg_insertion", text, flange=flange)
    cell, plain = Cell.load(str(path)), Cell.load("peg_insertion")
    check(cell.spec, path)
    geoms = [np.flatnonzero(c.workcell.model.geom_bodyid == c.workcell.model.body("part").id) for c in (cell, plain)]
    assert [len(found) for found in geoms] == [2, 1]
    assert cell.workcell.model.body("part").mass == plain.workcell.model.body("part").mass
    np.testing.assert_allclose(sorted(cell.workcell.model.geom_size[geoms[0][1]]), (0.0025, 0.02, 0.02), atol=1e-6)
    np.testing.assert_allclose(cell.workcell.model.geom_pos[geoms[0][1]], (0, 0, 0.0025), atol=1e-6)
    assert cell.workcell.envelope.guarded_m.shape[0] == plain.workcell.envelope.guarded_m.shape[0] + 8
    flange.apply_translation((0, 0, 15.5)).export(tmp_path / "flange.stl")
    with pytest.raises(
        InputError, match=r"it reaches to z = 20\.5 mm: at depth_mm 20 all beyond 20 mm from the finger"
    ):
        load_cell(str(path))
