"""What is true of a handling episode: which stage is done, what is lost, what is broken. No policy sees any of it."""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.fixtures import Door
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.safety import Envelope, inside_keep_out
from robot_rlaas.env.handling.plan import CLOSE, GRASP, MOVE, NONE, OPEN, PLACE, REACH, RELEASE, Plan, by_verb, goal_at
from robot_rlaas.env.handling.senses import DRIVE_SHARE, WIDE_OPEN, WIDTH_M, tool_yaw, turned
from robot_rlaas.sim.backend import Physics
from robot_rlaas.sim.starts import Flat

HELD_M = 0.025  # a held part's grasp point is so near the tool's
LOST_S = 0.3  # a part that is neither held nor at its seat for so long is lost
FALLEN_M, OVER_RAD = 0.02, np.deg2rad(60)  # so far below the table's top a part has fallen; leaning so far, over
FAR_M, NEAR_M = 0.2, 0.02  # scales of the way to a goal in the shaping potential


class Truth(NamedTuple):
    """Where things are. Rows are episodes.

    Attributes:
        base: (n, parts, 3) and
        up: (n, parts, 3): each part's base and the direction of its z.
        yaw: (n, parts) its turn about z.
        tool: of the grasp point.
        aperture_m: (n,) between the pads.
        openings: (n, moving fixtures).
        contact_N: (n,) on the tool.
    """

    base: np.ndarray
    up: np.ndarray
    yaw: np.ndarray
    tool: Pose
    aperture_m: np.ndarray
    openings: np.ndarray
    contact_N: np.ndarray


def truth(tool: Pose, physics: Physics) -> Truth:
    """From the simulation."""
    w, x, y, z = (physics.parts[..., i] for i in range(3, 7))
    up = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=-1)
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    at = physics.parts[..., :3]
    return Truth(at, up, yaw, tool, physics.aperture_m, physics.openings, physics.contact_N)


class Verdict(NamedTuple):
    """What the judge says, (n,) each.

    Attributes:
        stage: the present one; as many as there are when all are done.
        lost: periods for which the part of a stage that carries it has been neither held nor at its seat.
        done, failed: bool.
        potential: of the shaping reward: the stage, and how far it has got.
    """

    stage: np.ndarray
    lost: np.ndarray
    done: np.ndarray
    failed: np.ndarray
    potential: np.ndarray


