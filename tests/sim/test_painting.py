"""What a cell's cameras see: the right place, at the right time, whatever draws it."""

from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
import pytest

from robot_rlaas.assets import data_dir
from robot_rlaas.cell.cameras import Camera, stated
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, Variation, load_cell
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.sim.backends import seeing_backend_of
from robot_rlaas.sim.cameras import add_cameras
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.looks import Looks, looks_of, plain
from robot_rlaas.sim.model import Workcell, build
from robot_rlaas.sim.painting import GlPainter, Pictures, _Brush
from robot_rlaas.sim.render import Renderer, RenderingUnavailable, offscreen, open_gl
from robot_rlaas.sim.variation import draw

ROWS = 4
SHIPPED = sorted(path.stem for path in (data_dir("sim_assets") / "cells").glob("*.yaml"))
ODD = {"mount": "cell", "at_mm": [300, -400, 500], "look_at_mm": [0, 0, 0], "resolution_px": [120, 100]}
ODD |= {"focal_px": [180, 140], "center_px": [40.3, 60.7]}


def made(hz: float = 20.0, **keys: Any) -> Any:
    return stated(Camera.model_validate(keys), hz)


def seen_from(cell: CellSpec, /, **cameras: Any) -> CellSpec:
    return cell.model_copy(update={"cameras": cameras})


@pytest.fixture(scope="module")
def cell() -> CellSpec:
    return load_cell("peg_insertion_camera")


@pytest.fixture(scope="module")
def workcell(cell: CellSpec) -> Workcell:
    built = build(cell)
    try:
        with Renderer(built, 32, 32):
            return built
    except RenderingUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def backend(cell: CellSpec, workcell: Workcell) -> CpuBackend:
    return at_starts(cell, workcell)


def at_starts(cell: CellSpec, workcell: Workcell, rows: int = ROWS, same: bool = False) -> CpuBackend:
    """The first episodes, or the first one so many times."""
    backend = CpuBackend(workcell, cell, rows, nthread=1)
    home = np.deg2rad(np.array(cell.robot.home_deg))
    starts = draw(cell, Seeds(0, Space.SHOW), np.arange(rows) * (not same))
    backend.reset(np.arange(rows), starts, np.broadcast_to(home, (rows, len(home))))
    return backend


def paint(cell: CellSpec, workcell: Workcell, backend: CpuBackend, looks: Looks | None = None) -> Pictures:
    with GlPainter(cell, workcell, backend.nsim, threads=1) as painter:
        return painted(painter, cell, backend, looks)


def painted(painter: Any, cell: CellSpec, backend: CpuBackend, looks: Looks | None = None) -> Pictures:
    rows = np.arange(backend.nsim)
    if looks is not None:
        painter.begin(rows, looks)
    return painter.paint(backend.poses(), dict.fromkeys(cell.cameras, rows))


# Where


@pytest.mark.parametrize("point", [(0, 0, 0), (0.05, 0, 0), (0, 0.06, 0.03), (-0.05, -0.05, 0.02)])
def test_a_lens_with_odd_intrinsics_puts_a_point_where_it_says(workcell, point: tuple[float, ...]) -> None:
    """A small sphere, drawn four times as fine, against the pinhole's formula."""
    camera, fine, spec = made(**ODD), 4, mujoco.MjSpec()
    width, height = (fine * size for size in camera.resolution_px)
    spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
    add_cameras(spec, {"odd": camera})
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=(0.008, 0, 0), pos=point, rgba=(1, 0, 0, 1))
    model = spec.compile()
    picture = _shot(model, width, height)
    rows, columns = np.nonzero(picture[..., 0] > 30)
    found = (np.array([columns.mean(), rows.mean()]) + 0.5) / fine - 0.5
    T = camera.pose.matrix()
    np.testing.assert_allclose(found, camera.project((np.array(point) - T[:3, 3])[None] @ T[:3, :3])[0], atol=0.03)


def _shot(model: mujoco.MjModel, width: int, height: int) -> np.ndarray:
    data, scene, view, rect = mujoco.MjData(model), mujoco.MjvScene(model, 10), mujoco.MjvCamera(), None
    mujoco.mj_forward(model, data)
    scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
    view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
    every, rect = mujoco.mjtCatBit.mjCAT_ALL.value, mujoco.MjrRect(0, 0, width, height)
    mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, view, every, scene)
    gl = open_gl()
    context, picture = offscreen(model, gl), np.empty((height, width, 3), np.uint8)
    mujoco.mjr_render(rect, scene, context)
    mujoco.mjr_readPixels(picture, None, rect, context)
    context.free()
    gl.free()
    return picture[::-1]


