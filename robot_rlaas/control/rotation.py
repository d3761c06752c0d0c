"""Rotation matrices and rotation vectors, batched, on any array library. Shapes end in (3, 3) and (3,)."""

from typing import Any

import numpy as np

from robot_rlaas.control.arrays import namespace

Array = Any
DOWN = np.diag([1.0, -1.0, -1.0])  # of a tool that points straight down
NO_TURN_RAD = 1e-12


def rotation_vector(R: Array) -> Array:
    """Rotation matrices (n, 3, 3) -> rotation vectors (n, 3), rad. Exact below pi; not meant for turns near pi."""
    xp = namespace(R)
    x, y, z = R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]
    twice_sine = xp.sqrt(x * x + y * y + z * z)
    angle = xp.atan2(twice_sine, R[:, 0, 0] + R[:, 1, 1] + R[:, 2, 2] - 1.0)
    small = twice_sine < 1e-9
    scale = xp.where(small, 0.5, angle / xp.where(small, 1.0, twice_sine))
    return xp.stack([x * scale, y * scale, z * scale], axis=-1)


def matrix_from_vector(rotvec: Array) -> Array:
    """Rotation vectors (n, 3), rad -> rotation matrices (n, 3, 3), by Rodrigues' formula."""
    xp = namespace(rotvec)
    x, y, z = rotvec.T
    angle = xp.sqrt(x * x + y * y + z * z)
    axis = rotvec.T / xp.where(angle < NO_TURN_RAD, 1.0, angle)
    c, s = xp.cos(angle), xp.sin(angle)
    t = 1.0 - c
    (x, y, z), (tx, ty, tz), (sx, sy, sz) = axis, t * axis, s * axis
    txy, txz, tyz = tx * y, tx * z, ty * z
    entries = [tx * x + c, txy - sz, txz + sy, txy + sz, ty * y + c, tyz - sx, txz - sy, tyz + sx, tz * z + c]
    return xp.reshape(xp.stack(entries, axis=-1), (-1, 3, 3))


def about_z(angle_rad: Array) -> Array:
    """Rotations by (n,) angles about z -> (n, 3, 3)."""
    xp = namespace(angle_rad)
    c, zero = xp.cos(angle_rad), xp.zeros_like(angle_rad)
    s = xp.where(xp.abs(angle_rad) < NO_TURN_RAD, zero, xp.sin(angle_rad))
    one = 1.0 - c + c  # rounded as by `matrix_from_vector`
    return xp.reshape(xp.stack([c, zero - s, zero, s, c, zero, zero, zero, one], axis=-1), (-1, 3, 3))


def rotate(R: Array, v: Array) -> Array:
    """R (..., 3, 3) applied to v (..., 3), or to one (3,) -> (..., 3)."""
    return R[..., 0] * v[..., 0:1] + R[..., 1] * v[..., 1:2] + R[..., 2] * v[..., 2:3]


def rotate_back(R: Array, v: Array) -> Array:
    """The transpose of R (..., 3, 3) applied to v (..., 3) -> (..., 3)."""
    return R[..., 0, :] * v[..., 0:1] + R[..., 1, :] * v[..., 1:2] + R[..., 2, :] * v[..., 2:3]


def transpose(R: Array) -> Array:
    """The inverse rotations of R (n, 3, 3)."""
    xp = namespace(R)
    return xp.permute_dims(R, (0, 2, 1))


def clip_norm(v: Array, limit: float) -> Array:
    """Vectors (n, k), shortened where they are longer than `limit`."""
    xp = namespace(v)
    norm = xp.sqrt(xp.sum(v * v, axis=-1))[:, None]
    return v * xp.minimum(limit / xp.maximum(norm, 1e-12), 1.0)
