"""Rigid-body dynamics of a serial arm as a product: joint torques = regressor(motion) times inertial parameters.

Newton and Euler's equations of each link are linear in its mass, first moments and inertia about its joint's frame
(Atkeson, An and Hollerbach, IJRR 5(3), 1986), so a log of torques or currents determines them by linear least squares.
"""

import mujoco
import numpy as np

from robot_rlaas.control.kinematics import SerialChain

GRAVITY_M_S2 = 9.81
PARAMETERS = (
    ("mass", "kg"),
    *((f"moment_{axis}", "kg m") for axis in "xyz"),
    *((f"inertia_{axes}", "kg m^2") for axes in ("xx", "xy", "xz", "yy", "yz", "zz")),
)
"""Name and unit of a link's parameters: first moments are mass times centre, inertia is about the joint's frame."""


def regressor(
    chain: SerialChain, q_rad: np.ndarray, velocity_rad_s: np.ndarray, acceleration: np.ndarray
) -> np.ndarray:
    """What to multiply the links' parameters with to get the joints' torques.

    Args:
        chain: k joints.
        q_rad, velocity_rad_s, acceleration: (T, k), the last in rad/s^2.

    Returns:
        (T, k, 10 k), N m per unit of `PARAMETERS`, link by link. Gravity points down in the base frame.
    """
    count, k = q_rad.shape
    R, p = np.broadcast_to(np.eye(3), (count, 3, 3)), np.zeros((count, 3))
    spin, spin_up, lift = np.zeros((count, 3)), np.zeros((count, 3)), np.zeros((count, 3))
    lift[:, 2] = GRAVITY_M_S2  # an arm at rest feels like one that accelerates upwards
    result = np.zeros((count, k, 10 * k))
    axes, anchors = [], []
    for i in range(k):
        arm = R @ chain.p[i]
        lift = lift + np.cross(spin_up, arm) + np.cross(spin, np.cross(spin, arm))
        p = p + arm
        R = R @ chain.R[i]
        axis = R[:, :, 2]
        spin_up = spin_up + axis * acceleration[:, i, None] + np.cross(spin, axis) * velocity_rad_s[:, i, None]
        spin = spin + axis * velocity_rad_s[:, i, None]
        R = _turned(R, q_rad[:, i])
        axes.append(axis)
        anchors.append(p)
        force, torque = (R @ x for x in _link(_into(R, spin), _into(R, spin_up), _into(R, lift)))
        for j in range(i + 1):
            moment = torque + _cross(p - anchors[j]) @ force
            result[:, j, 10 * i : 10 * i + 10] = np.einsum("tx,txn->tn", axes[j], moment)
    return result


def inertial_parameters(model: mujoco.MjModel, joints: tuple[str, ...]) -> np.ndarray:
    """The model's own parameters (k, 10), in the order of `PARAMETERS`; each body must turn about its joint's z axis.

    Raises:
        ValueError: if a joint is not a hinge about z through its body's origin.
    """
    rows = []
    for name in joints:
        joint = model.joint(name)
        body = model.body(int(joint.bodyid[0]))
        if not np.allclose(joint.axis, (0, 0, 1)) or not np.allclose(joint.pos, 0):
            raise ValueError(f"joint {name} must turn about the z axis of its body")
        mass, center = float(body.mass[0]), body.ipos
        R = np.empty(9)
        mujoco.mju_quat2Mat(R, body.iquat)
        R = R.reshape(3, 3)
        inertia = R @ np.diag(body.inertia) @ R.T + mass * (center @ center * np.eye(3) - np.outer(center, center))
        rows.append([mass, *(mass * center), *inertia[np.triu_indices(3)]])
    return np.array(rows)


