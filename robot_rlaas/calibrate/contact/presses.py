"""The spots of a gentle press out of its log: where the tip rested on the plate, how it slid, what the wrist felt."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robot_rlaas.calibrate.contact.attempts import Felt, read_felt
from robot_rlaas.calibrate.log import read_topics
from robot_rlaas.cell.errors import InputError
from robot_rlaas.control.kinematics import Pose, tool_pose
from robot_rlaas.control.rotation import rotate
from robot_rlaas.sim.model import Workcell

PRESS = "press again: 'rlaas calibrate press CELL --out DIR'"
MOVING_S = 0.5  # after the start of a stroke the tip slides
LOADS = 2
SLID_M = 0.002  # in what is left of the stroke, at least


class Rest(NamedTuple):
    """The tip at rest on the plate: the nominal tip by the arm's kinematics, (3,) m, and what the plate does to it,
    (3,) N, both in the base frame."""

    tip_m: np.ndarray
    force_N: np.ndarray


class Spot(NamedTuple):
    """One pressed spot.

    Attributes:
        rests: in the order of time: under the whole force, then under less.
        slides: (m, 3) mean force of each stroke, N, in the base frame.
        still: (S, 6) the raw wrench before, in free air, in the sensor's frame.
    """

    rests: tuple[Rest, ...]
    slides: np.ndarray
    still: np.ndarray


class PressLog(NamedTuple):
    """A whole press: the hole as the camera saw it, (3,) m in the base frame, and the spots."""

    hole_m: np.ndarray
    spots: tuple[Spot, ...]


class _Window(NamedTuple):
    """Samples during which one thing was done: what it was, at which spot, and which rows."""

    doing: str
    spot: int
    rows: np.ndarray


def is_press(path: Path, motion_topic: str) -> bool:
    """Whether a log says that it is one of a press."""
    said = read_topics(path, (motion_topic,))[motion_topic]
    return any("spot" in json.loads(message.data) for _, message in said)


def read_press(path: Path, workcell: Workcell, plate_topic: str, motion_topic: str) -> PressLog:
    """The pressed spots of a log.

    Raises:
        InputError: if the file cannot be read, or lacks a topic.
    """
    felt = read_felt(path, workcell.profile, (plate_topic, motion_topic))
    tip = tool_pose(workcell.chain, felt.q_rad)
    windows = _windows(felt, motion_topic)
    numbers = sorted({window.spot for window in windows})
    spots = [_spot(felt, tip, [window for window in windows if window.spot == number]) for number in numbers]
    whole = tuple(spot for spot in spots if spot is not None)
    if not whole:
        raise InputError("no spot was pressed in this log", file=path, fix=PRESS)
    at = felt.others[plate_topic][0][1].pose.position
    return PressLog(np.array([at.x, at.y, at.z]), whole)


def _windows(felt: Felt, motion_topic: str) -> list[_Window]:
    """What was done at which spot, from each thing that was said to the next."""
    said = [(ns * 1e-9, json.loads(message.data)) for ns, message in felt.others[motion_topic]]
    ends = [*(at for at, _ in said[1:]), felt.time_s[-1]]
    return [
        _Window(doing["doing"], doing["spot"], rows)
        for (start, doing), end in zip(said, ends)
        if "spot" in doing and (rows := (felt.time_s >= start) & (felt.time_s < end)).any()
    ]


def _spot(felt: Felt, tip: Pose, windows: list[_Window]) -> Spot | None:
    """None if it was left before the tip had rested under both loads."""
    tares, rests, strokes = ([w.rows for w in windows if w.doing == what] for what in ("tare", "rest", "slide"))
    if not tares or len(rests) < LOADS:
        return None
    still = felt.wrench[tares[-1]]
    force = rotate(tip.R, felt.wrench[:, :3] - still[:, :3].mean(axis=0))
    slid = [_slid(felt, tip, rows) for rows in strokes]
    return Spot(
        tuple(Rest(tip.p[rows].mean(axis=0), force[rows].mean(axis=0)) for rows in rests),
        np.array([force[rows].mean(axis=0) for rows in slid if rows is not None]).reshape(-1, 3),
        still,
    )


def _slid(felt: Felt, tip: Pose, rows: np.ndarray) -> np.ndarray | None:
    """The rows of a stroke in which the tip slides; None if it hardly does."""
    moving = rows & (felt.time_s >= felt.time_s[rows.argmax()] + MOVING_S)
    way_m = np.linalg.norm(np.ptp(tip.p[moving, :2], axis=0)) if moving.any() else 0.0
    return moving if way_m > SLID_M else None
