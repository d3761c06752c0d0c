"""Forward kinematics, Jacobian and inverse kinematics of a serial arm, batched, one code for simulation and arm."""

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from robot_rlaas.control.rotation import rotation_vector, transpose

Array = Any


class Pose(NamedTuple):
    """Poses in the base frame: rotation (n, 3, 3) and position (n, 3), m."""

    R: Array
    p: Array


class SerialChain(NamedTuple):
    """Revolute joints, each about the z axis of its own frame.

    Attributes:
        joints: names in order, k of them.
        R: (k, 3, 3) and
        p: (k, 3), m: each joint's frame in its parent's, at zero angle.
        R_tool: (3, 3) and
        p_tool: (3,), m: the tool frame in the last joint's frame.
        lower_rad, upper_rad: (k,) joint range.
    """

    joints: tuple[str, ...]
    R: np.ndarray
    p: np.ndarray
    R_tool: np.ndarray
    p_tool: np.ndarray
    lower_rad: np.ndarray
    upper_rad: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Plain lists, to travel in a bundle."""
        return {key: value if isinstance(value, tuple) else value.tolist() for key, value in self._asdict().items()}

    @staticmethod
    def from_json(content: dict[str, Any]) -> "SerialChain":
        """The inverse of `to_json`."""
        arrays = {key: np.asarray(value) for key, value in content.items() if key != "joints"}
        return SerialChain(joints=tuple(content["joints"]), **arrays)


def forward(chain: SerialChain, q: Array) -> tuple[Pose, Array]:
    """Tool pose and geometric Jacobian.

    Args:
        q: (n, k) joint angles, rad.

    Returns:
        The tool's pose in the base frame and J (n, 6, k): linear velocity over angular velocity of the tool point.
    """
    xp = array_namespace(q)
    pose, axes, anchors = _walk(chain, q)
    axis = xp.stack(axes, axis=1)
    arm = pose.p.T[:, None, :] - xp.stack(anchors, axis=1)
    linear = xp.stack(
        [
            axis[1] * arm[2] - axis[2] * arm[1],
            axis[2] * arm[0] - axis[0] * arm[2],
            axis[0] * arm[1] - axis[1] * arm[0],
        ],
        axis=0,
    )
    J = xp.empty((q.shape[0], 6, q.shape[1]))  # in this very layout: others are multiplied, and rounded, otherwise
    J[:, :3], J[:, 3:] = xp.permute_dims(linear, (2, 0, 1)), xp.permute_dims(axis, (2, 0, 1))
    return pose, J


def tool_pose(chain: SerialChain, q: Array) -> Pose:
    """The tool's pose in the base frame at q (n, k), rad: `forward` without the Jacobian."""
    return _walk(chain, q)[0]


def _walk(chain: SerialChain, q: Array) -> tuple[Pose, list[Array], list[Array]]:
    """Along the chain: the tool's pose, and every joint's axis (3, n) and anchor (3, n).

    Rows of the batch run last, so that a link costs one small product with long rows: several times faster than one
    small product per row.
    """
    xp = array_namespace(q)
    k = len(chain.joints)
    links = np.concatenate([chain.R, chain.p[:, :, None]], axis=2).transpose(0, 2, 1)  # (k, 4, 3): columns as rows
    tool = np.concatenate([chain.R_tool, chain.p_tool[:, None]], axis=1).T
    q = xp.permute_dims(q, (1, 0))
    c, s = xp.cos(q), xp.sin(q)
    links, tool, count = xp.asarray(links), xp.asarray(tool), q.shape[1]
    columns = xp.asarray(np.repeat(np.eye(3), count).reshape(3, 3, count))  # columns[j] is column j of R, (3, n)
    p = xp.zeros((3, count))
    axes, anchors = [], []
    for i in range(k):
        x, y, z, along = _turned(xp, links[i], columns)
        p = p + along
        columns = xp.empty((3, 3, count))
        columns[0], columns[1], columns[2] = x * c[i] + y * s[i], y * c[i] - x * s[i], z
        axes.append(z)
        anchors.append(p)
    x, y, z, along = _turned(xp, tool, columns)
    R = xp.stack([x.T, y.T, z.T], axis=2)
    return Pose(R, xp.stack(list(p + along), axis=1)), axes, anchors


def _turned(xp: Any, link: Array, columns: Array) -> Array:
    """R times the columns of a link, (4, 3, n). One product over all rows: never so narrow that it is rounded apart."""
    return xp.reshape(link @ xp.reshape(columns, (3, -1)), (4, 3, -1))


def joint_step(J: Array, twist: Array, damping: float = 1e-3) -> Array:
    """Damped least squares: the joint step (n, k) that moves the tool by `twist` (n, 6), m and rad.

    J^T (J J^T + damping^2 I)^-1 twist (Nakamura and Hanafusa, 1986).
    """
    xp = array_namespace(J)
    J_T = xp.permute_dims(J, (0, 2, 1))
    A = J @ J_T + damping**2 * xp.asarray(np.eye(6))
    return (J_T @ xp.linalg.solve(A, twist[:, :, None]))[:, :, 0]


def pose_error(target: Pose, actual: Pose) -> Array:
    """What is missing from actual to target: (n, 6) translation, m, and rotation vector, rad, in the base frame."""
    xp = array_namespace(target.p)
    return xp.concat([target.p - actual.p, rotation_vector(target.R @ transpose(actual.R))], axis=-1)


def solve(chain: SerialChain, target: Pose, q: Array, iterations: int = 50) -> tuple[Array, Array]:
    """Joint angles for a tool pose, by damped Newton steps of at most 0.2 rad from `q` (n, k).

    Returns:
        The angles (n, k) and the remaining error norm (n,), m and rad mixed. Judge the error before use: a pose out of
        reach gives a large one.
    """
    xp = array_namespace(q)
    for _ in range(iterations):
        pose, J = forward(chain, q)
        q = q + xp.clip(joint_step(J, pose_error(target, pose)), -0.2, 0.2)
    return q, xp.sqrt(xp.sum(pose_error(target, tool_pose(chain, q)) ** 2, axis=-1))


def points(pose: Pose, offsets: Array) -> Array:
    """Points fixed to the tool, in the base frame: offsets (m, 3) -> (n, m, 3)."""
    xp = array_namespace(pose.p)
    return pose.p[:, None, :] + offsets @ xp.permute_dims(pose.R, (0, 2, 1))
