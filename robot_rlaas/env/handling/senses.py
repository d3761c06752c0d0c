"""What a robot in a handling cell can know: where a camera saw parts, whether a door is open, which stage it is at."""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.fixtures import Door, Tray
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.env.handling.judge import DRIVE_SHARE, WIDTH_M, Truth, tool_yaw, turned
from robot_rlaas.env.handling.plan import CLOSE, GRASP, MOVE, NONE, OPEN, PLACE, REACH, RELEASE, Plan
from robot_rlaas.sim.starts import Flat, moving

STRICTER = 0.7  # of a stage's tolerance: the robot moves on when it believes to be well within it
FREE_M = 0.004  # pads so much wider apart than the part have let go of it
STILL_M = 0.001  # per period: fingers that move less have stopped
WIDE_OPEN = 0.98  # what a door's switch takes for open


class Eyes:
    """A camera that follows the parts: late, biased, noisy, and blind where the tool is in the way.

    Attributes:
        seen: (count, parts) where each part's base was seen last.
    """

    def __init__(self, task: HandlingTask, plan: Plan, count: int, period_s: float) -> None:
        sight, parts = task.sight, len(task.parts)
        self._late = round(sight.latency_s / period_s)
        self._past = np.zeros((count, self._late + 1, parts, 4))
        self._hidden_m, self._symmetry = sight.hidden_mm / 1000, plan.symmetry_rad
        trays = {f.name: np.deg2rad(f.yaw_deg) for f in task.fixtures if isinstance(f, Tray)}
        self._usual_yaw = np.array([trays[part.start] for part in task.parts])
        self._noise = np.array([sight.noise_mm / 1000, sight.noise_mm / 1000, np.deg2rad(sight.noise_deg)])
        self.seen = Flat(np.zeros((count, parts, 3)), np.zeros((count, parts)))

    def put_down(self, ids: np.ndarray, part: np.ndarray, base: np.ndarray) -> None:
        """Where the hand let go of it, a part (m,) stands until it is seen again: its base is at (m, 3)."""
        self.seen.p[ids, part] = base

    def look(self, ids: np.ndarray, first: np.ndarray, now: Truth, bias: np.ndarray, noise: np.ndarray) -> None:
        """Take a picture.

        Args:
            ids: (m,) whose.
            first: (m,) bool: of an episode that has just begun: nothing was seen before, and nothing is in the way.
            now: the truth, one row per id.
            bias: (m, parts, 3) of x, y in m and yaw in rad.
            noise: (m, parts, 3) standard normal.
        """
        taken = np.concatenate([now.base, now.yaw[..., None]], axis=-1)
        self._past[ids] = np.concatenate([self._past[ids, 1:], taken[:, None]], axis=1)
        self._past[ids[first]] = taken[first][:, None]
        late, off = self._past[ids, 0], bias + self._noise * noise
        xyz = late[..., :3] + np.concatenate([off[..., :2], 0.0 * off[..., :1]], axis=-1)
        before = np.where(first[:, None], self._usual_yaw, self.seen.yaw[ids])
        yaw = before + turned(late[..., 3] + off[..., 2] - before, self._symmetry)
        in_sight = np.linalg.norm(now.base - now.tool.p[:, None], axis=-1) > self._hidden_m
        fresh = in_sight | first[:, None]
        self.seen.p[ids] = np.where(fresh[..., None], xyz, self.seen.p[ids])
        self.seen.yaw[ids] = np.where(fresh, yaw, self.seen.yaw[ids])


class Doors:
    """What a door's switch and a clock tell: whether it is open, and for how much longer."""

    def __init__(self, task: HandlingTask, count: int) -> None:
        doors = [(i, f) for i, f in enumerate(moving(task)) if isinstance(f, Door)]
        self._drive = np.array([i for i, _ in doors], int)
        self._stays_s = np.array([f.open_share * f.period_s - f.slide_s for _, f in doors])
        self._was_open, self._since_s = np.ones((count, len(doors)), bool), np.full((count, len(doors)), np.inf)

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
    moved_on = np.select([verb == v for v in done], list(done.values())) & (stage < end)
    empty = np.where(plan.carries[at], np.abs(beyond) > WIDTH_M, (verb == GRASP) & (beyond < -WIDTH_M))
    again = empty & (plan.retry[at] != NONE) & (stage < end)
    return np.where(again, plan.retry[at], stage + moved_on)
