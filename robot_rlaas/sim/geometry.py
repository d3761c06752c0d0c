"""Geometry that several kinds of cells are built from."""

from typing import Any

import mujoco
import numpy as np

ENVIRONMENT, HELD = 2, 1  # collision bits: what is held collides with what stands in the cell
STEEL, BRASS = (0.52, 0.55, 0.60, 1), (0.80, 0.62, 0.25, 1)
CHAMFER, INSIDE, BRIGHT, DARK = (
    (0.93, 0.94, 0.95, 1),
    (0.10, 0.11, 0.13, 1),
    (0.74, 0.76, 0.78, 1),
    (0.13, 0.14, 0.16, 1),
)
KEEP_OUT_NAME, SOLID_NAME = "keep_out/", "solid/"  # how names begin: of a keep-out box, and of what stands in it
SPEED_ZONE_NAME = "speed_zone/"  # the same of a speed zone
OBSTACLE_NAME = "obstacle/"  # the same of the bodies of obstacles
CAMERA_NAME = "camera/"  # the same of the cameras that a cell file names
UNSEEN = 3  # the group that is not drawn
FACETS = 48  # of a round hole that is drawn
NO_CONTACT: dict[str, Any] = {"contype": 0, "conaffinity": 0}
FIRM = {"solref": (0.01, 1), "solimp": (0.95, 0.99, 0.0005, 0.5, 2)}
BOX, CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
CAPSULE, MESH = mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_MESH


def fixture(body, shape, center, size, R: np.ndarray | None = None, rgba=STEEL, group: int = 0, **more: Any) -> None:
    """A solid geom of what stands in the cell; its friction gives way to that of what touches it.

    Args:
        body: an MjSpec body.
        shape: BOX, CYLINDER, CAPSULE or MESH.
        center: (3,) m, in the body's frame.
        size: as MuJoCo takes it, m.
        R: (3, 3) orientation in the body's frame.
        rgba: its colour.
        group: UNSEEN, or 0.
        more: of its other fields.
    """
    collides = {"contype": ENVIRONMENT, "conaffinity": HELD, "friction": (0.01, 0.005, 0.0001), "rgba": rgba}
    body.add_geom(type=shape, pos=center, quat=quaternion(R), size=size, group=group, **{**collides, **FIRM, **more})


def look(body, shape, center, size, R: np.ndarray | None = None, rgba=STEEL) -> Any:
    """A geom for the eye: nothing collides with it and it weighs nothing. Arguments as of `fixture`."""
    quat = quaternion(R)
    return body.add_geom(type=shape, pos=center, quat=quat, size=size, mass=0, group=2, rgba=rgba, **NO_CONTACT)


def look_of_round_hole(spec, body, radius_m: float, outer_m, depth_m: float, chamfer_m: float) -> None:
    """A block with a round, chamfered hole, for the eye: the boxes of `hole` would flicker."""
    angle = np.linspace(0, 2 * np.pi, FACETS, endpoint=False)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    edge = around / np.max(np.abs(around) / np.array(outer_m), axis=1, keepdims=True)
    rings = (
        (edge, -depth_m),
        (edge, 0.0),
        (around * (radius_m + chamfer_m), 0.0),
        (around * radius_m, -chamfer_m),
        (around * radius_m, -depth_m),
    )
    vertices = np.concatenate([np.column_stack([xy, np.full(FACETS, z)]) for xy, z in rings])
    k, after = np.arange(FACETS), (np.arange(FACETS) + 1) % FACETS
    faces = []
    for i in range(len(rings)):
        low, high = i * FACETS, (i + 1) % len(rings) * FACETS
        faces += [
            np.stack([low + k, low + after, high + after], axis=1),
            np.stack([low + k, high + after, high + k], axis=1),
        ]
    mesh = spec.add_mesh(name="block", uservert=vertices.flatten(), userface=np.concatenate(faces).flatten())
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="block", mass=0, group=2, rgba=STEEL, **NO_CONTACT)


def hole(body, half_m, outer_m, depth_m: float, chamfer_m: float, sides: int = 4, solid=fixture) -> None:
    """Walls round a prismatic hole along -z from the body's origin, with a 45 degree chamfer at its edge.

    Args:
        body: an MjSpec body; the hole's axis is its z, its upper edge lies at z = 0.
        half_m: half the hole's extent in x and in y.
        outer_m: half the extent of the block round it, in x and in y.
        depth_m: of the walls.
        chamfer_m: by which the hole is wider at its edge.
        sides: of the prism. With more than four, the hole is round: the prism that touches the circle from outside.
        solid: adds a box to the body, as `fixture` does.
    """
    for i in range(sides):
        across = i % 2 if sides == 4 else 0
        near, far = half_m[across], outer_m[across]
        beside, outside = half_m[1 - across], outer_m[1 - across]
        slope = np.tan(np.pi / sides)
        if sides > 4:
            lower, upper, edge = far * slope, far * slope, (near + chamfer_m) * slope
        elif across == 0:  # two walls reach to the outside, the other two stand between them
            lower, upper, edge = outside, outside, beside + chamfer_m
        else:
            lower, upper, edge = beside, beside + chamfer_m, beside + chamfer_m
        R = about_z(2 * np.pi * i / sides)
        for inside, span, bottom, top in (
            (near, lower, -depth_m, -chamfer_m),
            (near + chamfer_m, upper, -chamfer_m, 0.0),
        ):
            center = R @ np.array([(inside + far) / 2, 0, (bottom + top) / 2])
            solid(body, BOX, center, ((far - inside) / 2, span, (top - bottom) / 2), R)
        _chamfer(body, R, near, edge, chamfer_m, solid)


def _chamfer(body, R: np.ndarray, near: float, span: float, chamfer: float, solid) -> None:
    """A box whose upper face is the 45 degree chamfer. It lies behind that face, so it never narrows the hole."""
    thick = chamfer / np.sqrt(2)
    tilt = np.array([[np.sqrt(0.5), 0, -np.sqrt(0.5)], [0, 1, 0], [np.sqrt(0.5), 0, np.sqrt(0.5)]])
    face = np.array([near + chamfer / 2, 0, -chamfer / 2])
    center = face - tilt @ np.array([0, 0, thick / 2])
    solid(body, BOX, R @ center, (chamfer / np.sqrt(2), span, thick / 2), R @ tilt, CHAMFER)


def about_z(angle_rad: float) -> np.ndarray:
    """The rotation (3, 3) about z."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def quaternion(R: np.ndarray | None) -> np.ndarray:
    """A rotation (3, 3) as a quaternion (4,), wxyz; none as the identity."""
    result = np.array([1.0, 0, 0, 0])
    if R is not None:
        mujoco.mju_mat2Quat(result, R.flatten())
    return result