@pytest.mark.parametrize("name", ["wrist", "cell"])
def test_the_hole_is_dark_where_it_is_projected(cell, workcell, backend, name: str) -> None:
    pictures, camera = paint(cell, workcell, backend)[name], cell.cameras[name]
    for row, picture in enumerate(pictures):
        model, data = backend.batch.get_model(row), backend.batch.get_data(row)
        mujoco.mj_forward(model, data)
        eye = data.camera(f"camera/{name}")
        sideways = data.site("hole").xmat.reshape(3, 3)[:, 1] * (-1, -1, 0)
        corner = data.site("hole").xpos + 0.0055 * sideways - (0, 0, 0.001)
        u, v = camera.project((corner - eye.xpos)[None] @ eye.xmat.reshape(3, 3) @ np.diag([1.0, -1.0, -1.0]))[0]
        assert picture[round(v), round(u)].max() < 60


def test_keep_out_boxes_are_not_in_pictures(cell, workcell) -> None:
    """Their red is translucent; what stands in the box has a red handle, as drawn, and nothing else here is red."""
    blunt = made(mount="cell", at_mm=[500, -200, 100], look_at_mm=[500, 160, 100], resolution_px=[64, 64], fov_deg=24)
    other = seen_from(cell, blunt=blunt)
    own = build(other)
    picture = paint(other, own, at_starts(other, own, 1))["blunt"][0].astype(int)
    red = (picture[..., 0] > 1.4 * picture[..., 1]) & (picture[..., 0] > 1.4 * picture[..., 2])
    yellow = picture[..., 1] > 1.3 * picture[..., 2]
    assert 0 < (red & ~yellow).mean() < 0.2


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_cell_can_be_drawn(workcell, name: str) -> None:
    at = made(mount="cell", at_mm=[900, -900, 700], look_at_mm=[350, 0, 50], resolution_px=[64, 48], fov_deg=40)
    cell = seen_from(load_cell(name), view=at)
    own = build(cell)
    pictures = paint(cell, own, at_starts(cell, own, 2))["view"]
    assert pictures.shape == (2, 48, 64, 3)
    assert pictures.std() > 15
    assert (pictures[0] != pictures[1]).any(), "the starts differ"


# The same, whoever draws it


def test_threads_rows_and_order_do_not_matter(cell, workcell, backend) -> None:
    looks = looks_of(cell, draw(cell, Seeds(1, Space.SHOW), np.arange(ROWS)).looks)
    alone = paint(cell, workcell, backend, looks)
    with GlPainter(cell, workcell, ROWS, threads=2) as painter:
        together = painted(painter, cell, backend, looks)
        some = painter.paint(backend.poses(), {"wrist": np.array([1, 3]), "cell": np.array([2])})
    for name in cell.cameras:
        np.testing.assert_array_equal(together[name], alone[name])
    np.testing.assert_array_equal(some["wrist"], alone["wrist"][[1, 3]])
    np.testing.assert_array_equal(some["cell"], alone["cell"][[2]])


def test_leaving_out_what_is_not_in_view_leaves_out_nothing_else(cell, workcell, backend, monkeypatch) -> None:
    culled = paint(cell, workcell, backend)
    counted: list[int] = []
    cull = _Brush._cull
    monkeypatch.setattr(_Brush, "_cull", lambda brush, camera: (cull(brush, camera), counted.append(_hidden(brush))))
    paint(cell, workcell, backend)
    assert min(counted) > 5, "something is left out"
    monkeypatch.setattr(_Brush, "_cull", lambda brush, camera: None)
    for name, pictures in paint(cell, workcell, backend).items():
        np.testing.assert_array_equal(pictures, culled[name])


def _hidden(brush: _Brush) -> int:
    return int((brush._model.geom_group[brush._drawn.shapes] != 0).sum())


