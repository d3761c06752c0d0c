"""The geoms of a model as triangles, body by body, for what draws without MuJoCo."""

from typing import NamedTuple, Protocol

import mujoco
import numpy as np

from robot_rlaas.control.kinematics import Pose
from robot_rlaas.sim.backend import Posed, Poses
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.scenery import dress

SHOWN_GROUPS = 3  # MuJoCo's viewers hide the groups from here on
SIDES = 24  # of what is round
UNPAINTED = (0.5, 0.5, 0.5, 1.0)  # MuJoCo's default: the material's colour counts
Kind = mujoco.mjtGeom


class Shape(NamedTuple):
    """Triangles of one colour that move with one body.

    Attributes:
        body: its index in the model.
        vertices: (v, 3) m, in the body's frame.
        faces: (f, 3) indices of vertices, counter-clockwise as seen from outside.
        rgba: (4,) 0 to 1.
        smooth: without edges.
    """

    body: int
    vertices: np.ndarray
    faces: np.ndarray
    rgba: tuple[float, ...]
    smooth: bool


class Shown(Protocol):
    """What can be shown: a `BatchEnv`, or whatever else knows where everything stands."""

    @property
    def workcell(self) -> Workcell:
        """Whose bodies."""
        ...

    @property
    def backend(self) -> Posed:
        """Knows where they are."""
        ...

    @property
    def frame(self) -> Pose:
        """The task frame as observed, one row."""
        ...


class Scene:
    """A workcell as a viewer shows it, and where its bodies are.

    Attributes:
        bodies: their names; a shape's `body` is an index of it.
        shapes: what there is to show.
    """

    def __init__(self, workcell: Workcell) -> None:
        self._model = dress(workcell.spec).compile()
        self._data = mujoco.MjData(self._model)
        mujoco.mj_forward(self._model, self._data)
        self.bodies = tuple(self._model.body(i).name for i in range(self._model.nbody))
        self.shapes = shapes(self._model)

    def poses(self, backend: Posed, simulation: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Positions (bodies, 3) m and quaternions (bodies, 4), wxyz, in a simulation of this workcell."""
        return self.at(backend.poses(), simulation)

    def at(self, poses: Poses, simulation: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The same for bodies that stand where somebody says; views that the next call changes."""
        mirror(self._model, self._data, poses, simulation)
        return self._data.xpos, self._data.xquat

    def view(self, camera: str) -> tuple[np.ndarray, np.ndarray, float]:
        """Where a camera is (3,), the point (3,) of its axis nearest to the cell's middle, m; field of view, rad."""
        i = self._model.camera(camera).id
        position, forward = self._data.cam_xpos[i], -self._data.cam_xmat[i].reshape(3, 3)[:, 2]
        middle = position + forward * float((self._model.stat.center - position) @ forward)
        return position.copy(), middle, float(np.deg2rad(self._model.cam_fovy[i]))


def shapes(model: mujoco.MjModel, sides: int = SIDES) -> list[Shape]:
    """What a viewer shows of a model, but planes, which have no end. What is round gets so many sides."""
    merged: dict[tuple, list[tuple[np.ndarray, np.ndarray]]] = {}
    for geom in range(model.ngeom):
        kind = Kind(model.geom_type[geom])
        if kind == Kind.mjGEOM_PLANE or model.geom_group[geom] >= SHOWN_GROUPS:
            continue
        vertices, faces = _triangles(model, geom, sides)
        R = np.zeros(9)
        mujoco.mju_quat2Mat(R, model.geom_quat[geom])
        placed = vertices @ R.reshape(3, 3).T + model.geom_pos[geom]
        smooth = kind not in (Kind.mjGEOM_BOX, Kind.mjGEOM_CYLINDER)
        key = (int(model.geom_bodyid[geom]), _color(model, geom), smooth)
        merged.setdefault(key, []).append((placed, faces))
    return [Shape(body, *_joined(parts), rgba, smooth) for (body, rgba, smooth), parts in merged.items()]


def mirror(model: mujoco.MjModel, data: mujoco.MjData, at: Poses, simulation: int) -> None:
    """Let every body of a dressed model stand where it stands in a simulation.

    The dressed model has the same bodies and joints, and more geoms.
    """
    model.body_pos[:], model.body_quat[:] = at.body_pos[simulation], at.body_quat[simulation]
    data.qpos[:] = at.qpos[simulation]
    data.mocap_pos[:], data.mocap_quat[:] = at.mocap_pos[simulation], at.mocap_quat[simulation]
    mujoco.mj_kinematics(model, data)


def _color(model: mujoco.MjModel, geom: int) -> tuple[float, ...]:
    rgba, material = model.geom_rgba[geom], model.geom_matid[geom]
    if material >= 0 and np.allclose(rgba, UNPAINTED):
        rgba = model.mat_rgba[material]
    return tuple(round(float(x), 3) for x in rgba)


def _joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    first = np.cumsum([0, *(len(vertices) for vertices, _ in parts[:-1])])
    return np.concatenate([v for v, _ in parts]), np.concatenate([f + i for (_, f), i in zip(parts, first)])


def _triangles(model: mujoco.MjModel, geom: int, sides: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces in the geom's frame."""
    kind, size = Kind(model.geom_type[geom]), model.geom_size[geom]
    angle = np.linspace(-np.pi / 2, np.pi / 2, sides // 2 + 1)
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if kind == Kind.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        vert, face = model.mesh_vertadr[mesh], model.mesh_faceadr[mesh]
        vertices = model.mesh_vert[vert : vert + model.mesh_vertnum[mesh]]
        return vertices.astype(float), model.mesh_face[face : face + model.mesh_facenum[mesh]].copy()
    if kind == Kind.mjGEOM_BOX:
        vertices, faces = _turned(np.array([(0, -1), (np.sqrt(2), -1), (np.sqrt(2), 1), (0, 1)]), 4, np.pi / 4)
        return vertices * size, faces
    if kind == Kind.mjGEOM_CYLINDER:
        radius, half = size[:2]
        return _turned(np.array([(0, -half), (radius, -half), (radius, half), (0, half)]), sides)
    if kind == Kind.mjGEOM_CAPSULE:
        radius, half = size[:2]
        below, above = arc[: sides // 4 + 1], arc[sides // 4 :]  # both with the equator
        return _turned(np.concatenate([radius * below - (0, half), radius * above + (0, half)]), sides)
    if kind in (Kind.mjGEOM_SPHERE, Kind.mjGEOM_ELLIPSOID):
        vertices, faces = _turned(arc, sides)
        return vertices * (size if kind == Kind.mjGEOM_ELLIPSOID else size[0]), faces
    raise NotImplementedError(f"no triangles for a geom of type {kind.name}")


def _turned(profile: np.ndarray, sides: int, first: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The surface of a profile (m, 2) of (radius, z), from below to above, turned about z."""
    angle = first + 2 * np.pi * np.arange(sides) / sides
    radius, z = profile.T
    ring = np.stack([np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle))], axis=-1)
    vertices = np.concatenate([ring, np.broadcast_to(z[:, None, None], (*ring.shape[:2], 1))], axis=-1).reshape(-1, 3)
    low, side = np.meshgrid(np.arange(len(profile) - 1) * sides, np.arange(sides), indexing="ij")
    a, b = (low + side).ravel(), (low + (side + 1) % sides).ravel()
    return vertices, np.concatenate([np.stack([a, b, b + sides], 1), np.stack([a, b + sides, a + sides], 1)])
