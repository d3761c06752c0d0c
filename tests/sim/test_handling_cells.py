"""Free parts, fixtures and drives in the simulation: they are where the draw says and move as a real thing would."""

import re

import mujoco
import numpy as np
import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import cell_path, load_cell
from robot_rlaas.control.joint_path import path_between
from robot_rlaas.control.kinematics import Pose, solve, tool_pose
from robot_rlaas.deploy.handling import Handling
from robot_rlaas.sim.check import check
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build
from robot_rlaas.sim.starts import machines, scene
from robot_rlaas.sim.variation import draw

N = 12


@pytest.fixture(scope="module", params=["machine_tending", "kitting"])
def cell(request):
    return load_cell(request.param)


@pytest.fixture(scope="module")
def tending():
    return load_cell("machine_tending")


@pytest.fixture(scope="module")
def workcells():
    built = {}
    return lambda cell: built.setdefault(cell.name, build(cell))


def started(cell, workcell, n=N):
    backend = CpuBackend(workcell, cell, n)
    starts = draw(cell, Seeds(3, Space.SHOW), np.arange(n))
    home = np.broadcast_to(np.deg2rad(np.array(cell.robot.home_deg)), (n, len(cell.robot.home_deg)))
    return backend, starts, backend.reset(np.arange(n), starts, home), home


def held_still(backend, home, periods, opening):
    setpoints = np.repeat(home[:, None], backend.substeps, axis=1)
    for _ in range(periods):
        physics = backend.step(setpoints, opening)
    return physics


def test_parts_lie_where_they_were_drawn_and_stay_there(cell, workcells) -> None:
    backend, starts, first, home = started(cell, workcells(cell))
    at = scene(cell.task, starts.start)
    drives = first.openings.shape[1]
    physics = held_still(backend, home, 20, np.ones((N, 1 + drives)))
    np.testing.assert_allclose(physics.parts[..., :3], at.parts.p, atol=1e-3)
    yaw = 2 * np.arctan2(physics.parts[..., 6], physics.parts[..., 3])
    assert np.abs(np.sin(yaw - at.parts.yaw)).max() < 0.01
    assert (physics.contact_N == 0).all()


def test_no_two_parts_share_a_slot_and_every_slot_is_used(cell) -> None:
    """A part that has a slot to itself is no nearer to another one than the tray's pitch less the jitter."""
    starts = draw(cell, Seeds(4, Space.SHOW), np.arange(200))
    at, tray = scene(cell.task, starts.start).parts.p, cell.task.fixtures[0]
    slots = np.unique(np.round((at - np.array(tray.at_mm) / 1000) / 0.03).reshape(-1, 3), axis=0)
    assert len(slots) >= tray.slots[0] * tray.slots[1]
    if at.shape[1] > 1:
        away = np.linalg.norm(at[:, :, None] - at[:, None], axis=-1) + np.eye(at.shape[1])
        least = (min(tray.pitch_mm) - (tray.jitter_mm[1] - tray.jitter_mm[0])) / 1000
        assert least <= away.min() < 1.1 * least


def test_masses_frictions_and_places_are_the_drawn_ones(tending, workcells) -> None:
    backend, starts, _, _ = started(tending, workcells(tending))
    at = scene(tending.task, starts.start)
    for i in range(N):
        model, data = backend.batch.get_model(i), backend.batch.get_data(i)
        mujoco.mj_forward(model, data)
        assert model.body("billet").mass[0] == pytest.approx(at.mass_kg[i, 0])
        size, mass = np.array(tending.task.parts[0].size_mm) / 1000, at.mass_kg[i, 0]
        assert model.body("billet").inertia[2] == pytest.approx(mass * (size[0] ** 2 + size[1] ** 2) / 12)
        assert model.geom("billet").friction[0] == pytest.approx(starts.friction[i])
        assert model.geom("tool/pad_left").friction[0] == pytest.approx(at.grip_friction[i])
        np.testing.assert_allclose(data.body("vise").xpos, at.fixtures.p[i, 1], atol=1e-12)


def test_the_gripper_takes_its_time_and_tells_its_aperture(tending, workcells) -> None:
    """From 85 mm, the stroke in the data sheet of the gripper it is like, to nothing, no faster than it is set."""
    backend, _, first, home = started(tending, workcells(tending))
    np.testing.assert_allclose(first.aperture_m, 0.085, atol=1e-4)
    still, gaps = np.tile([0.0, 1.0, 1.0], (N, 1)), [first.aperture_m]
    for _ in range(24):
        gaps.append(held_still(backend, home, 1, still).aperture_m)
    gaps = np.array(gaps)
    speed = -np.diff(gaps, axis=0) / tending.period_s
    assert speed.max() < 1.1 * 0.085 / tending.task.grip.close_s
    assert gaps[round(0.7 * tending.task.grip.close_s / tending.period_s)].min() > 0.01
    np.testing.assert_allclose(gaps[-1], 0.0, atol=5e-4)


