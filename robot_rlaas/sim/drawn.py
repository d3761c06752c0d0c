"""The model that is drawn for a cell's cameras.

It is the dressed cell without what no real camera sees: keep-out boxes and the like, which are translucent.
All shapes of one colour on one body are one mesh: to OpenGL on a CPU, the number of geoms is most of the cost.
"""

from typing import NamedTuple

import mujoco
import numpy as np

from robot_rlaas.cell.cameras import CameraSpec
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.rotation import matrix_from_vector
from robot_rlaas.sim.geometry import CAMERA_NAME, NO_CONTACT, UNSEEN
from robot_rlaas.sim.looks import SLOTS, Looks
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.placing import after, quaternions
from robot_rlaas.sim.scenery import FLOOR_Z, dress
from robot_rlaas.sim.shapes import Shape, shapes

SIDES = 12  # of what is round
SEEN = 0  # the group of geoms that is drawn; the physics' own are in UNSEEN
HALL_M = np.array([[-6.0, -6.0, FLOOR_Z], [6.0, 6.0, 4.0]])  # opposite corners
FLOOR, WALLS = (0.70, 0.72, 0.74, 1.0), (0.84, 0.86, 0.88, 1.0)
AMBIENT, KEY, FILL = (0.50,) * 3, (0.50, 0.50, 0.48), (0.20, 0.20, 0.22)
TOWARDS = ((-0.35, 0.42, -1.0), (-0.6, -0.7, -0.5))  # where key light and fill light shine


class Drawn(NamedTuple):
    """What is drawn for a cell's cameras.

    Attributes:
        model: with the same bodies and joints as the physics' model.
        shapes: (s,) ids of the geoms that are drawn.
        slots: (s,) which of the colour shifts of `Looks` applies to each.
        cameras: (c,) ids of the cell's cameras, in their order.
        planes: (c, 4, 3) inward normals of the sides of what each camera sees, in MuJoCo's camera frame.
    """

    model: mujoco.MjModel
    shapes: np.ndarray
    slots: np.ndarray
    cameras: np.ndarray
    planes: np.ndarray


def drawn_model(cell: CellSpec, workcell: Workcell) -> Drawn:
    """Compile what the cameras of the cell see.

    Args:
        cell: with its cameras.
        workcell: built from it.
    """
    spec = dress(workcell.spec)
    there = spec.compile()
    for geom in spec.geoms:
        geom.group = UNSEEN
    bodies = {body.id: body for body in spec.bodies}
    seen = [shape for shape in shapes(there, SIDES) if shape.rgba[3] == 1]
    seen += _hall()  # drawn last: what lies before it hides most of it
    names = [_add(spec, bodies[shape.body], i, shape) for i, shape in enumerate(seen)]
    _light(spec)
    screen = spec.visual.global_
    screen.offwidth, screen.offheight = (max(c.resolution_px[i] for c in cell.cameras.values()) for i in (0, 1))
    spec.visual.quality.shadowsize = spec.visual.quality.offsamples = 0
    model = spec.compile()
    colors = list(dict.fromkeys(shape.rgba for shape in seen))
    return Drawn(
        model,
        np.array([model.geom(name).id for name in names]),
        np.array([colors.index(shape.rgba) % SLOTS for shape in seen]),
        np.array([model.camera(f"{CAMERA_NAME}{name}").id for name in cell.cameras]),
        np.array([_sides(camera) for camera in cell.cameras.values()]),
    )


def _add(spec: mujoco.MjSpec, body, i: int, shape: Shape) -> str:
    name = f"seen/{i}"
    mesh = spec.add_mesh(name=name, uservert=shape.vertices.flatten(), userface=shape.faces.flatten())
    mesh.inertia, mesh.smoothnormal = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL, int(shape.smooth)
    kind = mujoco.mjtGeom.mjGEOM_MESH
    body.add_geom(name=name, type=kind, meshname=name, mass=0, group=SEEN, rgba=shape.rgba, **NO_CONTACT)
    return name


def _hall() -> list[Shape]:
    """A floor, and walls and a ceiling round the cell, as seen from inside."""
    corners = np.array([[HALL_M[i, 0], HALL_M[j, 1], HALL_M[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    around = [[2, 3, 1, 0], [5, 7, 6, 4], [1, 5, 4, 0], [6, 7, 3, 2], [3, 7, 5, 1]]
    floor, walls = (_halves(np.array(quads)) for quads in ([[4, 6, 2, 0]], around))
    return [Shape(0, corners, floor, FLOOR, False), Shape(0, corners, walls, WALLS, False)]


def _halves(quads: np.ndarray) -> np.ndarray:
    """Quadrilaterals (n, 4) as triangles (2 n, 3)."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _light(spec: mujoco.MjSpec) -> None:
    """Two lights that do not shine: highlights are where vertices are, and these are few. No light at the camera."""
    spec.visual.headlight.active = 0
    for light in list(spec.lights):
        spec.delete(light)
    for way, diffuse, ambient in zip(TOWARDS, (KEY, FILL), (AMBIENT, (0.0,) * 3)):
        light = spec.worldbody.add_light(type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=(0, 0, 3), dir=way)
        light.diffuse, light.ambient, light.specular, light.castshadow = diffuse, ambient, (0.0,) * 3, False


def _sides(camera: CameraSpec) -> np.ndarray:
    """Inward unit normals (4, 3) of the left, right, upper and lower side, in MuJoCo's camera frame."""
    (width, height), (fx, fy), (cx, cy) = camera.resolution_px, camera.focal_px, camera.center_px
    left, right = (-0.5 - cx) / fx, (width - 0.5 - cx) / fx
    top, bottom = (0.5 + cy) / fy, -(height - 0.5 - cy) / fy
    normals = np.array([[1, 0, left], [-1, 0, -right], [0, -1, -top], [0, 1, bottom]])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def fields(drawn: Drawn, looks: Looks) -> dict[str, np.ndarray]:
    """The fields of the model (n, ...) that make it look so, by their names in MuJoCo; `looks` has n rows."""
    model, rows = drawn.model, len(looks.light_scale)
    position, quaternion = (np.tile(x, (rows, 1, 1)) for x in (model.cam_pos, model.cam_quat))
    for i, camera in enumerate(drawn.cameras):
        position[:, camera] += looks.off[:, i, :3]
        quaternion[:, camera] = after(quaternion[:, camera], quaternions(looks.off[:, i, 3:]))
    turn = np.concatenate([looks.light_rad, 0.0 * looks.light_rad[:, :1]], axis=1)
    way = np.einsum("nij,lj->nli", matrix_from_vector(turn), model.light_dir)
    scale = looks.light_scale[:, None, None]
    light = {name: scale * getattr(model, name) for name in ("light_ambient", "light_diffuse")}
    rgba = np.tile(model.geom_rgba, (rows, 1, 1))
    rgba[:, drawn.shapes, :3] = np.clip(rgba[:, drawn.shapes, :3] + looks.color_shift[:, drawn.slots], 0.0, 1.0)
    return {"cam_pos": position, "cam_quat": quaternion, "light_dir": way, **light, "geom_rgba": rgba}
