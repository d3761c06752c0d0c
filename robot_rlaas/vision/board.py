"""The ChArUco board: drawn to be printed, and found in pictures."""

import io
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import yaml
from PIL import Image

from robot_rlaas.cell.camera_calibration import BoardSpec
from robot_rlaas.cell.errors import InputError
from robot_rlaas.files import write_atomic

BOARD_FILE = "board.yaml"
A4_BOARD = BoardSpec(squares_x=10, squares_y=7, square_m=0.025, marker_m=0.018, dictionary="DICT_4X4_50")
PRINT_DPI = 600
INCH_M = 0.0254
WINDOW_PX = (2, 8)  # half the window in which a corner is refined
LEAST_CONTRAST = 40  # of 255
SETTLED = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 50, 1e-3)


def charuco(board: BoardSpec, file: Path | None = None) -> cv2.aruco.CharucoBoard:
    """The board as OpenCV knows it. Its frame: x along the first row, y down the rows, z into the board, m.

    Raises:
        InputError: if there is no such dictionary, or if it has too few markers.
    """
    needed = board.squares_x * board.squares_y // 2
    dictionary = dictionary_of(board.dictionary, file)
    if needed > (there := len(dictionary.bytesList)):
        message = f"{board.squares_x} x {board.squares_y} squares need {needed} markers; {board.dictionary} has {there}"
        raise InputError(message, file=file, fix="take a larger dictionary or fewer squares")
    size = (board.squares_x, board.squares_y)
    return cv2.aruco.CharucoBoard(size, board.square_m, board.marker_m, dictionary)


def dictionary_of(name: str, file: Path | None = None) -> cv2.aruco.Dictionary:
    """OpenCV's dictionary of markers of that name.

    Raises:
        InputError: if there is none.
    """
    names = sorted(name for name in dir(cv2.aruco) if name.startswith("DICT_") and name == name.upper())
    if name not in names:
        message = f"'dictionary' is '{name}'; allowed: {', '.join(names)}"
        raise InputError(message, file=file, fix="take the one that the print was drawn with")
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))


