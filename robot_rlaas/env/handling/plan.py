"""A handling task's stages as tables: one row per stage, to be indexed with the stages that a batch is at."""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.fixtures import Door, Vise
from robot_rlaas.cell.handling import HandlingTask, Place
from robot_rlaas.sim.starts import Flat, nominal, seats, standing

VERBS = ("reach", "grasp", "move", "place", "release", "close", "open")
REACH, GRASP, MOVE, PLACE, RELEASE, CLOSE, OPEN = range(len(VERBS))
NONE = -1
UP = np.array([0.0, 0.0, 1.0])


class Plan(NamedTuple):
    """Tables over the S stages, and over parts where it says so. `NONE` stands where there is none.

    Attributes:
        verb: (S,) index into VERBS.
        part: (S,) that the stage is about; a vise's is the part that stands in it.
        carries: (S,) bool: the part has to stay in the hand.
        goal: (S,) where the tool is to be, as far as that is known beforehand.
        goal_part: (S,) the part whose grasp point is the goal instead.
        aside_m: (S,) so far beside it, along its y.
        place: (S,) the stage that puts the part where it stands in this one, and
        seat: (S,) index into `seat_in` of where that is.
        seat_fixture, seat_in: (seats,) the fixture, and the seat's pose in its frame.
        tolerance_m, tolerance_rad: (S,) within which the stage is done.
        retry: (S,) the stage to go back to when the part is lost.
        door: (S,) index into doors: whose zone is on the way.
        drive: (S,) index into moving fixtures: which the stage closes or opens, and
        drive_end: (S,) the opening at which it has.
        told: (S + 1, moving fixtures) where vises are told to go at each stage.
        width_m, grip_m: (parts,) what is gripped, and how high above the base.
        symmetry_rad: (parts,) the turn that changes nothing; zero where none does.
        last_place: (parts,) the stage that puts each part where it has to stand in the end.
    """

    verb: np.ndarray
    part: np.ndarray
    carries: np.ndarray
    goal: Flat
    goal_part: np.ndarray
    aside_m: np.ndarray
    place: np.ndarray
    seat: np.ndarray
    seat_fixture: np.ndarray
    seat_in: Flat
    tolerance_m: np.ndarray
    tolerance_rad: np.ndarray
    retry: np.ndarray
    door: np.ndarray
    drive: np.ndarray
    drive_end: np.ndarray
    told: np.ndarray
    width_m: np.ndarray
    grip_m: np.ndarray
    symmetry_rad: np.ndarray
    last_place: np.ndarray


def by_verb(verb: np.ndarray, values: dict[int, np.ndarray]) -> np.ndarray:
    """(n,) in each row the value (n,) of its verb, of which there is one for all."""
    return np.choose(verb, [values[i] for i in range(len(VERBS))])


def goal_at(plan: Plan, at: np.ndarray, base: np.ndarray, yaw: np.ndarray) -> Flat:
    """Where the tool is to be at stages (n,), if the parts' bases are there (n, parts, 3), turned by yaw (n, parts)."""
    part, row, to_part = plan.goal_part[at], np.arange(len(at)), plan.goal_part[at] != NONE
    turn = yaw[row, part]
    aside = plan.aside_m[at][:, None] * np.stack([-np.sin(turn), np.cos(turn), 0.0 * turn], axis=-1)
    grasp = base[row, part] + plan.grip_m[part][:, None] * UP + aside
    p = np.where(to_part[:, None], grasp, plan.goal.p[at])
    return Flat(p, np.where(to_part, turn, plan.goal.yaw[at]))


