"""Pictures and videos of a cell, drawn offscreen with EGL: no display, no window."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from robot_rlaas.cell.errors import StageError
from robot_rlaas.cell.insertion import InsertionTask
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.files import write_atomic
from robot_rlaas.sim.backend import Posed
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.scenery import dress
from robot_rlaas.sim.shapes import mirror
from robot_rlaas.sim.variation import draw

WIDTH_PX, GAP_PX, LABEL_PX = 1200, 8, 30
PAPER, INK = (255, 255, 255), (55, 60, 68)

Color = tuple[int, int, int]


class RenderingUnavailable(StageError):
    """This machine cannot draw. The message says why and what to install."""

    def __init__(self, reason: object) -> None:
        super().__init__(f"no offscreen OpenGL ({reason})\n  fix: apt-get install libegl1 libgl1-mesa-dri")


class Renderer:
    """Draws simulations of one cell. A context manager: the OpenGL context lives in the thread that enters it.

    Args:
        workcell: the cell to draw.
        width, height: of the pictures, pixels.
        shadows: for stills; a picture takes ten times as long with them.
        smooth: without steps at the edges; a picture takes about three times as long.

    Raises:
        RenderingUnavailable: on entering, where there is no EGL, or where MUJOCO_GL turns rendering off.
    """

    def __init__(
        self, workcell: Workcell, width: int, height: int, *, shadows: bool = True, smooth: bool = True
    ) -> None:
        self._workcell, self._size = workcell, (width, height)
        self._shadows, self._smooth = shadows, smooth

    def __enter__(self) -> Self:
        self._gl = open_gl()
        width, height = self._size
        spec = dress(self._workcell.spec)
        spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
        quality = spec.visual.quality
        quality.numslices, quality.numstacks = (56, 16) if self._shadows else (28, 6)
        quality.offsamples = 4 if self._smooth else 0
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._scene = mujoco.MjvScene(self._model, maxgeom=1000)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._shadows
        self._option, self._rect = mujoco.MjvOption(), mujoco.MjrRect(0, 0, width, height)
        self._context = offscreen(self._model, self._gl)
        return self

    def __exit__(self, *_: object) -> None:
        self._gl.make_current()
        self._context.free()
        self._gl.free()

    def draw(self, backend: Posed, simulation: int, camera: str) -> np.ndarray:
        """One simulation of this workcell as it is now.

        Args:
            backend: whose simulations.
            simulation: which of them.
            camera: "cell" (the whole workcell) or "close" (the hole).

        Returns:
            (height, width, 3) uint8 RGB.
        """
        mirror(self._model, self._data, backend.poses(), simulation)
        mujoco.mj_camlight(self._model, self._data)
        return self._shoot(camera)

    def _shoot(self, camera: str) -> np.ndarray:
        view = mujoco.MjvCamera()
        view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, self._model.camera(camera).id
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, self._data, self._option, None, view, everything, self._scene)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.rgba[3] < 1:  # decoration casts no shadow
                geom.category = mujoco.mjtCatBit.mjCAT_DECOR.value
        picture = np.empty((self._rect.height, self._rect.width, 3), np.uint8)
        self._gl.make_current()
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(picture, None, self._rect, self._context)
        return picture[::-1].copy()


def cell_picture(cell: CellSpec, workcell: Workcell, count: int = 4, seed: int = 0) -> np.ndarray:
    """The cell as it stands, above close-ups of `count` starts, each labelled with where its plate lies.

    Returns:
        (height, 1200, 3) uint8 RGB.

    Raises:
        RenderingUnavailable: where there is no EGL.
    """
    backend, starts = at_starts(cell, workcell, count, seed)
    with Renderer(workcell, WIDTH_PX, 640) as renderer:
        wide = renderer.draw(backend, 0, "cell")
    below = _close_ups(workcell, backend, _labels(cell, starts), columns=count)
    return np.concatenate([wide, np.full((GAP_PX, WIDTH_PX, 3), PAPER, np.uint8), below])


def start_sheet(cell: CellSpec, workcell: Workcell, columns: int = 4, rows: int = 3, seed: int = 0) -> np.ndarray:
    """Where the parts can be: close-ups of so many starts, as the cell's variation draws them.

    Returns:
        (height, 1200, 3) uint8 RGB.

    Raises:
        RenderingUnavailable: where there is no EGL.
    """
    backend, starts = at_starts(cell, workcell, columns * rows, seed)
    return _close_ups(workcell, backend, _labels(cell, starts), columns)


def at_starts(cell: CellSpec, workcell: Workcell, count: int, seed: int) -> tuple[CpuBackend, Draw]:
    """So many episodes at their starts, and what was drawn for them."""
    starts = draw(cell, Seeds(seed, Space.SHOW), np.arange(count))
    backend = CpuBackend(workcell, cell, count, nthread=1)
    home = np.deg2rad(np.array(cell.robot.home_deg))
    backend.reset(np.arange(count), starts, np.broadcast_to(home, (count, len(home))))
    return backend, starts


def _labels(cell: CellSpec, starts: Draw) -> list[str]:
    insertion = isinstance(cell.task, InsertionTask)
    return [_where(starts, i) if insertion else f"start {i}" for i in range(len(starts.friction))]


def _where(starts: Draw, i: int) -> str:
    x, y = starts.plate_xy_m[i] * 1000
    return f"plate x {x:+.0f} mm, y {y:+.0f} mm, yaw {np.rad2deg(starts.plate_yaw_rad[i]):+.1f}°"


def _close_ups(workcell: Workcell, backend: CpuBackend, labels: list[str], columns: int) -> np.ndarray:
    """A labelled close-up of every simulation, in rows -> (height, WIDTH_PX, 3)."""
    width = (WIDTH_PX - (columns - 1) * GAP_PX) // columns
    height, rows = width * 3 // 4, -(-len(labels) // columns)
    sheet = Image.new("RGB", (WIDTH_PX, rows * (height + LABEL_PX)), PAPER)
    with Renderer(workcell, width, height) as renderer:
        for i, label in enumerate(labels):
            left, top = i % columns * (width + GAP_PX), i // columns * (height + LABEL_PX)
            sheet.paste(Image.fromarray(renderer.draw(backend, i, "close")), (left, top))
            sheet.paste(text_strip(width, LABEL_PX, PAPER, [(2, label, INK)]), (left, top + height))
    return np.asarray(sheet)


def text_strip(width: int, height: int, paper: Color, texts: list[tuple[int, str, Color]]) -> Image.Image:
    """A strip with texts at (left, text, colour); a negative left counts from the right. Drawn large and shrunk."""
    big = Image.new("RGB", (3 * width, 3 * height), paper)
    pen, font = ImageDraw.Draw(big), ImageFont.load_default(3 * 14)
    for left, text, color in texts:
        x, anchor = (3 * left, "lm") if left >= 0 else (3 * (width + left), "rm")
        pen.text((x, 3 * height // 2), text, fill=color, font=font, anchor=anchor)
    return big.reduce(3)


def save_png(image: np.ndarray, path: Path) -> Path:
    """Write an RGB picture (height, width, 3), uint8, atomically."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG", optimize=True)
    write_atomic(path, content.getvalue())
    return path


