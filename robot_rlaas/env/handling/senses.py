"""What a robot in a handling cell can tell by its sensors: whether a door is open, which stage it is at."""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.fixtures import Door
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.env.handling.plan import CLOSE, GRASP, MOVE, NONE, OPEN, PLACE, REACH, RELEASE, Plan, by_verb
from robot_rlaas.sim.starts import Flat

STRICTER = 0.7  # of a stage's tolerance: the robot moves on when it believes to be well within it
FREE_M = 0.004  # pads so much wider apart than the part have let go of it
STILL_M = 0.001  # per period: fingers that move less have stopped
WIDE_OPEN = 0.98  # what a door's switch takes for open
WIDTH_M = 0.004  # the pads' gap is the part's width but for so much: pads yield, jaws turn
DRIVE_SHARE = 0.05  # of a vise's travel: so near its end it has arrived


class Doors:
    """What a door's switch and a clock tell: whether it is open, and for how much longer."""

    def __init__(self, task: HandlingTask, count: int) -> None:
        doors = [(i, f) for i, f in enumerate(task.moving) if isinstance(f, Door)]
        self._drive = np.array([i for i, _ in doors], int)
        self._stays_s = np.array([f.surely_open_s for _, f in doors])
        self._was_open, self._since_s = np.ones((count, len(doors)), bool), np.full((count, len(doors)), np.inf)

    @property
    def memory(self) -> tuple[np.ndarray, ...]:
        """(count, doors) all that is kept of the episodes."""
        return self._was_open, self._since_s

    def sense(self, ids: np.ndarray, first: np.ndarray, openings: np.ndarray, period_s: float) -> np.ndarray:
        """One period on -> (m, doors, 2): whether each is open, and for how many seconds more it surely is.

        How long a door stays open is known, so its end is, once it was seen to open.
        """
        is_open = openings[:, self._drive] > WIDE_OPEN
        opened = is_open & ~self._was_open[ids] & ~first[:, None]
        since = np.where(first[:, None], np.inf, self._since_s[ids] + period_s)
        self._since_s[ids] = np.where(opened, 0.0, since)
        self._was_open[ids] = is_open
        left_s = np.where(is_open, np.maximum(self._stays_s - self._since_s[ids], 0.0), 0.0)
        return np.stack([1.0 * is_open, left_s], axis=-1)


class Sensed(NamedTuple):
    """What the robot goes by when it decides which stage it is at. Rows are episodes.

    Attributes:
        tool: as measured.
        goal: where the tool is to be, as far as is known.
        aperture_m: (m,) between the pads, and
        before_m: (m,) a period ago.
        closing: (m,) bool: the last action was to close.
        openings: (m, moving fixtures) as their switches say.
    """

    tool: Pose
    goal: Flat
    aperture_m: np.ndarray
    before_m: np.ndarray
    closing: np.ndarray
    openings: np.ndarray


def next_stage(plan: Plan, stage: np.ndarray, sensed: Sensed) -> np.ndarray:
    """The stage (m,) that the robot takes itself to be at, from the one before; past the last if all seem done."""
    end = len(plan.verb)
    at = np.minimum(stage, end - 1)
    verb, width = plan.verb[at], plan.width_m[plan.part[at]]
    away = np.linalg.norm(sensed.tool.p - sensed.goal.p, axis=-1)
    turn = np.abs(turned(tool_yaw(sensed.tool.R) - sensed.goal.yaw, plan.symmetry_rad[plan.part[at]]))
    near, aligned = away < STRICTER * plan.tolerance_m[at], turn < STRICTER * plan.tolerance_rad[at]
    beyond = sensed.aperture_m - width
    stopped = np.abs(sensed.aperture_m - sensed.before_m) < STILL_M
    arrived = np.zeros(len(at), bool)
    if sensed.openings.shape[1]:
        arrived = np.abs(sensed.openings[np.arange(len(at)), plan.drive[at]] - plan.drive_end[at]) < DRIVE_SHARE
    done = {
        REACH: near & aligned & (beyond > FREE_M),
        GRASP: sensed.closing & stopped & (np.abs(beyond) < WIDTH_M),
        MOVE: near,
        PLACE: near & aligned,
        RELEASE: beyond > FREE_M,
        CLOSE: arrived,
        OPEN: arrived,
    }
    moved_on = by_verb(verb, done) & (stage < end)
    empty = np.where(plan.carries[at], np.abs(beyond) > WIDTH_M, (verb == GRASP) & (beyond < -WIDTH_M))
    again = empty & (plan.retry[at] != NONE) & (stage < end)
    return np.where(again, plan.retry[at], stage + moved_on)


def turned(turn_rad: np.ndarray, symmetry_rad: np.ndarray) -> np.ndarray:
    """What is left of a turn for something that a turn by `symmetry_rad` does not change; zero means by any."""
    period = np.where(symmetry_rad > 0, symmetry_rad, 1.0)
    return np.where(symmetry_rad > 0, turn_rad - period * np.round(turn_rad / period), 0.0)


def tool_yaw(R: np.ndarray) -> np.ndarray:
    """The turn (n,) about the base frame's z of a tool (n, 3, 3) that points down, from where its x is the base's."""
    return np.arctan2(R[:, 1, 0], R[:, 0, 0])
