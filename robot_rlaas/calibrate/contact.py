"""What insertions say of the cell: where holes really were, friction, and the wrist sensor's noise.

A peg that sits in its hole tells where the hole is: the tip's pose by the arm's kinematics, against the pose that the
camera stated. The difference is the camera's error and the peg's in the hand together, which no log tells apart; their
mean is a fault that can be mended, and their scatter is what the cell's ranges have to cover. A tip that slides on the
plate shows friction, and one that stands still before it begins shows the sensor's noise.
"""

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from scipy import stats

from robot_rlaas.calibrate.log import by_name, read_topics
from robot_rlaas.calibrate.rounding import short
from robot_rlaas.cell.calibration import DataFile
from robot_rlaas.cell.contact import ContactFigure, ContactReport
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import HardwareProfile
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import SerialChain, tool_pose
from robot_rlaas.control.rotation import rotate
from robot_rlaas.files import sha256_file, write_atomic
from robot_rlaas.sim.model import Workcell

CONTACT = "contact.yaml"
HEAD = "# What a cell's logs say of its holes, its friction and its wrist sensor.\n"
TARE_S = 0.3  # of rest before an attempt
STILL_RAD = 2e-3
DEEP = 0.5  # part of the depth from which on the peg sits in the hole
TOUCH_N = 5.0  # with which a sliding tip is pressed at least
TOP_M = (-0.0005, 0.003)  # about the plate's upper face: the peg may stand out of the hand by some of it
SLIDE_M_S = 0.006
STRAIGHT = 0.9  # part of the sideways force that is against the motion: elsewhere an edge pushes
SMOOTH = 9  # samples: velocities are differences of noisy positions
SLIDING_SAMPLES = 8  # in an attempt, for a figure of friction
LEAST_ATTEMPTS = 5  # that inserted, and
LEAST_SLIDES = 3  # that slid


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


def learn_contact(
    cell: CellSpec,
    workcell: Workcell,
    logs: Sequence[Path],
    plate_topic: str,
    out: Path,
    on_event: Callable[[str], None] = print,
) -> ContactReport:
    """Compare what deployments logged with what the cell file allows for, and write `contact.yaml` into `out`.

    Args:
        cell: that was deployed.
        workcell: built from it.
        logs: MCAP files of `rlaas deploy`.
        plate_topic: on which the camera's pose of the hole was published.
        out: directory.
        on_event: gets a line per finding.

    Raises:
        InputError: if a log cannot be read, or they hold too few insertions.
    """
    attempts = [attempt for path in logs for attempt in read_attempts(path, workcell, plate_topic)]
    files = tuple(DataFile(file=path.name, sha256=sha256_file(path)) for path in logs)
    if len({file.sha256 for file in files}) < len(files):
        raise InputError("the same log twice", file=logs[0], fix="name each log once")
    seats = np.array([seat for seat in (_seat(cell, attempt) for attempt in attempts) if seat is not None])
    if len(seats) < LEAST_ATTEMPTS:
        message = f"{len(seats)} insertions in {len(attempts)} attempts; at least {LEAST_ATTEMPTS} are needed"
        raise InputError(message, file=logs[0], fix="deploy for longer: 'rlaas deploy BUNDLE --attempts 20'")
    figures = _figures(cell, attempts, seats)
    report = ContactReport(
        rlaas_contact=1,
        cell=cell.name,
        cell_hash=cell.hash,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        logs=files,
        attempts=len(attempts),
        inserted=len(seats),
        figures=figures,
        findings=tuple(_finding(figure) for figure in figures if not figure.within),
    )
    content = yaml.safe_dump(report.model_dump(mode="json"), sort_keys=False, width=160, allow_unicode=True)
    write_atomic(out / CONTACT, HEAD + content)
    for figure in figures:
        low, high = figure.allowed
        on_event(
            f"{figure.name}: {figure.value:.3g} {figure.unit} ({figure.lower_95:.3g} to {figure.upper_95:.3g}), "
            f"allowed for {low:.3g} to {high:.3g}"
        )
    if not any(figure.name.startswith("friction") for figure in figures):
        on_event(f"friction: the tip slid on the plate in fewer than {LEAST_SLIDES} attempts")
    for finding in report.findings:
        on_event(f"finding: {finding}")
    return report


def read_attempts(path: Path, workcell: Workcell, plate_topic: str) -> list[Attempt]:
    """The attempts of a log: each from one pose of the plate to the next.

    Raises:
        InputError: if the file cannot be read, or lacks a topic.
    """
    profile = workcell.profile
    topics = (profile.topics.joint_states, profile.topics.wrench, plate_topic)
    found = read_topics(path, topics)
    for topic in topics:
        if not found[topic]:
            raise InputError(f"no message on {topic}", file=path, fix="record a deployment, as `rlaas deploy` does")
    at = np.array([ns for ns, _ in found[topics[0]]]) * 1e-9
    q = np.array([by_name(message, profile, path)[0] for _, message in found[topics[0]]])
    wrench_at = np.array([ns for ns, _ in found[topics[1]]]) * 1e-9
    wrench = np.array([_six(message) for _, message in found[topics[1]]])
    wrench = np.stack([np.interp(at, wrench_at, column) for column in wrench.T], axis=1)
    poses = found[plate_topic]
    ends = [*(ns for ns, _ in poses[1:]), found[topics[0]][-1][0]]
    attempts = []
    for (start, message), end in zip(poses, ends):
        rows = (at >= start * 1e-9) & (at < end * 1e-9)
        attempt = _attempt(workcell.chain, profile, message.pose, at[rows], q[rows], wrench[rows])
        if attempt is not None:
            attempts.append(attempt)
    return attempts


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