def plan_of(task: HandlingTask) -> Plan:
    """The tables of a task."""
    parts = [p.name for p in task.parts]
    names = list(seats(task))
    found = list(seats(task).values()) or [(0, Flat(np.zeros(3), np.zeros(())))]  # without any, no stage asks for one
    doors = [f.name for f in task.fixtures if isinstance(f, Door)]
    labels, stages = task.labels, task.stages
    about, place, seat = _parts_and_seats(task, parts, names)
    goal, goal_part = _goals(task, about, seat)
    drive, drive_end, told = _drives(task, about)
    places = {about[i]: i for i, stage in enumerate(stages) if stage.do == "place"}
    return Plan(
        verb=np.array([VERBS.index(stage.do) for stage in stages]),
        part=about,
        carries=np.array([stage.do in ("move", "place") and part >= 0 for stage, part in zip(stages, about)]),
        goal=goal,
        goal_part=goal_part,
        aside_m=np.array([task.grip.aside_mm / 1000 * (stage.do == "reach") for stage in stages]),
        place=place,
        seat=seat,
        seat_fixture=np.array([fixture for fixture, _ in found], int),
        seat_in=Flat(np.array([at.p for _, at in found]), np.array([float(at.yaw) for _, at in found])),
        tolerance_m=np.array([getattr(stage, "tolerance_mm", 0.0) / 1000 for stage in stages]),
        tolerance_rad=np.deg2rad([getattr(stage, "tolerance_deg", 0.0) for stage in stages]),
        retry=np.array([labels.index(stage.retry_from) if stage.retry_from else NONE for stage in stages]),
        door=np.array(
            [doors.index(str(stage.through)) if getattr(stage, "through", None) else NONE for stage in stages]
        ),
        drive=drive,
        drive_end=drive_end,
        told=told,
        width_m=np.array([p.width_mm for p in task.parts]) / 1000,
        grip_m=np.array([p.grip_mm for p in task.parts]) / 1000,
        symmetry_rad=np.deg2rad([p.symmetry_deg for p in task.parts]),
        last_place=np.array([places.get(p, NONE) for p in range(len(parts))]),
    )


def _parts_and_seats(task: HandlingTask, parts: list[str], names: list[str]) -> tuple[np.ndarray, ...]:
    """Of each stage, the part that it is about, the stage that puts it where it stands, and where that is."""
    standing_at: dict[str, tuple[int, str]] = {}
    about, place, seat = [], [], []
    for i, stage in enumerate(task.stages):
        name = getattr(stage, "part", None)
        if isinstance(stage, Place):
            standing_at[stage.part] = i, stage.at
        if stage.do in ("close", "open"):
            name = next((part for part, (_, at) in standing_at.items() if at == stage.fixture), None)
        if stage.do == "grasp":
            standing_at.pop(stage.part, None)
        put, at = standing_at.get(name, (NONE, "")) if name else (NONE, "")
        about.append(parts.index(str(name)) if name else NONE)
        place.append(put)
        seat.append(names.index(at) if at else NONE)
    return np.array(about), np.array(place), np.array(seat)


def _goals(task: HandlingTask, about: np.ndarray, seat: np.ndarray) -> tuple[Flat, np.ndarray]:
    """Where the tool goes: to the part, to the seat, to a point; at a vise's stages it stays.

    On its way with a part it already turns as the seat to come wants it.
    """
    found, p, yaw, goal_part = list(seats(task).values()), [], [], []
    for i, stage in enumerate(task.stages):
        coming = next((s for s, later in zip(seat[i:], task.stages[i:]) if later.do == "place"), NONE)
        to_part = stage.do in ("reach", "grasp")
        at, turn = np.zeros(3), yaw[-1] if yaw else 0.0
        if stage.do == "move":
            at = np.array(stage.to_mm) / 1000
            turn = _turn(task, found, int(coming)) if about[i] >= 0 and coming >= 0 else turn
        elif stage.do in ("place", "release"):
            fixture, inside = found[seat[i]]
            at = nominal(standing(task)[fixture]).at(inside).p
            at = at + task.parts[about[i]].grip_mm / 1000 * UP
            turn = _turn(task, found, int(seat[i]))
        elif stage.do in ("close", "open") and p:
            at, to_part = p[-1], goal_part[-1] >= 0
        p.append(at)
        yaw.append(turn)
        goal_part.append((about[i] if stage.do in ("reach", "grasp") else goal_part[-1]) if to_part else NONE)
    return Flat(np.array(p), np.array(yaw)), np.array(goal_part)


def _turn(task: HandlingTask, found: list[tuple[int, Flat]], seat: int) -> float:
    fixture, inside = found[seat]
    return float(nominal(standing(task)[fixture]).yaw + inside.yaw)


def _drives(task: HandlingTask, about: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which vise a stage closes or opens, where that ends, and what all vises are told at every stage."""
    fixtures = task.moving
    names = [f.name for f in fixtures]
    drive, end, told = [], [], np.ones((len(task.stages) + 1, len(fixtures)))
    for i, stage in enumerate(task.stages):
        here = names.index(stage.fixture) if stage.do in ("close", "open") else NONE
        drive.append(here)
        vise = fixtures[here] if here >= 0 else None
        part = task.parts[about[i]] if about[i] >= 0 else None
        closed = part.size_mm[0] / vise.opening_mm if isinstance(vise, Vise) and part else 0.0
        end.append(closed if stage.do == "close" else 1.0)
        if here >= 0:
            told[i:, here] = stage.do == "open"
    return np.array(drive), np.array(end), told
