"""The attempts of a deployment's log: where the peg sat, how it slid, and what the wrist felt at rest."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.calibrate.bag import mcap_files
from robot_rlaas.calibrate.cut_off import metadata_of
from robot_rlaas.calibrate.log import by_name, read_topics
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import HardwareProfile
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import SerialChain, tool_pose
from robot_rlaas.control.rotation import rotate
from robot_rlaas.sim.model import Workcell

TARE_S = 0.3  # of rest before an attempt
STILL_RAD = 2e-3
DEEP = 0.5  # part of the depth from which on the peg sits in the hole
TOUCH_N = 5.0  # with which a sliding tip is pressed at least
TOP_M = (-0.0005, 0.003)  # about the plate's upper face: the peg may stand out of the hand by some of it
SLIDE_M_S = 0.003
STRAIGHT = 0.9  # part of the sideways force that is against the motion: elsewhere an edge pushes
SMOOTH = 9  # samples: velocities are differences of noisy positions
SLIDING_SAMPLES = 8  # in an attempt, for a figure of friction


class Felt(NamedTuple):
    """What an arm measured in a log.

    Attributes:
        time_s: (T,) of its joint states.
        q_rad: (T, k).
        wrench: (T, 6) N and N m as the sensor states them, in its own frame.
        others: (time in ns, message) on each of the other topics that were asked for.
    """

    time_s: np.ndarray
    q_rad: np.ndarray
    wrench: np.ndarray
    others: dict[str, list[tuple[int, Any]]]


class Attempt(NamedTuple):
    """One insertion out of a log.

    Attributes:
        hole_m: (3,) and
        hole_yaw_rad: as the camera saw it, in the base frame.
        time_s: (T,).
        tip_m: (T, 3) and
        tip_R: (T, 3, 3): the nominal tip's pose by the arm's kinematics.
        wrench: (T, 6) N and N m in the base frame, what the environment does to the tool, tared.
        still: (S, 6) the raw wrench before the arm moved, in the sensor's frame.
    """

    hole_m: np.ndarray
    hole_yaw_rad: float
    time_s: np.ndarray
    tip_m: np.ndarray
    tip_R: np.ndarray
    wrench: np.ndarray
    still: np.ndarray


def read_attempts(path: Path, workcell: Workcell, plate_topic: str) -> list[Attempt]:
    """The attempts of a log: each from one pose of the plate to the next.

    Raises:
        InputError: if the file cannot be read, or lacks a topic, or the arm has no wrist sensor.
    """
    profile = workcell.profile
    felt = read_felt(path, profile, (plate_topic,))
    poses = felt.others[plate_topic]
    ends = [*(ns * 1e-9 for ns, _ in poses[1:]), felt.time_s[-1]]
    attempts = []
    for (start, message), end in zip(poses, ends):
        rows = (felt.time_s >= start * 1e-9) & (felt.time_s < end)
        part = felt.time_s[rows], felt.q_rad[rows], felt.wrench[rows]
        attempt = _attempt(workcell.chain, profile, message.pose, *part)
        if attempt is not None:
            attempts.append(attempt)
    return attempts


def read_felt(path: Path, profile: HardwareProfile, others: tuple[str, ...]) -> Felt:
    """What the arm measured, and what was said on other topics.

    Raises:
        InputError: if the file cannot be read, or lacks a topic, or the arm has no wrist sensor.
    """
    if profile.topics.wrench is None:
        raise InputError("this arm states no wrench: without one nobody knows when its tip touches", file=path)
    topics = (profile.topics.joint_states, profile.topics.wrench, *others)
    found = read_topics(path, topics)
    for topic in topics:
        if not found[topic]:
            cells = sorted({about["cell"] for about in map(metadata_of, mcap_files(path)) if "cell" in about})
            of = f": it is a log of the cell {', '.join(map(repr, cells))}" if cells else ""
            fix = "name logs of insertions, as `rlaas deploy` records them"
            raise InputError(f"no message on {topic}{of}", file=path, fix=fix)
    at = np.array([ns for ns, _ in found[topics[0]]]) * 1e-9
    q = np.array([by_name(message, profile, path)[0] for _, message in found[topics[0]]])
    wrench_at = np.array([ns for ns, _ in found[topics[1]]]) * 1e-9
    wrench = np.array([_six(message) for _, message in found[topics[1]]])
    wrench = np.stack([np.interp(at, wrench_at, column) for column in wrench.T], axis=1)
    return Felt(at, q, wrench, {topic: found[topic] for topic in others})


def _attempt(
    chain: SerialChain, profile: HardwareProfile, pose: Any, at: np.ndarray, q: np.ndarray, wrench: np.ndarray
) -> Attempt | None:
    """None if the arm never rests before it moves."""
    count = round(TARE_S * profile.state_rate_hz)
    rests = [i for i in range(len(q) - count) if np.ptp(q[i : i + count], axis=0).max() < STILL_RAD]
    if not rests:
        return None
    still = slice(rests[0], rests[0] + count)
    tip = tool_pose(chain, q)
    tared = wrench - wrench[still].mean(axis=0)
    position, turn = pose.position, pose.orientation
    return Attempt(
        hole_m=np.array([position.x, position.y, position.z]),
        hole_yaw_rad=float(2 * np.arctan2(turn.z, turn.w)),
        time_s=at,
        tip_m=tip.p,
        tip_R=tip.R,
        wrench=np.hstack([rotate(tip.R, tared[:, :3]), rotate(tip.R, tared[:, 3:])]),
        still=wrench[still],
    )


class Seat(NamedTuple):
    """Where a peg sat in its hole.

    Attributes:
        offset_mm: (2,) of the nominal tip from the hole as seen, in the frame of the hole as seen.
        turn_deg: of the tip, against the hole as seen.
        place_m: (2,) of the nominal tip in the base frame.
    """

    offset_mm: np.ndarray
    turn_deg: float
    place_m: np.ndarray


def seat(cell: CellSpec, attempt: Attempt) -> Seat | None:
    """Where the peg sat; None if it never did."""
    deep = attempt.tip_m[:, 2] < attempt.hole_m[2] - DEEP * cell.task.depth_mm / 1000
    if not deep.any():
        return None
    place = attempt.tip_m[deep, :2].mean(axis=0)
    away, c, s = place - attempt.hole_m[:2], np.cos(attempt.hole_yaw_rad), np.sin(attempt.hole_yaw_rad)
    yaw = np.arctan2(attempt.tip_R[deep, 1, 0], attempt.tip_R[deep, 0, 0]) - attempt.hole_yaw_rad
    yaw = np.angle(np.exp(4j * yaw)).mean() / 4  # a square peg fits four ways
    offset = 1000 * np.array([c * away[0] + s * away[1], c * away[1] - s * away[0]])
    return Seat(offset, float(np.rad2deg(yaw)), place)


def friction(attempt: Attempt) -> float | None:
    """Sideways force over normal force while the tip slides on the plate; None where it hardly does."""
    window = np.ones(SMOOTH) / SMOOTH
    tip, force = (
        np.stack([np.convolve(column, window, "same") for column in values.T], axis=1)
        for values in (attempt.tip_m - attempt.hole_m, attempt.wrench[:, :3])
    )
    v = np.gradient(tip[:, :2], attempt.time_s, axis=0)
    speed = np.linalg.norm(v, axis=1)
    sliding = (force[:, 2] > TOUCH_N) & (speed > SLIDE_M_S) & (tip[:, 2] > TOP_M[0]) & (tip[:, 2] < TOP_M[1])
    against = -np.sum(force[:, :2] * v, axis=1) / np.maximum(speed, SLIDE_M_S)
    sideways = np.linalg.norm(force[:, :2], axis=1)  # all of it: it is the velocity whose direction is noisy
    sliding &= against > STRAIGHT * sideways
    if sliding.sum() < SLIDING_SAMPLES:
        return None
    return float(np.median(sideways[sliding] / force[sliding, 2]))


def _six(message: Any) -> list[float]:
    force, torque = message.wrench.force, message.wrench.torque
    return [force.x, force.y, force.z, torque.x, torque.y, torque.z]
