"""What is estimated of an arm, what is assumed of it before, and what a log can tell of it."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.calibrate.servo.arm import Arm, ArmParameters
from robot_rlaas.cell.calibration import SCALE

DELAY_S = (-0.02, 0.1)  # below zero: two clocks that disagree
DELAY_SPREAD_S = 0.05
SCALE_SPREAD = 0.3  # standard deviation of the priors of scales
FRICTION_SPREAD = 0.1  # of the priors of friction, in parts of the torque limit
FRICTION_MAX = 0.4
PAYLOAD_SPREAD_KG, PAYLOAD_MAX_KG = 1.0, 5.0
PAYLOAD_COM_SPREAD_M, PAYLOAD_COM_MAX_M = 0.05, 0.25
TYPICAL_FRICTION = 0.01  # of the torque limit, and
TYPICAL_PAYLOAD_KG = 1.0  # where sensitivities are taken before anything is known: without a payload its place is void
DIFFERENCE = 1e-3  # of a finite difference: 1 ms, 0.1 %, 1 mN m, 1 g, 1 mm
IDENTIFIABLE = 0.4  # the posterior's standard deviation is at most this part of the prior's
UNIT = re.compile("_(scale|Nm|kg|m|s)$")
TAKES_PART = 0.35  # a parameter is named in a direction if its share is at least so large a part of the largest


class Quantity(NamedTuple):
    """A field of ArmParameters, its normal prior around the nominal value and its bounds: one or k values each."""

    name: str
    unit: str
    nominal: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray


def quantities(arm: Arm) -> list[Quantity]:
    """What is estimated, in the order of the covariance."""
    one, limit = np.ones(len(arm.joints)), arm.torque_limit_Nm
    scales = [
        Quantity(f"{name}_scale", "1", one, SCALE_SPREAD * one, SCALE[0] * one, SCALE[1] * one)
        for name in ("servo_gain", "joint_damping", "armature")
    ]
    delay = (np.array([x]) for x in (0.0, DELAY_SPREAD_S, *DELAY_S))
    friction = (arm.friction_Nm, FRICTION_SPREAD * limit, 0.0 * one, FRICTION_MAX * limit)
    payload = (np.array([x]) for x in (0.0, PAYLOAD_SPREAD_KG, 0.0, PAYLOAD_MAX_KG))
    place = [np.array([x]) for x in (0.0, PAYLOAD_COM_SPREAD_M, -PAYLOAD_COM_MAX_M, PAYLOAD_COM_MAX_M)]
    return [
        Quantity("command_delay_s", "s", *delay),
        *scales,
        Quantity("joint_friction_Nm", "N m", *friction),
        Quantity("payload_kg", "kg", *payload),
        *(Quantity(f"payload_{axis}_m", "m", *place) for axis in "xyz"),
    ]


def unpack(columns: np.ndarray, of: list[Quantity]) -> ArmParameters:
    """Vectors (n, p) -> n sets of parameters."""
    ends = np.cumsum([len(q.nominal) for q in of])
    fields = {q.name: columns[:, end - len(q.nominal) : end] for q, end in zip(of, ends)}
    return ArmParameters(**{q.name: fields[q.name][:, 0] if len(q.nominal) == 1 else fields[q.name] for q in of})


def labels(arm: Arm, of: list[Quantity]) -> list[tuple[str, str | None]]:
    """(name, joint) of each of the p parameters."""
    return [(q.name, joint) for q in of for joint in (arm.joints if len(q.nominal) > 1 else [None])]


def typical(arm: Arm, of: list[Quantity]) -> np.ndarray:
    """The nominal parameters (p,) with some friction and a payload, so that each has an effect."""
    usual = {"joint_friction_Nm": TYPICAL_FRICTION * arm.torque_limit_Nm, "payload_kg": np.array([TYPICAL_PAYLOAD_KG])}
    return np.concatenate([usual.get(q.name, q.nominal) for q in of])


def information(arm: Arm, log: JointLog, of: list[Quantity], x: np.ndarray, noise_rad: float) -> np.ndarray:
    """What a log adds to the prior at parameters x (p,): its Fisher information (p, p) in units of the prior's.

    Args:
        noise_rad: standard deviation of what the model leaves unexplained of a position; taken for white.
    """
    steps = np.concatenate([x[None], x + DIFFERENCE * np.eye(len(x))])
    predicted = arm.predict(log, unpack(steps, of))
    jacobian = (predicted[1:] - predicted[0]).reshape(len(x), -1) / (DIFFERENCE * noise_rad)
    jacobian *= np.concatenate([q.spread for q in of])[:, None]
    return jacobian @ jacobian.T


def undetermined(covariance: np.ndarray, of: Sequence[tuple[str, str | None]]) -> tuple[str, ...]:
    """The directions that a log leaves to the prior, each in words.

    Args:
        covariance: (p, p) of the posterior, in units of the prior's standard deviations.
        of: (name, joint) of each parameter.

    Returns:
        One text for every singular direction along which more than IDENTIFIABLE of the prior's spread is left, turned
        within their space so that few parameters take part in each (varimax: Kaiser, Psychometrika 23, 1958).
    """
    variance, vectors = np.linalg.eigh(covariance)
    open_ = _varimax(vectors[:, variance > IDENTIFIABLE**2])
    named = (_in_words(direction, of) for direction in open_.T)
    return tuple(sorted(set(named)))


def _varimax(vectors: np.ndarray) -> np.ndarray:
    """Orthonormal columns (p, m), turned among themselves towards few large entries each."""
    turn = np.eye(vectors.shape[1])
    for _ in range(100 if len(turn) > 1 else 0):
        now = vectors @ turn
        u, _, v = np.linalg.svd(vectors.T @ (now**3 - now * np.mean(now**2, axis=0)))
        turn = u @ v
    return vectors @ turn


def _in_words(direction: np.ndarray, of: Sequence[tuple[str, str | None]]) -> str:
    size = np.abs(direction)
    part = [i for i in np.argsort(-size) if size[i] >= TAKES_PART * size.max()]
    if len(part) == 1:
        return _name(*of[part[0]])
    joints = {of[i][1] for i in part}
    same_sign = len({bool(direction[i] > 0) for i in part}) == 1
    if len(joints) == 1 and None not in joints and same_sign:
        kinds = ", ".join(sorted(_kind(of[i][0]) for i in part))
        return f"the scale of {kinds} of {joints.pop()} together: only their ratios show"
    return f"{_name(*of[part[0]])} against {', '.join(_name(*of[i]) for i in part[1:])}"


def _name(name: str, joint: str | None) -> str:
    return f"{_kind(name)} of {joint}" if joint else _kind(name)


def _kind(name: str) -> str:
    """A name without its unit, in words."""
    return UNIT.sub("", name).replace("_", " ")
