"""How a scene looks to its cameras in an episode: light, colours, and where the cameras truly are.

This is drawn from a generator of its own, so that an episode is otherwise the same with and without cameras.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.cameras import CameraSpec
from robot_rlaas.cell.seeds import Seeds
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.draws import within

Range = tuple[float, float]
APART = (0x10075,)  # what keeps the generator apart from the episode's
SLOTS = 8  # colours that shift by themselves; with more in a scene, some shift together
PALETTE = slice(3, 3 + 3 * SLOTS)  # after the light
CAMERA = 6


class Looks(NamedTuple):
    """One row per episode.

    Attributes:
        light_scale: (n,) multiplies the light.
        light_rad: (n, 2) by which it is turned, about x and about y.
        color_shift: (n, SLOTS, 3) added to red, green and blue.
        off: (n, cameras, 6) each camera's true place minus the stated one, m, and the rotation vector, rad, that turns
            the stated frame into the true one; along and about the axes of its parent.
    """

    light_scale: np.ndarray
    light_rad: np.ndarray
    color_shift: np.ndarray
    off: np.ndarray


def draw_looks(cell: CellSpec, seeds: Seeds, episodes: np.ndarray, beyond: Mapping[str, Range]) -> np.ndarray:
    """The looks of these episodes, in a flat form (n, size).

    Args:
        cell: its `variation` holds the ranges; where a camera is calibrated, its pose is drawn from the covariance.
        seeds, episodes, beyond: as of `variation.draw`.
    """
    return np.array([_one(cell, seeds.generator(int(episode), APART), beyond) for episode in episodes])


def looks_of(cell: CellSpec, flat: np.ndarray) -> Looks:
    """What `draw_looks` drew for this cell, as views."""
    rows = len(flat)
    off = flat[:, PALETTE.stop :].reshape(rows, len(cell.cameras), CAMERA)
    return Looks(flat[:, 0], flat[:, 1:3], flat[:, PALETTE].reshape(rows, SLOTS, 3), off)


def plain(cell: CellSpec, rows: int) -> Looks:
    """The looks of a cell in which nothing varies."""
    shapes = (), (2,), (SLOTS, 3), (len(cell.cameras), CAMERA)
    looks = Looks(*(np.zeros((rows, *shape)) for shape in shapes))
    return looks._replace(light_scale=looks.light_scale + 1.0)


def _one(cell: CellSpec, rng: np.random.Generator, beyond: Mapping[str, Range]) -> np.ndarray:
    def drawn(factor: str, size: int) -> np.ndarray:
        return within(rng.random(size), getattr(cell.variation, factor), beyond.get(factor))

    parts = [drawn("light_scale", 1), np.deg2rad(drawn("light_deg", 2)), drawn("color_shift", 3 * SLOTS)]
    for camera in cell.cameras.values():
        ranges = np.concatenate([drawn("camera_mm", 3) / 1000, np.deg2rad(drawn("camera_deg", 3))])
        parts.append(ranges if camera.covariance is None or _far(beyond) else _as_found(camera, rng))
    return np.concatenate(parts)


def _far(beyond: Mapping[str, Range]) -> bool:
    return not {"camera_mm", "camera_deg"}.isdisjoint(beyond)


def _as_found(camera: CameraSpec, rng: np.random.Generator) -> np.ndarray:
    """By how much a calibrated camera may be off."""
    return rng.multivariate_normal(np.zeros(CAMERA), np.array(camera.covariance), method="eigh")