def draw_board(board: BoardSpec, dpi: float = PRINT_DPI) -> Image.Image:
    """The board with a white rim of half a square, grey.

    A square has a whole number of pixels; `info["dpi"]` of the image holds the resolution, next to `dpi`, at which it
    prints at its true size.
    """
    dictionary = charuco(board).getDictionary()
    side = round(board.square_m / INCH_M * dpi)
    marker = round(board.marker_m / board.square_m * side)
    if marker < 2 * (dictionary.markerSize + 2):
        raise InputError(f"a marker would have {marker} pixels at {dpi:g} dpi", fix="ask for more dots per inch")
    rows, columns = np.mgrid[: board.squares_y, : board.squares_x]
    squares = np.kron(255 * ((rows + columns) % 2), np.ones((side, side))).astype(np.uint8)
    rim = (side - marker) // 2
    for number, (row, column) in enumerate(np.argwhere((rows + columns) % 2)):
        top, left = row * side + rim, column * side + rim
        squares[top : top + marker, left : left + marker] = dictionary.generateImageMarker(number, marker)
    image = Image.fromarray(np.pad(squares, side // 2, constant_values=255))
    image.info["dpi"] = (side / board.square_m * INCH_M,) * 2
    return image


def save_board(board: BoardSpec, path: Path, dpi: float = PRINT_DPI) -> None:
    """Write the board to print at 100 %, as PNG or PDF, and `board.yaml`, which describes it, beside it.

    Raises:
        InputError: for another kind of file, or a board that cannot be drawn.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "pdf"):
        raise InputError(f"'{path.suffix}' is no kind of picture to print; allowed: .png, .pdf", file=path)
    image = draw_board(board, dpi)
    content = io.BytesIO()
    if kind == "png":
        image.save(content, "PNG", dpi=image.info["dpi"], optimize=True)
    else:
        image.save(content, "PDF", resolution=image.info["dpi"][0])
    write_atomic(path, content.getvalue())
    write_atomic(path.parent / BOARD_FILE, yaml.safe_dump(board.model_dump(mode="json"), sort_keys=False))


class Corners(NamedTuple):
    """The inner corners of a chessboard in one picture.

    Attributes:
        ids: (m,) their numbers, row by row.
        at_px: (m, 2) where they are; a pixel's centre has whole coordinates.
        square_px: median length of a square's side.
    """

    ids: np.ndarray
    at_px: np.ndarray
    square_px: float


def find_corners(board: cv2.aruco.CharucoBoard, gray: np.ndarray) -> Corners | None:
    """The corners that a grey picture (h, w), uint8, shows; None where it shows no two neighbours.

    The detector of OpenCV up to 4.13 adds half a pixel to every corner (opencv/opencv#25539), so they are refined
    here, in a window that leaves the markers out.
    """
    found, ids, _, _ = cv2.aruco.CharucoDetector(board).detectBoard(gray)
    if ids is None:
        return None
    ids, at_px = ids.ravel(), found.reshape(-1, 2)
    sides = [np.linalg.norm(at_px[pairs[:, 1]] - at_px[pairs[:, 0]], axis=1) for pairs in neighbours(board, ids)]
    if not any(map(len, sides)):
        return None
    square_px = float(np.median(np.concatenate(sides)))
    rim_px = 0.5 * (1.0 - board.getMarkerLength() / board.getSquareLength()) * square_px
    half = int(np.clip(0.6 * rim_px, *WINDOW_PX))
    at_px = cv2.cornerSubPix(gray, at_px.reshape(-1, 1, 2).copy(), (half, half), (-1, -1), SETTLED)
    return Corners(ids, at_px.reshape(-1, 2).astype(float), square_px)


def neighbours(board: cv2.aruco.CharucoBoard, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of places (p, 2) in `ids` whose corners are the ends of one side: along the rows, and down the columns."""
    columns = board.getChessboardSize()[0] - 1
    at = {int(number): i for i, number in enumerate(ids)}
    along = [(i, at[n + 1]) for n, i in at.items() if (n + 1) % columns and n + 1 in at]
    down = [(i, at[n + columns]) for n, i in at.items() if n + columns in at]
    return np.array(along, int).reshape(-1, 2), np.array(down, int).reshape(-1, 2)


def sharpness(gray: np.ndarray, board: cv2.aruco.CharucoBoard, corners: Corners) -> float:
    """Which share of the contrast lies within two pixels across an edge of a square, in the blurrier direction.

    0.95 for an edge blurred by a Gaussian of 0.5 pixels, 0.68 for 1, 0.38 for 2, 0.26 for 3.
    """
    left, top = np.maximum(corners.at_px.min(axis=0).astype(int), 0)
    right, bottom = corners.at_px.max(axis=0).astype(int) + 1
    dark, bright = np.percentile(gray[top:bottom, left:right], (5, 95))
    shares = []
    for pairs in filter(len, neighbours(board, corners.ids)):
        ends = corners.at_px[pairs]
        side = ends[:, 1] - ends[:, 0]
        across = np.stack([-side[:, 1], side[:, 0]], axis=1) / np.linalg.norm(side, axis=1, keepdims=True)
        values = [_sample(gray, ends.mean(axis=1) + step * across) for step in (-1.0, 1.0)]
        shares.append(np.median(np.abs(values[1] - values[0])))
    return float(min(shares) / max(bright - dark, 1.0))


def steepest_edge(gray: np.ndarray) -> float:
    """Which share of a picture's contrast its steepest edges gain within two pixels; 1 for one without contrast."""
    dark, bright = np.percentile(gray, (1, 99))
    if bright - dark < LEAST_CONTRAST:
        return 1.0
    values = gray.astype(float)
    gains = np.abs(values[2:, 1:-1] - values[:-2, 1:-1]), np.abs(values[1:-1, 2:] - values[1:-1, :-2])
    return float(np.percentile(np.maximum(*gains), 99.5) / (bright - dark))


def _sample(gray: np.ndarray, at_px: np.ndarray) -> np.ndarray:
    maps = at_px.astype(np.float32)[:, None]
    return cv2.remap(gray, maps, np.empty(0), cv2.INTER_LINEAR).ravel().astype(float)
