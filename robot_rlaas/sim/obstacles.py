"""Meshes in the simulation: the convex pieces of an obstacle, of a part."""

from collections.abc import Callable
from itertools import product
from typing import Any

import mujoco
import numpy as np

from robot_rlaas.cell.meshes import Mesh, Obstacle
from robot_rlaas.cell.quantities import rotation_of
from robot_rlaas.sim.geometry import BOX, MESH, OBSTACLE_NAME, STEEL, fixture, quaternion

FLAT_M = 2e-6  # meshes are rounded to 1 um


def add(spec: mujoco.MjSpec, obstacles: tuple[Obstacle, ...]) -> None:
    """Put obstacles into the world, or on the bodies that they stand on."""
    for thing in obstacles:
        bearer = spec.body(thing.on) if thing.on else spec.worldbody
        pose = {"pos": np.array(thing.at_mm) / 1000, "quat": quaternion(rotation_of(thing.rpy_deg))}
        add_pieces(spec, bearer.add_body(name=f"{OBSTACLE_NAME}{thing.name}", **pose), thing.mesh, fixture, STEEL)


def add_pieces(spec: mujoco.MjSpec, body, mesh: Mesh, solid: Callable[..., Any], rgba) -> None:
    """Add a mesh's convex pieces to a body whose frame is the mesh's; one that is a box becomes a box.

    Args:
        spec: of the cell.
        body: one of its bodies.
        mesh: from the cell file.
        solid: adds a geom to the body, as `geometry.fixture` does.
        rgba: their colour.
    """
    for i, piece in enumerate(np.array(corners) / 1000 for corners in mesh.pieces):
        box = _as_box(piece)
        if box is not None:
            center, half, R = box
            solid(body, BOX, center, half, R, rgba=rgba)
            continue
        name = f"{body.name}/{i}"
        asset = spec.add_mesh(name=name, uservert=piece.flatten())
        asset.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
        solid(body, MESH, (0, 0, 0), (0, 0, 0), rgba=rgba, meshname=name)


def _as_box(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Middle, half extents and rotation of the box that has these corners (n, 3), if there is one.

    MuJoCo finds more contacts of a box than of a mesh, and finds them sooner.
    """
    if len(corners) != 8:
        return None
    order = np.argsort(np.linalg.norm(corners - corners[0], axis=1))
    for third in (3, 4):  # where the longest edge is longer than the diagonal of the two others
        edges = corners[order[[1, 2, third]]] - corners[0]
        lengths = np.linalg.norm(edges, axis=1)
        if lengths.min() < FLAT_M:
            return None
        R = (edges / lengths[:, None]).T
        signs = np.array(list(product((0, 1), repeat=3)))
        expected = corners[0] + signs @ edges
        apart = np.linalg.norm(expected[:, None] - corners[None], axis=-1).min(axis=1)
        if apart.max() < FLAT_M and np.abs(R.T @ R - np.eye(3)).max() * lengths.max() < 2 * FLAT_M:
            R[:, 2] *= np.sign(np.linalg.det(R))
            return corners[0] + edges.sum(axis=0) / 2, lengths / 2, R
    return None