def test_mujoco_warp_draws_the_same(cell, workcell) -> None:
    pytest.importorskip("mujoco_warp", reason="MuJoCo Warp is not installed: pip install 'robot_rlaas[warp]'")
    from robot_rlaas.sim.warp_painting import WarpPainter

    near = {**cell.cameras, "odd": made(**ODD | {"at_mm": [730, -230, 290], "look_at_mm": [500, 0, 72]})}
    small = seen_from(cell, **{name: camera for name, camera in near.items() if name != "cell"})
    own, looks = build(small), looks_of(small, draw(small, Seeds(1, Space.SHOW), np.arange(2)).looks)
    backend = at_starts(small, own, 2)
    with WarpPainter(small, own, 2) as painter:
        theirs = painted(painter, small, backend, looks)
        some = painter.paint(backend.poses(), {"odd": np.array([1])})
    np.testing.assert_array_equal(some["odd"], theirs["odd"][[1]])
    assert some["wrist"].shape == (0, 96, 96, 3)
    for name, pictures in paint(small, own, backend, looks).items():
        off = np.abs(pictures.astype(int) - theirs[name]).max(axis=-1)
        assert np.median(off) <= 1
        assert (off > 8).mean() < 0.002


# How it looks


def test_a_camera_that_is_off_sees_what_one_sees_that_stands_there(cell, workcell) -> None:
    """20 mm along x and 5 degrees about the base's z, against cameras that are stated so."""
    true = made(mount="cell", at_mm=[730, -230, 290], rpy_deg=[-124, 0, 45], resolution_px=[64, 64], fov_deg=30)
    moved = made(mount="cell", at_mm=[750, -230, 290], rpy_deg=[-124, 0, 50], resolution_px=[64, 64], fov_deg=30)
    one, other = seen_from(cell, eye=true), seen_from(cell, eye=moved)
    own, looks = build(one), plain(one, ROWS)
    looks.off[:, 0, 0], looks.off[:, 0, 5] = 0.02, np.deg2rad(5)
    backend = at_starts(one, own)
    there, here, stated_so = (
        paint(*drawn)["eye"].astype(int)
        for drawn in ((other, build(other), backend), (one, own, backend, looks), (one, own, backend))
    )
    assert (np.abs(here - there).max(axis=-1) > 4).mean() < 0.002  # an edge may fall to the next pixel
    assert (np.abs(stated_so - there).max(axis=-1) > 4).mean() > 0.05


def test_light_and_colours_vary_as_they_are_told(cell, workcell, backend) -> None:
    looks = plain(cell, ROWS)
    looks.light_scale[:] = [1.0, 0.5, 1.0, 1.0]
    looks.light_rad[2] = 0.5, 0.0
    looks.color_shift[3, :, 0] = -0.3
    still = at_starts(cell, workcell, same=True)
    usual, dark, turned, cyan = paint(cell, workcell, still, looks)["cell"].astype(float)
    assert dark.mean() == pytest.approx(usual.mean() / 2, rel=0.1)
    assert (np.abs(turned - usual).max(axis=-1) > 4).mean() > 0.05
    assert (cyan - usual)[..., 0].mean() < -40
    np.testing.assert_allclose(cyan[..., 1:], usual[..., 1:], atol=1)


def test_what_varies_is_drawn_within_its_ranges_and_beside_everything_else(cell) -> None:
    seeds, episodes = Seeds(5, Space.SHOW), np.arange(200)
    drawn, blind = (draw(spec, seeds, episodes) for spec in (cell, seen_from(cell)))
    assert blind.looks.shape == (200, 0)
    for name, field in drawn._asdict().items():
        if name != "looks":
            np.testing.assert_array_equal(field, getattr(blind, name), name)
    looks, vary = looks_of(cell, drawn.looks), cell.variation
    ranges = (
        (looks.light_scale, vary.light_scale),
        (np.rad2deg(looks.light_rad), vary.light_deg),
        (looks.color_shift, vary.color_shift),
        (1000 * looks.off[:, :, :3], vary.camera_mm),
        (np.rad2deg(looks.off[:, :, 3:]), vary.camera_deg),
    )
    for values, (low, high) in ranges:
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high
    beyond = draw(cell, seeds, episodes, {"light_scale": (0.8, 1.2)}).looks
    scale = looks_of(cell, beyond).light_scale
    assert ((scale < 0.8) | (scale > 1.2)).all()
    np.testing.assert_array_equal(beyond[:, 1:], drawn.looks[:, 1:])


