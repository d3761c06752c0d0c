"""Rotation matrices and rotation vectors, batched, on any array library. Shapes end in (3, 3) and (3,)."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

Array = Any
DOWN = np.diag([1.0, -1.0, -1.0])  # of a tool that points straight down


def rotation_vector(R: Array) -> Array:
    """Rotation matrices (n, 3, 3) -> rotation vectors (n, 3), rad. Exact below pi; not meant for turns near pi."""
    xp = array_namespace(R)
    skew = xp.stack(
        [R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]],
        axis=-1,
    )
    twice_sine = xp.sqrt(xp.sum(skew * skew, axis=-1))
    trace = R[:, 0, 0] + R[:, 1, 1] + R[:, 2, 2]
    angle = xp.atan2(twice_sine, trace - 1.0)
    small = twice_sine < 1e-9
    scale = xp.where(small, 0.5, angle / xp.where(small, 1.0, twice_sine))
    return skew * scale[:, None]


def matrix_from_vector(rotvec: Array) -> Array:
    """Rotation vectors (n, 3), rad -> rotation matrices (n, 3, 3), by Rodrigues' formula."""
    xp = array_namespace(rotvec)
    angle = xp.sqrt(xp.sum(rotvec * rotvec, axis=-1))[:, None]
    axis = rotvec / xp.where(angle < 1e-12, 1.0, angle)
    x, y, z = axis[:, 0], axis[:, 1], axis[:, 2]
    c, s = xp.cos(angle[:, 0]), xp.sin(angle[:, 0])
    t = 1.0 - c
    rows = [
        xp.stack([t * x * x + c, t * x * y - s * z, t * x * z + s * y], axis=-1),
        xp.stack([t * x * y + s * z, t * y * y + c, t * y * z - s * x], axis=-1),
        xp.stack([t * x * z - s * y, t * y * z + s * x, t * z * z + c], axis=-1),
    ]
    return xp.stack(rows, axis=-2)


def about_z(angle_rad: Array) -> Array:
    """Rotations by (n,) angles about z -> (n, 3, 3)."""
    xp = array_namespace(angle_rad)
    zero = angle_rad * 0.0
    return matrix_from_vector(xp.stack([zero, zero, angle_rad], axis=-1))


def rotate(R: Array, v: Array) -> Array:
    """R (n, 3, 3) applied to v (n, 3) or (3,) -> (n, 3)."""
    return R[..., 0] * v[..., 0:1] + R[..., 1] * v[..., 1:2] + R[..., 2] * v[..., 2:3]


def rotate_back(R: Array, v: Array) -> Array:
    """The transpose of R (n, 3, 3) applied to v (n, 3) -> (n, 3)."""
    return R[..., 0, :] * v[..., 0:1] + R[..., 1, :] * v[..., 1:2] + R[..., 2, :] * v[..., 2:3]


def transpose(R: Array) -> Array:
    """The inverse rotations of R (n, 3, 3)."""
    xp = array_namespace(R)
    return xp.permute_dims(R, (0, 2, 1))


def clip_norm(v: Array, limit: float) -> Array:
    """Vectors (n, k), shortened where they are longer than `limit`."""
    xp = array_namespace(v)
    norm = xp.sqrt(xp.sum(v * v, axis=-1))[:, None]
    return v * xp.minimum(limit / xp.maximum(norm, 1e-12), norm * 0.0 + 1.0)
