"""Forward kinematics, Jacobian and inverse kinematics of a serial arm, batched, one code for simulation and arm."""

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from robot_rlaas.control.rotation import rotate, rotation_vector, transpose

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
    axis = xp.stack(axes, axis=-1)
    arm = pose.p[:, :, None] - xp.stack(anchors, axis=-1)
    linear = xp.stack(
        [
            axis[:, 1] * arm[:, 2] - axis[:, 2] * arm[:, 1],
            axis[:, 2] * arm[:, 0] - axis[:, 0] * arm[:, 2],
            axis[:, 0] * arm[:, 1] - axis[:, 1] * arm[:, 0],
        ],
        axis=1,
    )
    return pose, xp.concat([linear, axis], axis=1)


def tool_pose(chain: SerialChain, q: Array) -> Pose:
    """The tool's pose in the base frame at q (n, k), rad: `forward` without the Jacobian."""
    return _walk(chain, q)[0]


def _walk(chain: SerialChain, q: Array) -> tuple[Pose, list[Array], list[Array]]:
    """Along the chain: the tool's pose, and every joint's axis (n, 3) and anchor (n, 3).

    Each link costs one product of all rows at once, (3n, 3) by (3, 4): many small products are several times slower.
    """
    xp = array_namespace(q)
    count, k = q.shape
    links = np.concatenate([chain.R, chain.p[:, :, None]], axis=2)
    tool = np.concatenate([chain.R_tool, chain.p_tool[:, None]], axis=1)
    c, s = xp.cos(q)[:, :, None], xp.sin(q)[:, :, None]
    R = xp.broadcast_to(xp.asarray(np.eye(3)), (count, 3, 3))
    p = xp.zeros((count, 3))
    axes, anchors = [], []
    for i in range(k):
        link = xp.reshape(xp.reshape(R, (3 * count, 3)) @ xp.asarray(links[i]), (count, 3, 4))
        x, y, z = link[:, :, 0], link[:, :, 1], link[:, :, 2]
        p = p + link[:, :, 3]
        R = xp.stack([x * c[:, i] + y * s[:, i], y * c[:, i] - x * s[:, i], z], axis=-1)
        axes.append(z)
        anchors.append(p)
    end = xp.reshape(xp.reshape(R, (3 * count, 3)) @ xp.asarray(tool), (count, 3, 4))
    return Pose(end[:, :, :3], p + end[:, :, 3]), axes, anchors


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
    return pose.p[:, None, :] + rotate(pose.R[:, None], offsets[None])