def _seat(cell: CellSpec, attempt: Attempt) -> np.ndarray | None:
    """Where the peg sat against where the hole was seen: (x, y, yaw), mm and degrees; None if it never did."""
    deep = attempt.tip_m[:, 2] < attempt.hole_m[2] - DEEP * cell.task.depth_mm / 1000
    if not deep.any():
        return None
    away = (attempt.tip_m[deep, :2] - attempt.hole_m[:2]).mean(axis=0)
    c, s = np.cos(attempt.hole_yaw_rad), np.sin(attempt.hole_yaw_rad)
    yaw = np.arctan2(attempt.tip_R[deep, 1, 0], attempt.tip_R[deep, 0, 0]) - attempt.hole_yaw_rad
    yaw = np.angle(np.exp(4j * yaw)).mean() / 4  # a square peg fits four ways
    return np.array([1000 * (c * away[0] + s * away[1]), 1000 * (c * away[1] - s * away[0]), np.rad2deg(yaw)])


def _friction(attempt: Attempt) -> float | None:
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
    sliding &= against > STRAIGHT * np.linalg.norm(force[:, :2], axis=1)
    if sliding.sum() < SLIDING_SAMPLES:
        return None
    return float(np.median(against[sliding] / force[sliding, 2]))


def _figures(cell: CellSpec, attempts: list[Attempt], seats: np.ndarray) -> tuple[ContactFigure, ...]:
    vary, sense = cell.variation, cell.sensing
    slack = cell.task.plate.clearance_mm
    figures = []
    for i, axis in enumerate("xy"):
        figures += _offset_and_scatter(
            f"hole, seen against found, {axis}", "mm", seats[:, i], (vary.plate_bias_mm, vary.hand_offset_mm), slack
        )
    turn = np.rad2deg(2 * slack / cell.task.peg.width_mm)
    figures += _offset_and_scatter(
        "hole, seen against found, yaw", "deg", seats[:, 2], (vary.plate_bias_deg, vary.hand_offset_deg), turn
    )
    friction = np.array([mu for mu in map(_friction, attempts) if mu is not None])
    if len(friction) >= LEAST_SLIDES:
        figures.append(_mean("friction of peg and plate", "1", friction, vary.friction))
    noise = np.array([attempt.still.std(axis=0, ddof=1) for attempt in attempts])
    for name, unit, part, most in (
        ("noise of the wrist's force", "N", noise[:, :3], sense.force_noise_N),
        ("noise of the wrist's torque", "N m", noise[:, 3:], sense.torque_noise_Nm),
    ):
        figures.append(_mean(name, unit, np.sqrt(np.mean(part**2, axis=1)), (0.0, 1.1 * most)))
    return tuple(figures)


def _offset_and_scatter(
    name: str, unit: str, values: np.ndarray, ranges: Sequence[tuple[float, float]], slack: float
) -> list[ContactFigure]:
    """The mean, which should be that of the ranges, and the scatter, which they should cover."""
    middle = -float(np.mean(ranges[0])) - float(np.mean(ranges[1]))
    spread = np.sqrt(sum((high - low) ** 2 / 12 for low, high in ranges) + slack**2 / 3)
    count = len(values)
    scatter = float(values.std(ddof=1))
    bounds = scatter * np.sqrt((count - 1) / stats.chi2.ppf([0.975, 0.025], count - 1))
    allowed = (middle - slack, middle + slack)
    return [
        _mean(f"{name}: mean", unit, values, allowed),
        ContactFigure(
            name=f"{name}: scatter",
            unit=unit,
            value=short(scatter, 5),
            lower_95=short(bounds[0], 5),
            upper_95=short(bounds[1], 5),
            allowed=(0.0, short(spread, 5)),
            within=bool(bounds[0] <= spread),
        ),
    ]


def _mean(name: str, unit: str, values: np.ndarray, allowed: tuple[float, float]) -> ContactFigure:
    """The mean with Student's interval; within what is allowed unless the whole interval lies outside."""
    count, mean = len(values), float(values.mean())
    half = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return ContactFigure(
        name=name,
        unit=unit,
        value=short(mean, 5),
        lower_95=short(mean - half, 5),
        upper_95=short(mean + half, 5),
        allowed=(short(allowed[0], 5), short(allowed[1], 5)),
        within=mean + half >= allowed[0] and mean - half <= allowed[1],
    )


def _finding(figure: ContactFigure) -> str:
    value = f"{figure.name} is {figure.value:.3g} {figure.unit} ({figure.lower_95:.3g} to {figure.upper_95:.3g})"
    if figure.name.endswith("mean"):
        return f"{value}: the camera or the tool is out of line; calibrate the camera, or correct the tool's length"
    if figure.name.endswith("scatter"):
        return f"{value}, more than variation.plate_bias and hand_offset cover ({figure.allowed[1]:.3g}): widen them"
    where = "variation.friction" if figure.name.startswith("friction") else "sensing"
    low, high = figure.allowed
    return f"{value}, outside of what {where} says ({low:.3g} to {high:.3g}): correct it, and train again"


def _six(message: Any) -> list[float]:
    force, torque = message.wrench.force, message.wrench.torque
    return [force.x, force.y, force.z, torque.x, torque.y, torque.z]