def to_shape(parameters: np.ndarray) -> np.ndarray:
    """Coordinates (n, 10) in which every link is made of matter, of links (n, 10) in the order of `PARAMETERS`.

    The logarithm of the mass; the centre of mass, m; then an upper triangular matrix whose product with its transpose
    is the mean of (x - centre)(x - centre)^T over the mass: logarithms of its diagonal, and its entries xy, xz, yz, m.
    This is the log-Cholesky form of the pseudo-inertia (Rucker and Wensing, IEEE RA-L 7(2), 2022).

    Raises:
        ValueError: if a link could not be made of matter.
    """
    mass, center = parameters[:, 0], parameters[:, 1:4] / parameters[:, :1]
    inertia = np.zeros((len(parameters), 3, 3))
    inertia[:, *np.triu_indices(3)] = parameters[:, 4:]
    inertia[:, *np.triu_indices(3)[::-1]] = parameters[:, 4:]
    spread = 0.5 * np.trace(inertia, axis1=1, axis2=2)[:, None, None] * np.eye(3) - inertia
    spread = spread / mass[:, None, None] - center[:, :, None] * center[:, None, :]
    try:
        U = np.linalg.cholesky(spread[:, ::-1, ::-1])[:, ::-1, ::-1]
    except np.linalg.LinAlgError as error:
        raise ValueError("a link's inertia is not that of any distribution of its mass") from error
    logs = np.log(np.diagonal(U, axis1=1, axis2=2))
    return np.column_stack([np.log(mass), center, logs, U[:, 0, 1], U[:, 0, 2], U[:, 1, 2]])


def from_shape(shape: np.ndarray) -> np.ndarray:
    """The inverse of `to_shape`; any numbers will do."""
    mass, center = np.exp(shape[:, 0]), shape[:, 1:4]
    U = np.zeros((len(shape), 3, 3))
    U[:, [0, 1, 2], [0, 1, 2]] = np.exp(shape[:, 4:7])
    U[:, [0, 0, 1], [1, 2, 2]] = shape[:, 7:]
    spread = U @ np.swapaxes(U, 1, 2) + center[:, :, None] * center[:, None, :]
    inertia = np.trace(spread, axis1=1, axis2=2)[:, None, None] * np.eye(3) - spread
    return mass[:, None] * np.column_stack([np.ones(len(shape)), center, inertia[:, *np.triu_indices(3)]])


def shape_slope(shape: np.ndarray) -> np.ndarray:
    """The derivative of `from_shape` (n, 10, 10), by central differences."""
    step = 1e-5
    moved = shape[:, None, :] + step * np.concatenate([np.eye(10), -np.eye(10)])
    values = from_shape(moved.reshape(-1, 10)).reshape(len(shape), 2, 10, 10)
    return np.swapaxes(values[:, 0] - values[:, 1], 1, 2) / (2 * step)


def _link(spin: np.ndarray, spin_up: np.ndarray, lift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Force and torque about the frame's origin per unit of each parameter, (T, 3, 10) each, in its own frame."""
    force, torque = np.zeros((2, len(spin), 3, 10))
    turn = _cross(spin)
    force[:, :, 0] = lift
    force[:, :, 1:4] = _cross(spin_up) + turn @ turn
    torque[:, :, 1:4] = -_cross(lift)
    torque[:, :, 4:] = _inertia_times(spin_up) + turn @ _inertia_times(spin)
    return force, torque


def _turned(R: np.ndarray, angle_rad: np.ndarray) -> np.ndarray:
    """R (T, 3, 3) times a turn about z."""
    c, s = np.cos(angle_rad)[:, None], np.sin(angle_rad)[:, None]
    x, y = R[:, :, 0], R[:, :, 1]
    return np.stack([x * c + y * s, y * c - x * s, R[:, :, 2]], axis=-1)


def _into(R: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Vectors (T, 3) of the base in the frames R (T, 3, 3)."""
    return np.einsum("txi,tx->ti", R, vector)


def _cross(v: np.ndarray) -> np.ndarray:
    """The matrices (T, 3, 3) with which v (T, 3) is multiplied crosswise."""
    zero = np.zeros(len(v))
    x, y, z = v.T
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)


def _inertia_times(v: np.ndarray) -> np.ndarray:
    """(T, 3, 6) that turn the six entries of an inertia into its product with v (T, 3)."""
    zero = np.zeros(len(v))
    x, y, z = v.T
    return np.stack([x, y, z, zero, zero, zero, zero, x, zero, y, z, zero, zero, zero, x, zero, y, z], axis=1).reshape(
        -1, 3, 6
    )
