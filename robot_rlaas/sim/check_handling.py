"""What can be proven of a handling cell before any training."""

from collections.abc import Iterator
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.fixtures import Door, Tray
from robot_rlaas.cell.handling import HandlingTask, label
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.joint_path import path_between
from robot_rlaas.control.kinematics import Pose, solve, tool_pose
from robot_rlaas.control.rotation import DOWN, about_z
from robot_rlaas.control.safety import Envelope, inside_keep_out
from robot_rlaas.sim.check_obstacles import clear_of_obstacles
from robot_rlaas.sim.findings import REACH_TOLERANCE, Finding, enough_time, range_words
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.starts import nominal, seats, slots_m, standing


class Goal(NamedTuple):
    """A pose of the tool: what it is for, the key of the cell file behind it, where (3,) in m, and its turn in rad."""

    what: str
    key: str
    p: np.ndarray
    yaw: float


def goals(task: HandlingTask) -> Iterator[Goal]:
    """The corners of where parts can start, their seats and the points of moves; parts also at the travel height."""
    fixtures = {f.name: (i, f) for i, f in enumerate(task.fixtures)}
    for part in task.parts:
        i, tray = fixtures[part.start]
        assert isinstance(tray, Tray)
        ends = [(x, y, turn) for x, y in product(tray.jitter_mm, repeat=2) for turn in np.deg2rad(tray.turned_deg)]
        for slot, (x, y, turn) in product(slots_m(tray), ends):
            at = nominal(tray).at(nominal(tray)._replace(p=slot + np.array([x, y, part.grip_mm]) / 1000, yaw=turn))
            for p in (at.p, _lifted(task, at.p)):
                yield Goal(f"'{part.name}' on '{tray.name}'", f"task.fixtures.{i}.at_mm", p, float(at.yaw))
    found, parts = seats(task), {part.name: part for part in task.parts}
    for i, stage in enumerate(task.stages):
        if stage.do == "move":
            yield Goal(f"stage '{label(stage)}'", f"task.stages.{i}.to_mm", np.array(stage.to_mm) / 1000, 0.0)
        elif stage.do == "place":
            number, inside = found[stage.at]
            at = nominal(standing(task)[number]).at(inside)
            p = at.p + np.array([0.0, 0.0, parts[stage.part].grip_mm / 1000])
            key = f"task.fixtures.{fixtures[stage.at.split('.')[0]][0]}.at_mm"
            for height in (p, _lifted(task, p)):
                yield Goal(f"'{stage.part}' at '{stage.at}'", key, height, float(at.yaw))


def _lifted(task: HandlingTask, p: np.ndarray) -> np.ndarray:
    return np.array([*p[:2], task.travel_mm / 1000])


def check_reach(cell: CellSpec, workcell: Workcell) -> Finding:
    """Every goal is in reach, within the joints' ranges, out of keep-out boxes and clear of obstacles.

    Raises:
        InputError: about the first that is not.
    """
    home, limits = np.deg2rad(np.array(cell.robot.home_deg)), workcell.envelope
    found = list(goals(HandlingTask.of(cell)))
    R = about_z(np.array([goal.yaw for goal in found])) @ DOWN
    pose = Pose(R, np.array([goal.p for goal in found]))
    q, error = solve(workcell.chain, pose, np.broadcast_to(home, (len(found), len(home))))
    outside = (q < limits.lower_rad) | (q > limits.upper_rad)
    blocked = inside_keep_out(limits, tool_pose(workcell.chain, q))
    for i in np.flatnonzero((error > REACH_TOLERANCE) | outside.any(1) | blocked):
        goal = found[i]
        joints = ", ".join(workcell.chain.joints[j] for j in np.flatnonzero(outside[i]))
        why = f"{joints} would leave {range_words(cell)}" if joints else f"the arm misses by {error[i] * 1000:.1f} mm"
        why = why if error[i] > REACH_TOLERANCE or joints else "the tool would be in a keep-out box"
        raise InputError(f"{goal.what}: {_words(goal)}, {why}", key=goal.key, fix="move it, or change robot.home_deg")
    clear_of_obstacles(cell, workcell, q, lambda i: f"{found[i].what}, {_words(found[i])}")
    room = float(np.minimum(q - limits.lower_rad, limits.upper_rad - q).min())
    margin = f"{len(found)} poses, {np.rad2deg(room):.0f} deg joint margin"
    return Finding("every part, seat and point is reachable", margin)