def write_video(frames: Iterable[np.ndarray], path: Path, fps: int) -> Path:
    """Write RGB frames (height, width, 3), uint8, both sizes even, as H.264 in MP4, atomically."""
    import av

    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "30", "preset": "medium"})
        stream.pix_fmt = "yuv420p"
        for image in frames:
            stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    write_atomic(path, content.getvalue())
    return path


def offscreen(model: mujoco.MjModel, gl: Any) -> mujoco.MjrContext:
    """A context that draws into the current `gl`, which is freed where that fails.

    Raises:
        RenderingUnavailable: if the machine cannot render.
    """
    try:
        context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
    except mujoco.FatalError as error:
        gl.free()
        raise RenderingUnavailable(error) from error
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
    return context


def open_gl() -> Any:
    """An OpenGL context without a display, current in this thread.

    Raises:
        RenderingUnavailable: if the machine has none.
    """
    setting = os.environ.get("MUJOCO_GL", "").lower()
    if setting in ("disable", "disabled", "off", "false", "0"):
        raise RenderingUnavailable(f"MUJOCO_GL={setting} turns it off")
    try:
        # Not mujoco.Renderer: it settles on GLFW, which needs a display, when mujoco is imported without MUJOCO_GL=egl.
        from mujoco.egl import GLContext

        context = GLContext(0, 0)
        context.make_current()
    except Exception as error:  # PyOpenGL reports a missing library as an AttributeError, a driver's failure as its own
        raise RenderingUnavailable(error) from error
    return context
