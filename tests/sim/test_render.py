import os
import subprocess
import sys

import av
import mujoco
import numpy as np
import pytest
from PIL import Image

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build
from robot_rlaas.sim.render import Renderer, RenderingUnavailable, cell_picture, save_png, write_video
from robot_rlaas.sim.scenery import dress
from robot_rlaas.sim.variation import draw


@pytest.fixture(scope="module")
def cell():
    return load_cell("peg_insertion")


@pytest.fixture(scope="module")
def workcell(cell):
    return build(cell)


@pytest.fixture(scope="module")
def renderer(workcell):
    try:
        with Renderer(workcell, 320, 240, shadows=False, smooth=False) as renderer:
            yield renderer
    except RenderingUnavailable as error:
        pytest.skip(str(error))


def put(backend, cell, starts):
    home = np.deg2rad(np.array(cell.robot.home_deg))
    backend.reset(np.arange(backend.nsim), starts, np.broadcast_to(home, (backend.nsim, len(home))))


def differing(one, other):
    return np.any(one != other, axis=-1).mean()


def test_dressing_changes_nothing_that_moves_or_touches(workcell):
    plain, dressed = workcell.model, dress(workcell.spec).compile()
    for name in ("nbody", "nq", "nv", "nu", "nmocap"):
        assert getattr(plain, name) == getattr(dressed, name), name
    for name in ("body_mass", "body_inertia", "body_pos", "body_quat", "jnt_range", "dof_damping"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(dressed, name), name)

    def touching(model):
        ids = np.flatnonzero(model.geom_contype | model.geom_conaffinity)
        return [(model.geom_bodyid[i], *model.geom_size[i], *model.geom_pos[i], *model.geom_quat[i]) for i in ids]

    assert touching(plain) == touching(dressed)
    assert plain.ngeom == len(touching(plain)), "the physics carries geoms that only pictures need"
    assert dressed.ngeom > 2 * plain.ngeom


def test_picture_shows_the_simulation_it_was_asked_for(cell, workcell, renderer):
    backend = CpuBackend(workcell, cell, 3, nthread=1)
    starts = draw(cell, Seeds(0, Space.SHOW), np.zeros(3))
    starts.plate_xy_m[:] = [(0.02, 0.0), (-0.02, 0.0), (0.02, 0.0)]
    starts.hand_m[:] = [(0, 0, 0), (0, 0, 0), (0.004, 0, 0)]
    put(backend, cell, starts)
    first, moved, in_hand = (renderer.draw(backend, i, "close") for i in range(3))
    assert first.shape == (240, 320, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, renderer.draw(backend, 0, "close"))
    assert differing(first, moved) > 0.05
    assert 0.001 < differing(first, in_hand) < 0.05
    assert differing(first, renderer.draw(backend, 0, "cell")) > 0.3


def test_hole_is_dark_and_the_peg_is_brass(cell, workcell, renderer):
    """Project both into the close view and look at the pixels there."""
    backend = CpuBackend(workcell, cell, 1, nthread=1)
    starts = draw(cell, Seeds(0, Space.SHOW), np.zeros(1))
    starts.plate_xy_m[:], starts.plate_yaw_rad[:] = (0.03, 0.0), 0.0
    put(backend, cell, starts)
    picture = renderer.draw(backend, 0, "close").astype(int)
    model, data = backend.batch.get_model(0), backend.batch.get_data(0)
    mujoco.mj_forward(model, data)
    hole = _pixel(model, data, data.site("hole").xpos - np.array([0, 0, 0.002]))
    peg = _pixel(model, data, data.geom("part").xpos + np.array([0.008, 0, -0.02]))
    assert picture[hole].max() < 60
    red, _, blue = picture[peg]
    assert red > 2 * blue


def _pixel(model, data, point):
    camera = data.camera("close")
    x, y, z = camera.xmat.reshape(3, 3).T @ (point - camera.xpos)
    scale = 120 / np.tan(np.deg2rad(model.camera("close").fovy[0]) / 2)
    return int(120 + scale * y / z), int(160 - scale * x / z)


def test_cell_picture_comes_back_from_its_file(cell, workcell, renderer, tmp_path):
    picture = cell_picture(cell, workcell, count=3, seed=1)
    assert picture.shape[1:] == (1200, 3)
    assert picture.std() > 20
    path = save_png(picture, tmp_path / "cell" / "cell.png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    assert [p.name for p in path.parent.iterdir()] == ["cell.png"]


def test_video_keeps_its_frames(tmp_path):
    grey = [np.full((36, 64, 3), 10 * i, np.uint8) for i in range(25)]
    path = write_video(grey, tmp_path / "grey.mp4", 20)
    with av.open(path) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].average_rate == 20
        back = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(back) == len(grey)
    assert np.abs(back[20].astype(int) - grey[20]).max() < 12


def test_interrupted_video_leaves_nothing(tmp_path):
    def frames():
        yield np.zeros((36, 64, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(frames(), tmp_path / "half.mp4", 20)
    assert list(tmp_path.iterdir()) == []


def test_rendering_turned_off_says_so(workcell, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    with pytest.raises(RenderingUnavailable, match="MUJOCO_GL"), Renderer(workcell, 64, 48):
        pass


def test_missing_opengl_says_what_to_install():
    script = (
        "from robot_rlaas.cell.spec import load_cell\n"
        "from robot_rlaas.sim.model import build\n"
        "from robot_rlaas.sim.render import RenderingUnavailable, cell_picture\n"
        "cell = load_cell('peg_insertion')\n"
        "try:\n    cell_picture(cell, build(cell))\nexcept RenderingUnavailable as error:\n    print(error)\n"
    )
    environment = {**os.environ, "MUJOCO_EGL_DEVICE_ID": "999"}  # as good as a machine without one
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert "apt-get install libegl1 libgl1-mesa-dri" in ran.stdout, ran.stderr
