"""What is fixed on the plate: ArUco markers or a ChArUco board, found in pictures."""

from abc import abstractmethod
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.perception import Charuco, Markers, Placed
from robot_rlaas.vision.board import charuco, dictionary_of, find_corners

REACH_PX = (1.5, 4.0)  # an edge is looked for half a module to both sides, but so far
STEP_PX = 0.25
MIDDLE = (0.12, 0.88)  # of a side: its corners are round
ROUNDS = 3


class Marks(NamedTuple):
    """Points of a target that a picture shows.

    Attributes:
        ids: (m,) rows of the target's `points_m`.
        at_px: (m, 2) where they are; a pixel's centre has whole coordinates.
    """

    ids: np.ndarray
    at_px: np.ndarray


class Target(Protocol):
    """Points on a plate that can be found in pictures.

    Attributes:
        points_m: (n, 3) in the frame of the hole.
        middle_m: (3,) the print's middle there.
        least: so many points tell a pose.
    """

    points_m: np.ndarray
    middle_m: np.ndarray
    least: int

    @abstractmethod
    def find(self, gray: np.ndarray) -> Marks:
        """The points that a grey picture (h, w), uint8, shows; perhaps none."""
        ...


def target_of(spec: Markers | Charuco, file: Path | None = None) -> Target:
    """The target that a perception file describes.

    Raises:
        InputError: if there is no such dictionary or marker.
    """
    return _Board(spec, file) if isinstance(spec, Charuco) else _Markers(spec, file)


class _Board:
    """A ChArUco board's inner corners."""

    least = 6

    def __init__(self, spec: Charuco, file: Path | None) -> None:
        self._pattern = charuco(spec.board, file)
        size_m = np.array([spec.squares_x, spec.squares_y]) * spec.board.square_m
        corners = np.asarray(self._pattern.getChessboardCorners(), float)  # from the top left, y down
        flat = np.column_stack([corners[:, 0] - size_m[0] / 2, size_m[1] / 2 - corners[:, 1], 0.0 * corners[:, 0]])
        self.points_m, self.middle_m = _on_plate(spec, flat), spec.matrix()[:3, 3]

    def find(self, gray: np.ndarray) -> Marks:
        """See `Target`."""
        corners = find_corners(self._pattern, gray)
        if corners is None or self._pattern.checkCharucoCornersCollinear(corners.ids):
            return NOTHING
        return Marks(corners.ids, corners.at_px)


class _Markers:
    """The markers' outer corners: top left, top right, bottom right, bottom left. One that is seen twice is none."""

    least = 4

    def __init__(self, spec: Markers, file: Path | None) -> None:
        dictionary = dictionary_of(spec.dictionary, file)
        there = len(dictionary.bytesList)
        for marker in spec.markers:
            if marker.id >= there:
                message = f"there is no marker {marker.id} in {spec.dictionary}; allowed: 0 to {there - 1}"
                raise InputError(message, file=file, fix="correct the marker's id, or the dictionary")
        self._module = 1.0 / (dictionary.markerSize + 2)
        self._detector = cv2.aruco.ArucoDetector(dictionary, cv2.aruco.DetectorParameters())
        self._row: dict[int, int] = {marker.id: 4 * i for i, marker in enumerate(spec.markers)}
        half = spec.marker_mm / 2000
        flat = half * np.array([[-1.0, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]])
        self.points_m = np.concatenate([_on_plate(marker, flat) for marker in spec.markers])
        self.middle_m = self.points_m.mean(axis=0)

    def find(self, gray: np.ndarray) -> Marks:
        """See `Target`."""
        found, numbers, _ = self._detector.detectMarkers(gray)
        if numbers is None:
            return NOTHING
        ids = [int(number) for number in numbers.ravel()]
        seen = Counter(ids)
        own = [(self._row[n], c[0]) for n, c in zip(ids, found) if n in self._row and seen[n] == 1]
        if not own:
            return NOTHING
        rows = np.concatenate([row + np.arange(4) for row, _ in own])
        return Marks(rows, np.concatenate([_refined(gray, corners, self._module) for _, corners in own]))


def _refined(gray: np.ndarray, corners_px: np.ndarray, module: float) -> np.ndarray:
    """A marker's corners (4, 2) to a fraction of a pixel: where lines through its edges meet. `module`: of its side.

    A blur rounds a corner off and pulls it inwards (a quarter of a pixel for a blur of 0.7), which reads as a marker
    farther away; a straight edge stays where it is.
    """
    corners = corners_px.astype(float)
    for _ in range(ROUNDS):
        ends = np.roll(corners, -1, axis=0)
        lines = [_edge(gray, *side, module) for side in zip(corners, ends)]
        corners = np.array([_crossing(lines[i - 1], lines[i]) for i in range(4)])
    return corners


def _edge(gray: np.ndarray, start_px: np.ndarray, end_px: np.ndarray, module: float) -> tuple[np.ndarray, np.ndarray]:
    """The line of an edge: a point (2,) on it and its direction (2,)."""
    side = end_px - start_px
    length = float(np.linalg.norm(side))
    along, across = side / length, np.array([-side[1], side[0]]) / length
    reach = np.clip(0.5 * module * length, *REACH_PX)
    steps = np.arange(-reach, reach + 1e-9, STEP_PX)
    shares = np.linspace(*MIDDLE, max(4, int(length)))
    at = start_px + shares[:, None, None] * side + steps[:, None] * across
    values = cv2.remap(gray, at.astype(np.float32), np.empty(0), cv2.INTER_LINEAR).astype(float)
    slope = np.abs(np.diff(values, axis=1))
    middles = (steps[1:] + steps[:-1]) / 2
    offset = (slope @ middles) / np.maximum(slope.sum(axis=1), 1e-9)
    tilt, shift = np.polyfit((shares - 0.5) * length, offset, 1)
    return start_px + 0.5 * side + shift * across, along + tilt * across


def _crossing(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Where two lines meet, (2,)."""
    far, _ = np.linalg.solve(np.column_stack([a[1], -b[1]]), b[0] - a[0])
    return a[0] + far * a[1]


def _on_plate(place: Placed, flat_m: np.ndarray) -> np.ndarray:
    T = place.matrix()
    return flat_m @ T[:3, :3].T + T[:3, 3]


NOTHING = Marks(np.zeros(0, int), np.zeros((0, 2)))