def _words(goal: Goal) -> str:
    x, y, z = goal.p * 1000
    return f"with the grasp point at [{x:.0f}, {y:.0f}, {z:.0f}] mm, turned by {np.rad2deg(goal.yaw):.0f} deg"


def check_doors(cell: CellSpec, workcell: Workcell) -> None:
    """No move stops in a door's zone.

    Raises:
        InputError: about the first that does.
    """
    for i, stage in enumerate(cell.task.stages):
        for door in (f for f in cell.task.fixtures if isinstance(f, Door) and stage.do == "move"):
            there = Pose(DOWN[None], np.array(stage.to_mm)[None] / 1000)
            if inside_keep_out(_zone(workcell, door), there)[0]:
                raise InputError(
                    f"stage '{label(stage)}' stops in the zone of '{door.name}', where nothing may be while it closes",
                    key=f"task.stages.{i}.to_mm",
                    fix="move the point away from the zone: the open gripper must stay outside",
                )


def check_passing(cell: CellSpec, workcell: Workcell) -> list[Finding]:
    """Every door stays open for as long as an arm takes to pass it on its way home, which it else never begins.

    Raises:
        InputError: about the first that does not.
    """
    task, found = HandlingTask.of(cell), list[Finding]()
    for before, stage in pairwise(task.stages):
        if before.do != "move" or stage.do != "move" or stage.through is None:
            continue
        i, door = next((i, f) for i, f in enumerate(task.fixtures) if isinstance(f, Door) and f.name == stage.through)
        takes_s = _passing_s(cell, workcell, door, np.array([before.to_mm, stage.to_mm]) / 1000)
        if takes_s > door.surely_open_s:
            raise InputError(
                f"'{door.name}' stays wide open for {door.surely_open_s:.1f} s, and passing it on the slow way home, "
                f"between '{label(before)}' and '{label(stage)}', takes {takes_s:.1f} s: the arm would wait for ever",
                key=f"task.fixtures.{i}.open_share",
                fix="leave it open for longer (open_share, period_s), or move the two points nearer to its zone",
            )
        figure = f"'{door.name}' stays open for {door.surely_open_s:.1f} s, passing takes {takes_s:.1f} s"
        found.append(Finding("there is time to pass the doors", figure))
    return found


def _passing_s(cell: CellSpec, workcell: Workcell, door: Door, ends_m: np.ndarray) -> float:
    """From rest at one of two points (2, 3) until the tool is out of the door's zone: the slower of both ways."""
    chain, limits, home = workcell.chain, workcell.envelope, np.deg2rad(np.array(cell.robot.home_deg))
    R = np.broadcast_to(tool_pose(chain, home[None]).R, (2, 3, 3))
    q, _ = solve(chain, Pose(R, ends_m), np.broadcast_to(home, (2, len(home))))
    longest = 0
    for start, end in (q, q[::-1]):
        targets = path_between(chain, limits, cell.period_s, start, end).targets
        within = np.flatnonzero(inside_keep_out(_zone(workcell, door), tool_pose(chain, targets)))
        longest = max([longest, *within])
    return float(longest * cell.period_s)


def _zone(workcell: Workcell, door: Door) -> Envelope:
    low, high = door.box_m
    return workcell.envelope._replace(keep_out_min_m=low[None], keep_out_max_m=high[None])


def check_time(cell: CellSpec) -> Finding:
    """The ways from goal to goal, seen from above, at the largest step of the tool.

    Raises:
        InputError: if that alone takes longer than the cycle may.
    """
    task = HandlingTask.of(cell)
    found = seats(task)
    points = []
    trays = {f.name: nominal(f).p for f in task.fixtures if isinstance(f, Tray)}
    parts = {part.name: part for part in task.parts}
    for stage in task.stages:
        if stage.do == "reach":
            points.append(trays[parts[stage.part].start])
        elif stage.do == "move":
            points.append(np.array(stage.to_mm) / 1000)
        elif stage.do == "place":
            number, inside = found[stage.at]
            points.append(nominal(standing(task)[number]).at(inside).p)
    way_mm = 1000 * sum(float(np.linalg.norm(b[:2] - a[:2])) for a, b in pairwise(points))
    return enough_time(cell, way_mm, 1000 * np.array(points))