def test_a_vise_clamps_what_stands_in_it(tending, workcells) -> None:
    """The jaw stops on the billet, and then nothing but more than its friction moves the billet."""
    backend, starts, _, home = started(tending, workcells(tending), 2)
    at = scene(tending.task, starts.start)
    half, zero = at.fixtures.yaw[:, 1] / 2, np.zeros(2)
    turn = np.stack([np.cos(half), zero, zero, np.sin(half)], axis=1)
    backend._qpos[:, backend._free[0]] = np.concatenate([at.fixtures.p[:, 1] + np.array([0, 0, 5e-4]), turn], axis=1)
    physics = held_still(backend, home, 30, np.tile([1.0, 0.0, 1.0], (2, 1)))
    vise, billet = tending.task.fixtures[1], tending.task.parts[0]
    np.testing.assert_allclose(physics.openings[:, 0], billet.size_mm[0] / vise.opening_mm, atol=0.02)
    before = physics.parts[:, 0, :3].copy()
    friction = 2 * starts.friction * vise.force_N
    pull = backend.batch.bind("xfrc_applied")
    body = workcells(tending).model.body("billet").id
    for share, moves in ((0.5, False), (3.0, True)):
        pull[:, body, 1] = share * friction
        after = held_still(backend, home, 8, np.tile([1.0, 0.0, 1.0], (2, 1))).parts[:, 0, :3]
        assert ((np.linalg.norm(after - before, axis=1) > 2e-3) == moves).all()


def test_a_door_goes_where_its_cycle_has_it(tending, workcells) -> None:
    backend, starts, _, home = started(tending, workcells(tending))
    phase, gate = scene(tending.task, starts.start).phase, tending.task.fixtures[2]
    seen = []
    for i in range(round(gate.period_s / tending.period_s)):
        due = machines(tending.task, phase, i * tending.period_s)
        physics = held_still(backend, home, 1, np.concatenate([np.ones((N, 1)), due.told], axis=1))
        seen.append(physics.openings[:, 1])
        later = machines(tending.task, phase, (i + 1) * tending.period_s)
        turns = (later.told != due.told).any(axis=1)
        np.testing.assert_allclose(physics.openings[~turns, 1], later.at[~turns, 1], atol=0.3)
    wide = (np.array(seen) > 0.98).mean(axis=0)
    expected = gate.open_share - gate.slide_s / gate.period_s
    np.testing.assert_allclose(wide, expected, atol=0.04)


@pytest.mark.parametrize(("open_share", "open_s"), [(0.5, 3.6), (0.42, 3.0), (0.38, 2.6), (0.04, 0.0)])
def test_a_door_that_never_stays_open_for_the_way_through_is_found(tmp_path, open_share, open_s) -> None:
    path = tmp_path / "cell.yaml"
    path.write_text(cell_path("machine_tending").read_text().replace("open_share: 0.5", f"open_share: {open_share}"))
    cell, figures = load_cell(str(path)), f"for {open_s} s, .*takes 2.8 s"
    if open_s > 2.8:
        workcell, findings = check(cell, path)
        assert any(re.search(figures, finding.figure) for finding in findings)
    else:
        workcell = build(cell)
        with pytest.raises(
            InputError, match=rf"cell\.yaml:\d+: 'gate' stays wide open {figures}: the arm would wait for"
        ):
            check(cell, path)
    assert goes_home(cell, workcell) == (open_s > 2.8)


def goes_home(cell, workcell) -> bool:
    """Whether the arm, waiting behind the gate, goes through it once it has just opened."""
    job, behind = Handling(cell, workcell.chain, workcell.envelope), np.array(cell.task.stages[-1].to_mm) / 1000
    home = np.deg2rad(np.array([cell.robot.home_deg]))
    q, _ = solve(workcell.chain, Pose(tool_pose(workcell.chain, home).R, behind[None]), home)
    far, near, _ = job.way_home(q[0])
    for opening in (0.0, 1.0):
        around = job.rehearsal().around._replace(openings=np.array([[1.0, opening]]))
        job.sense(job.rehearsal()._replace(around=around))
    return job.free(path_between(workcell.chain, workcell.envelope, cell.period_s, far, near).targets)
