"""Forward kinematics, Jacobian and inverse kinematics of a serial arm, batched, one code for simulation and arm."""

from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.control.arrays import namespace
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
    xp = namespace(q)
    pose, axis, anchor = _walk(chain, q)
    axis, arm = xp.permute_dims(axis, (1, 2, 0)), pose.p.T[:, :, None] - xp.permute_dims(anchor, (1, 2, 0))
    J = xp.empty((q.shape[0], 6, q.shape[1]))  # in this very layout: others are multiplied, and rounded, otherwise
    for x, y, z in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        J[:, x], J[:, 3 + x] = axis[y] * arm[z] - axis[z] * arm[y], axis[x]
    return pose, J


def tool_pose(chain: SerialChain, q: Array) -> Pose:
    """The tool's pose in the base frame at q (n, k), rad: `forward` without the Jacobian."""
    return _walk(chain, q)[0]


def _walk(chain: SerialChain, q: Array) -> tuple[Pose, Array, Array]:
    """Along the chain: the tool's pose, and every joint's axis and anchor (k, 3, n).

    Rows of the batch run last, and x, y, z side by side, so that a link costs one small product with long rows and a
    few steps along them. One product over all rows is never so narrow that it is rounded apart.
    """
    xp = namespace(q)
    links = np.concatenate([chain.R, chain.p[:, :, None]], axis=2).transpose(0, 2, 1)  # (k, 4, 3): columns as rows
    tool = np.concatenate([chain.R_tool, chain.p_tool[:, None]], axis=1).T
    links, tool, (count, k) = xp.asarray(links), xp.asarray(tool), q.shape
    c, s = (xp.concat([turn, turn, turn], axis=1) for turn in (xp.cos(q.T), xp.sin(q.T)))
    axis, anchor = xp.empty((k, 3 * count)), xp.empty((k, 3 * count))
    columns, p = xp.asarray(np.repeat(np.eye(3), count).reshape(3, -1)), xp.zeros(3 * count)
    for i in range(k):
        turned = links[i] @ columns  # the columns of the joint's frame, and the way there
        (xc, yc), (xs, ys) = turned[:2] * c[i], turned[:2] * s[i]
        turned[0], turned[1] = xc + ys, yc - xs
        columns, p = turned[:3], p + turned[3]
        axis[i], anchor[i] = columns[2], p
    turned = tool @ columns
    pose = Pose(xp.empty((count, 3, 3)), xp.empty((count, 3)))
    pose.R[:] = xp.permute_dims(xp.reshape(turned[:3], (3, 3, count)), (2, 1, 0))
    pose.p[:] = xp.reshape(p + turned[3], (3, count)).T
    return pose, xp.reshape(axis, (k, 3, count)), xp.reshape(anchor, (k, 3, count))


def joint_step(J: Array, twist: Array, damping: float = 1e-3) -> Array:
    """Damped least squares: the joint step (n, k) that moves the tool by `twist` (n, 6), m and rad.

    J^T (J J^T + damping^2 I)^-1 twist (Nakamura and Hanafusa, 1986).
    """
    xp = namespace(J)
    J_T = xp.permute_dims(J, (0, 2, 1))
    A = J @ J_T + damping**2 * xp.asarray(np.eye(6))
    return (J_T @ xp.linalg.solve(A, twist[:, :, None]))[:, :, 0]


def pose_error(target: Pose, actual: Pose) -> Array:
    """What is missing from actual to target: (n, 6) translation, m, and rotation vector, rad, in the base frame."""
    xp = namespace(target.p)
    return xp.concat([target.p - actual.p, rotation_vector(target.R @ transpose(actual.R))], axis=-1)


def solve(chain: SerialChain, target: Pose, q: Array, iterations: int = 50) -> tuple[Array, Array]:
    """Joint angles for a tool pose, by damped Newton steps of at most 0.2 rad from `q` (n, k).

    Returns:
        The angles (n, k) and the remaining error norm (n,), m and rad mixed. Judge the error before use: a pose out of
        reach gives a large one.
    """
    xp = namespace(q)
    for _ in range(iterations):
        pose, J = forward(chain, q)
        q = q + xp.clip(joint_step(J, pose_error(target, pose)), -0.2, 0.2)
    return q, xp.sqrt(xp.sum(pose_error(target, tool_pose(chain, q)) ** 2, axis=-1))


def points(pose: Pose, offsets: Array) -> Array:
    """Points fixed to the tool, in the base frame: offsets (m, 3) -> (n, m, 3)."""
    xp = namespace(pose.p)
    return pose.p[:, None, :] + offsets @ xp.permute_dims(pose.R, (0, 2, 1))
