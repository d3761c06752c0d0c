"""What the cameras of a cell see at its starts, on one sheet."""

import numpy as np
from PIL import Image

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.looks import looks_of
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.painting import GlPainter
from robot_rlaas.sim.render import GAP_PX, INK, LABEL_PX, PAPER, WIDTH_PX, at_starts, text_strip

STARTS = 6


def camera_sheet(cell: CellSpec, workcell: Workcell, seed: int = 0) -> np.ndarray:
    """Each camera's pictures of six starts, as a policy gets them, pixel by pixel, under the camera's name.

    Returns:
        (height, 1200, 3) uint8 RGB.

    Raises:
        InputError: if the cell has no cameras.
        RenderingUnavailable: where there is no EGL.
    """
    if not cell.cameras:
        raise InputError(f"the cell '{cell.name}' has no cameras", fix="add `cameras` to its file: see docs/cells.md")
    backend, starts = at_starts(cell, workcell, STARTS, seed)
    rows = np.arange(STARTS)
    with GlPainter(cell, workcell, STARTS) as painter:
        painter.begin(rows, looks_of(cell, starts.looks))
        pictures = painter.paint(backend.poses(), dict.fromkeys(cell.cameras, rows))
    return np.concatenate([_row(name, cell, pictures[name]) for name in cell.cameras])


def _row(name: str, cell: CellSpec, pictures: np.ndarray) -> np.ndarray:
    camera = cell.cameras[name]
    (width, height), times = camera.resolution_px, camera.periods(cell.control.rate_hz)
    room = (WIDTH_PX - (STARTS - 1) * GAP_PX) // STARTS
    scale = max(1, room // width) if width <= room else room / width
    size = round(width * scale), round(height * scale)
    late = f", {1000 * times.late * cell.period_s:.0f} ms late" if times.late else ""
    label = f"{name}: {width} x {height} px on the {camera.mount}, {camera.rate_hz:g} per second{late}"
    row = Image.new("RGB", (WIDTH_PX, LABEL_PX + size[1] + GAP_PX), PAPER)
    row.paste(text_strip(WIDTH_PX, LABEL_PX, PAPER, [(2, label, INK)]), (0, 0))
    for i, picture in enumerate(pictures):
        how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
        row.paste(Image.fromarray(picture).resize(size, how), (i * (room + GAP_PX), LABEL_PX))
    return np.asarray(row)
