"""The picture of the shipped cells in docs/cells.md. `python -m bench.cells_picture` draws it again."""

from pathlib import Path

import numpy as np

from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.sim.render import GAP_PX, INK, LABEL_PX, PAPER, Renderer, at_starts, save_png, text_strip

SEEN_FROM = {  # every shipped cell, from the camera that shows what is special about it
    "peg_insertion": "cell",
    "peg_insertion_round": "close",
    "peg_insertion_tight": "close",
    "peg_insertion_camera": "cell",
    "gear_meshing": "close",
    "connector_mating": "cell",
    "machine_tending": "cell",
    "kitting": "cell",
}
COLUMNS, WIDTH_PX, HEIGHT_PX = 4, 400, 300
PATH = Path(__file__).parents[1] / "docs" / "cells.png"


def tile(name: str, camera: str) -> np.ndarray:
    """A cell at its first start, above its name: (height, width, 3) uint8 RGB."""
    cell = Cell.load(name)
    backend, _ = at_starts(cell.spec, cell.workcell, 1, 0)
    with Renderer(cell.workcell, WIDTH_PX, HEIGHT_PX) as renderer:
        picture = renderer.draw(backend, 0, camera)
    return np.concatenate([picture, np.asarray(text_strip(WIDTH_PX, LABEL_PX, PAPER, [(2, name, INK)]))])


def sheet() -> np.ndarray:
    """All of them: (height, width, 3) uint8 RGB."""
    tiles = np.array([tile(name, camera) for name, camera in SEEN_FROM.items()])
    tiles = np.pad(tiles, [(0, 0), (0, GAP_PX), (0, GAP_PX), (0, 0)], constant_values=PAPER[0])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in np.split(tiles, len(tiles) // COLUMNS)])


if __name__ == "__main__":
    print(save_png(sheet(), PATH))
