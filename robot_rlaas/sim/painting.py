"""Pictures of many simulations for a cell's cameras, drawn offscreen with EGL.

Edges are not smoothed: drawn twice as fine and shrunk, a picture takes twice as long, and where the plate lies can be
read off it only 2 to 10 % better.
"""

import copy
import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import groupby
from typing import NamedTuple, Protocol, Self

import mujoco
import numpy as np

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.backend import Poses
from robot_rlaas.sim.drawn import SEEN, Drawn, drawn_model, fields
from robot_rlaas.sim.geometry import UNSEEN
from robot_rlaas.sim.looks import Looks, plain
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.render import offscreen, open_gl
from robot_rlaas.sim.shapes import mirror

Pictures = dict[str, np.ndarray]  # camera -> (n, height, width, 3) uint8 RGB
Flag = mujoco.mjtRndFlag
OFF = (Flag.mjRND_SHADOW, Flag.mjRND_REFLECTION, Flag.mjRND_SKYBOX, Flag.mjRND_HAZE, Flag.mjRND_FOG)


class Painter(Protocol):
    """Draws what the cameras of a cell see. A context manager."""

    def begin(self, rows: np.ndarray, looks: Looks) -> None:
        """So these simulations (m,) look from now on."""
        ...

    def paint(self, at: Poses, due: dict[str, np.ndarray]) -> Pictures:
        """Draw, camera by camera, the simulations (m,) that are due, as they stand now."""
        ...


class GlPainter:
    """Draws with OpenGL, each thread its share of the simulations, with one context, model and scene per thread.

    Args:
        cell: with its cameras.
        workcell: built from it.
        nsim: how many simulations there are.
        threads: 0 takes all cores, but no more than there are simulations. Pictures do not depend on it.

    Raises:
        RenderingUnavailable: on entering, where there is no EGL, or where MUJOCO_GL turns rendering off.
    """

    def __init__(self, cell: CellSpec, workcell: Workcell, nsim: int, threads: int = 0) -> None:
        self._cell, self._workcell = cell, workcell
        self._nsim, self._threads = nsim, min(threads or os.cpu_count() or 1, nsim)

    def __enter__(self) -> Self:
        os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa's own threads would only be in the way of ours
        self._drawn = drawn_model(self._cell, self._workcell)
        self._fields = fields(self._drawn, plain(self._cell, self._nsim))
        with ExitStack() as opened:
            self._brushes = [opened.enter_context(_Brush(self._drawn)) for _ in range(self._threads)]
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def begin(self, rows: np.ndarray, looks: Looks) -> None:
        """See `Painter.begin`."""
        for name, field in fields(self._drawn, looks).items():
            self._fields[name][rows] = field

    def paint(self, at: Poses, due: dict[str, np.ndarray]) -> Pictures:
        """See `Painter.paint`."""
        pictures, jobs = {}, []
        for i, (name, camera) in enumerate(self._cell.cameras.items()):
            rows, (width, height) = due.get(name, np.zeros(0, int)), camera.resolution_px
            pictures[name] = np.empty((len(rows), height, width, 3), np.uint8)
            jobs += [_Job(row, i, picture) for row, picture in zip(rows.tolist(), pictures[name])]
        jobs.sort(key=lambda job: job.row)
        share = -(-len(jobs) // len(self._brushes)) or 1
        shares = [jobs[i : i + share] for i in range(0, len(jobs), share)]
        for done in [brush.paint(at, self._fields, share) for brush, share in zip(self._brushes, shares)]:
            done.result()
        return pictures


class _Job(NamedTuple):
    """A picture (height, width, 3) to be drawn: of which simulation, for which camera."""

    row: int
    camera: int
    picture: np.ndarray


class _Brush:
    """A thread that draws. A context manager; everything that it holds lives in the thread."""

    def __init__(self, drawn: Drawn) -> None:
        self._drawn, self._thread = drawn, ThreadPoolExecutor(1, "painter")

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            opened.callback(self._thread.shutdown)
            self._thread.submit(self._open).result()
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._opened:
            self._thread.submit(self._close).result()

    def paint(self, at: Poses, fields: dict[str, np.ndarray], jobs: list[_Job]) -> Future[None]:
        """Begin to draw; jobs of one simulation stand together."""
        return self._thread.submit(self._paint, at, fields, jobs)

    def _open(self) -> None:
        self._gl = open_gl()
        self._model = model = copy.copy(self._drawn.model)
        self._data, self._option = mujoco.MjData(model), mujoco.MjvOption()
        self._scene = mujoco.MjvScene(model, maxgeom=len(self._drawn.shapes) + 1)
        for flag in OFF:
            self._scene.flags[flag] = False
        self._views = [_view(camera) for camera in self._drawn.cameras.tolist()]
        self._context = offscreen(model, self._gl)

    def _close(self) -> None:
        self._context.free()
        self._gl.free()

    def _paint(self, at: Poses, fields: dict[str, np.ndarray], jobs: list[_Job]) -> None:
        for row, of_row in groupby(jobs, lambda job: job.row):
            for name, field in fields.items():
                getattr(self._model, name)[:] = field[row]
            mirror(self._model, self._data, at, row)
            mujoco.mj_camlight(self._model, self._data)
            for job in of_row:
                self._shoot(job)

    def _shoot(self, job: _Job) -> None:
        self._cull(job.camera)
        every = mujoco.mjtCatBit.mjCAT_ALL.value
        view = self._views[job.camera]
        mujoco.mjv_updateScene(self._model, self._data, self._option, None, view, every, self._scene)
        height, width, _ = job.picture.shape
        rect = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(rect, self._scene, self._context)
        mujoco.mjr_readPixels(job.picture, None, rect, self._context)
        job.picture[:] = job.picture[::-1].copy()

    def _cull(self, camera: int) -> None:
        """Leave out what lies outside the sides of the camera's view."""
        data, drawn, model = self._data, self._drawn, self._model
        at = drawn.cameras[camera]
        seen = (data.geom_xpos[drawn.shapes] - data.cam_xpos[at]) @ data.cam_xmat[at].reshape(3, 3)
        inside = seen @ drawn.planes[camera].T > -model.geom_rbound[drawn.shapes, None]
        model.geom_group[drawn.shapes] = np.where(inside.all(axis=1), SEEN, UNSEEN)


def _view(camera: int) -> mujoco.MjvCamera:
    view = mujoco.MjvCamera()
    view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, camera
    return view