def test_a_calibrated_camera_is_off_by_what_its_calibration_leaves_open(cell) -> None:
    covariance = np.diag([1e-6, 4e-6, 9e-6, 1e-8, 4e-8, 9e-8])
    covariance[0, 1] = covariance[1, 0] = 1.5e-6
    found = cell.cameras["cell"].model_copy(update={"covariance": tuple(map(tuple, covariance.tolist()))})
    both, many = seen_from(cell, cell=found), np.arange(3000)
    off = looks_of(both, draw(both, Seeds(2, Space.SHOW), many).looks).off[:, 0]
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(np.cov(off.T / scale[:, None]), covariance / np.outer(scale, scale), atol=0.08)
    wide = Variation(**{**both.variation.model_dump(), "camera_mm": (-20.0, 20.0)})
    far = draw(both.model_copy(update={"variation": wide}), Seeds(2, Space.SHOW), many, {"camera_mm": (-10, 10)})
    assert (np.abs(looks_of(both, far.looks).off[:, 0, :3]) >= 0.01).all(), "held out: elsewhere than it was found"


# When


@pytest.fixture
def moving(cell, workcell) -> Iterator[Any]:
    """A backend with a camera of every period and one that is slow and late, both at the same place."""
    quick = cell.cameras["wrist"]
    slow = quick.model_copy(update={"rate_hz": 10.0, "latency_s": 0.14})
    both = seen_from(cell, quick=quick, slow=slow)
    with seeing_backend_of("cpu", build(both), both, 2) as backend:
        yield both, backend


def test_pictures_come_at_their_rate_and_late(moving) -> None:
    """The slow camera, every second period and three periods late, shows what the quick one showed then."""
    cell, backend = moving
    home, starts = np.deg2rad(np.array(cell.robot.home_deg)), draw(cell, Seeds(0, Space.SHOW), np.arange(2))
    starts.looks[:] = plain_flat(cell)
    backend.reset(np.arange(2), starts, np.tile(home, (2, 1)))
    past: list[list[np.ndarray]] = [[backend.pictures["quick"][row]] for row in range(2)]
    for t in range(1, 12):
        targets = np.tile(home, (2, backend.substeps, 1))
        targets[:, :, 0] += 0.02 * t
        backend.step(targets)
        if t == 4:
            final = backend.pictures
            backend.reset(np.array([1]), starts.take(np.array([1])), home[None])
            past[1].clear()
            assert backend.final is final
            np.testing.assert_array_equal(backend.pictures["quick"][0], final["quick"][0])
            assert (backend.pictures["quick"][1] != final["quick"][1]).any()
        for row in range(2):
            past[row].append(backend.pictures["quick"][row])
            arrived = max(len(past[row]) - 1 - 3, 0) // 2 * 2
            np.testing.assert_array_equal(backend.pictures["slow"][row], past[row][arrived])
        assert t < 3 or (past[0][-1] != past[0][-2]).any(), "the arm moves"


def plain_flat(cell: CellSpec) -> np.ndarray:
    looks = plain(cell, 1)
    return np.concatenate([looks.light_scale, *(field.ravel() for field in looks[1:])])


def test_seeing_changes_nothing_but_what_is_seen(cell, workcell) -> None:
    blind = BatchEnv(cell, workcell, CpuBackend(workcell, cell, 3), Seeds(0, Space.SHOW))
    action = np.random.default_rng(0).uniform(-1, 1, (3, 4))
    with seeing_backend_of("cpu", workcell, cell, 3) as backend:
        seeing = BatchEnv(cell, workcell, backend, Seeds(0, Space.SHOW))
        assert seeing.reset().tobytes() == blind.reset().tobytes()
        first = backend.pictures["wrist"]
        kept = first.copy()
        for _ in range(5):
            assert seeing.step(action).observation.tobytes() == blind.step(action).observation.tobytes()
        assert (backend.pictures["wrist"] != first).any()
        np.testing.assert_array_equal(first, kept), "pictures are not overwritten"


def test_without_cameras_or_opengl_it_says_why(cell, monkeypatch) -> None:
    blind = seen_from(cell)
    with pytest.raises(InputError, match="has no cameras"):
        seeing_backend_of("cpu", build(blind), blind, 1)
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    with pytest.raises(RenderingUnavailable, match="MUJOCO_GL"), seeing_backend_of("cpu", build(cell), cell, 1):
        pass