class Judge:
    """Judges a period by the truth."""

    def __init__(self, task: HandlingTask, plan: Plan, period_s: float) -> None:
        self._plan, self._patience = plan, round(LOST_S / period_s)
        self._floor_m, self._break_N = task.table_mm / 1000 - FALLEN_M, task.break_N
        self._tilt = np.cos(np.deg2rad(task.carry_tilt_deg))

    def judge(self, stage: np.ndarray, lost: np.ndarray, seats: Flat, now: Truth) -> Verdict:
        """What a period has brought.

        Args:
            stage, lost: (n,) as the period before left them.
            seats: (n, seats) true poses.
            now: where things are.
        """
        plan, end = self._plan, len(self._plan.verb)
        held, row = self._held(now), np.arange(len(stage))
        for _ in range(3):  # what is true at once is done at once
            at = np.minimum(stage, end - 1)
            after = np.where(stage < end, stage + self._stage_done(at, held, seats, now), stage)
            if (after == stage).all():
                break
            stage = after
        at = np.minimum(stage, end - 1)
        part = plan.part[at]
        carries = plan.carries[at] & (stage < end)
        gone = carries & ~held[row, part] & ~self._stands_at(at, seats, now)
        lost = np.where(gone, lost + 1, 0)
        given_up = lost > self._patience
        again = given_up & (plan.retry[at] != NONE)
        stage, lost = np.where(again, plan.retry[at], stage), np.where(again, 0, lost)
        tilted = carries & held[row, part] & (now.up[row, part, 2] < self._tilt)
        fallen = ((now.base[..., 2] < self._floor_m) | (now.up[..., 2] < np.cos(OVER_RAD))).any(axis=1)
        failed = (given_up & ~again) | tilted | fallen | (now.contact_N > self._break_N)
        parts, last = np.arange(len(plan.width_m))[None], plan.last_place[None]
        placed = (self._stands(seats, now, parts, last) | (last == NONE)).all(axis=1)
        done = (stage == end) & placed & ~failed
        return Verdict(stage, lost, done, failed, self._potential(stage, seats, now))

    def _held(self, now: Truth) -> np.ndarray:
        """(n, parts) bool: between the pads, which are its width apart."""
        plan = self._plan
        grasp = now.base + now.up * plan.grip_m[:, None]
        near = np.linalg.norm(grasp - now.tool.p[:, None], axis=-1) < HELD_M
        return near & (np.abs(now.aperture_m[:, None] - plan.width_m) < WIDTH_M)

    def _stands(self, seats: Flat, now: Truth, part: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Whether parts (n, k) stand where stages (n, k) put them, within those stages' tolerances -> (n, k) bool."""
        plan, row = self._plan, np.arange(len(now.base))[:, None]
        seat = plan.seat[place]
        away = np.linalg.norm(now.base[row, part] - seats.p[row, seat], axis=-1)
        turn = np.abs(turned(now.yaw[row, part] - seats.yaw[row, seat], plan.symmetry_rad[part]))
        lean = np.arccos(np.clip(now.up[row, part, 2], -1.0, 1.0))
        within = (away < plan.tolerance_m[place]) & (np.maximum(turn, lean) < plan.tolerance_rad[place])
        return within & (place != NONE)

    def _stands_at(self, at: np.ndarray, seats: Flat, now: Truth) -> np.ndarray:
        """(n,) bool: the part of each row's stage stands where that stage has it."""
        return self._stands(seats, now, self._plan.part[at][:, None], self._plan.place[at][:, None])[:, 0]

    def _stage_done(self, at: np.ndarray, held: np.ndarray, seats: Flat, now: Truth) -> np.ndarray:
        """(n,) bool: the predicate of the stage that each row is at."""
        plan, row = self._plan, np.arange(len(at))
        verb, part = plan.verb[at], plan.part[at]
        held, seated = held[row, part], self._stands_at(at, seats, now)
        goal = goal_at(plan, at, now.base, now.yaw)
        near = np.linalg.norm(now.tool.p - goal.p, axis=-1) < plan.tolerance_m[at]
        turn = turned(tool_yaw(now.tool.R) - goal.yaw, plan.symmetry_rad[part])
        aligned = np.abs(turn) < plan.tolerance_rad[at]
        arrived = np.zeros(len(at), bool)
        if now.openings.shape[1]:
            arrived = np.abs(now.openings[row, plan.drive[at]] - plan.drive_end[at]) < DRIVE_SHARE
        empty, alone = part == NONE, plan.place[at] == NONE
        done = {
            REACH: (near & aligned) | held,
            GRASP: held,
            MOVE: near & (held | empty),
            PLACE: seated,
            RELEASE: seated & ~held,
            CLOSE: arrived & (seated | alone),
            OPEN: arrived,
        }
        return by_verb(verb, done)

    def _potential(self, stage: np.ndarray, seats: Flat, now: Truth) -> np.ndarray:
        """The number of stages that are done, and between 0 and 1 for how far the present one has got."""
        plan, row, end = self._plan, np.arange(len(stage)), len(self._plan.verb)
        at = np.minimum(stage, end - 1)
        verb, part = plan.verb[at], plan.part[at]
        goal = goal_at(plan, at, now.base, now.yaw)
        away = np.linalg.norm(now.base[row, part] - seats.p[row, plan.seat[plan.place[at]]], axis=-1)
        too_wide = now.aperture_m - plan.width_m[part]
        moved = np.zeros(len(at))
        if now.openings.shape[1]:
            moved = 1.0 - np.abs(now.openings[row, plan.drive[at]] - plan.drive_end[at])
        of_way = _nearness(np.linalg.norm(now.tool.p - goal.p, axis=-1))
        shares = {
            REACH: of_way,
            GRASP: np.clip(1.0 - np.abs(too_wide) / 0.05, 0.0, 1.0),
            MOVE: of_way,
            PLACE: _nearness(away),
            RELEASE: np.clip(too_wide / 0.01, 0.0, 1.0),
            CLOSE: np.clip(moved, 0.0, 1.0),
            OPEN: np.clip(moved, 0.0, 1.0),
        }
        return stage + np.where(stage < end, by_verb(verb, shares), 0.0)


class Gates:
    """Where the tool must not be while a door is not wide open.

    Attributes:
        count: of the doors.
    """

    def __init__(self, task: HandlingTask) -> None:
        doors = [(i, f) for i, f in enumerate(task.moving) if isinstance(f, Door)]
        self._zones, self.count = [(i, *door.box_m) for i, door in doors], len(doors)

    def trespass(self, envelope: Envelope, tool: Pose, openings: np.ndarray) -> np.ndarray:
        """(n,) bool: the tool at these true poses is in the zone of a door that is not wide open."""
        inside = np.zeros(len(openings), bool)
        for drive, low, high in self._zones:
            inside |= in_box(envelope, tool, low, high) & (openings[:, drive] < WIDE_OPEN)
        return inside


def in_box(envelope: Envelope, tool: Pose, low_m: np.ndarray, high_m: np.ndarray) -> np.ndarray:
    """(n,) bool: something of the tool at these poses is in the box between these corners (3,), base frame."""
    box = envelope._replace(keep_out_min_m=low_m[None], keep_out_max_m=high_m[None])
    return inside_keep_out(box, tool)


def seats_of(plan: Plan, fixtures: Flat) -> Flat:
    """(n, seats) where parts are to stand, with fixtures (n, standing) at these poses."""
    return Flat(fixtures.p[:, plan.seat_fixture], fixtures.yaw[:, plan.seat_fixture]).at(plan.seat_in)


def _nearness(way_m: np.ndarray) -> np.ndarray:
    return (np.exp(-way_m / FAR_M) + np.exp(-way_m / NEAR_M)) / 2
