"""The robot's own account of a handling task, from what it measures: where parts were seen, which stage it is at.

One code in simulation and on an arm. Nothing in here knows the truth.
"""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.contract import XYZ, Contract, Feature
from robot_rlaas.cell.fixtures import Door, Tray
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.controller import ACTION_AXES, ToolState
from robot_rlaas.control.rotation import DOWN, about_z, rotate, rotate_back, rotation_vector, transpose
from robot_rlaas.env.handling.plan import NONE, PLACE, UP, VERBS, goal_at, plan_of
from robot_rlaas.env.handling.senses import Doors, Sensed, next_stage, turned
from robot_rlaas.env.task import poses
from robot_rlaas.sim.starts import Flat

STAGE_S = 5.0  # the clock of a stage runs so long


def contract(cell: CellSpec) -> Contract:
    """Observation and action of a handling task.

    The task frame is that of the present stage's goal: the grasp point of the part as it was seen, or the place where
    the tool is to put it. What the robot does is one-hot by verb, not by stage: picking up the third part is the skill
    that picked up the first. Force and torque are zero on an arm that has no sensor for them.
    """
    return Contract(
        observation=(
            Feature("doing", VERBS, "1", "-", 0.0, 1.0),
            Feature("tool_position", XYZ, "m", "task", -1.5, 1.5),
            Feature("tool_rotation", XYZ, "rad", "task", -3.2, 3.2),
            Feature("part_position", XYZ, "m", "task", -1.5, 1.5),
            Feature("height", ("table",), "m", "base", -0.1, 1.5),
            Feature("lead_position", XYZ, "m", "task", -0.05, 0.05),
            Feature("lead_rotation", XYZ, "rad", "task", -0.2, 0.2),
            Feature("force", XYZ, "N", "task", -150.0, 150.0),
            Feature("torque", XYZ, "N m", "task", -15.0, 15.0),
            Feature("aperture", ("gap", "beyond_part"), "m", "-", -0.1, 0.2),
            Feature("last_action", (*ACTION_AXES, "grip"), "1", "task", -1.0, 1.0),
            Feature("clock", ("elapsed", "in_stage"), "1", "-", 0.0, 1.0),
            Feature("door", ("on_the_way", "open", "stays"), "1", "-", 0.0, 1.0),
        ),
        action=(
            Feature("tool_step", ACTION_AXES, "1", "task", -1.0, 1.0),
            Feature("grip", ("open",), "1", "-", -1.0, 1.0),
        ),
        rate_hz=cell.control.rate_hz,
    )


class Sighting(NamedTuple):
    """What a camera says in a period.

    Attributes:
        p: (m, parts, 3) the parts' bases, m, and
        yaw: (m, parts) their turns about z, rad; a part that looks the same when it is turned may be told with any of
            these turns.
        fresh: (m, parts) bool: seen in this period. Where a part was not seen, its pose means nothing.
    """

    p: np.ndarray
    yaw: np.ndarray
    fresh: np.ndarray


class Measured(NamedTuple):
    """What a robot measures in a period, one row per id.

    Attributes:
        tool: from the controller.
        wrench: (m, 6) what the environment does to the tool, tared, in the tool's frame, N and N m.
        aperture_m: (m,) between the gripper's pads.
        openings: (m, moving fixtures) of vises and doors, from 0, closed, to 1, open.
        sighting: of the parts.
        last_action: (m, action_size).
        steps: (m,) control periods since the start. A camera sees all parts at step 0.
    """

    tool: ToolState
    wrench: np.ndarray
    aperture_m: np.ndarray
    openings: np.ndarray
    sighting: Sighting
    last_action: np.ndarray
    steps: np.ndarray


class Account:
    """What the robot takes to be so, for `count` episodes side by side.

    Attributes:
        contract: what a policy sees of it.
        frame: the frame that actions are given in, one row per episode.
        believed: (count,) the stage that the robot takes itself to be at; as many as there are when all seem done.
        seen: (count, parts) where each part's base was seen last, or was put down since.
    """

    def __init__(self, cell: CellSpec, count: int) -> None:
        task = HandlingTask.of(cell)
        self.contract, self.frame = contract(cell), poses(count)
        self._cell, self._task, self.plan = cell, task, plan_of(task)
        self._feels = load_hardware(cell.robot.hardware).topics.wrench is not None
        self._doors = Doors(task, count)
        self._stays_s = np.array([f.open_share * f.period_s for f in task.moving if isinstance(f, Door)])
        trays = {f.name: np.deg2rad(f.yaw_deg) for f in task.fixtures if isinstance(f, Tray)}
        self._usual_yaw = np.array([trays[part.start] for part in task.parts])
        self.believed, self._since = np.zeros(count, int), np.zeros(count, int)
        self._aperture_m = np.zeros(count)
        self.seen = Flat(np.zeros((count, len(task.parts), 3)), np.zeros((count, len(task.parts))))

    @property
    def memory(self) -> tuple[np.ndarray, ...]:
        """(count, ...) all that is kept of the episodes."""
        place = *self.seen, *self.frame, *self._doors.memory
        return *place, self.believed, self._since, self._aperture_m

    def begin(self, ids: np.ndarray) -> None:
        """Episodes start in the rows `ids`."""
        for memory in (self.believed, self._since, self._aperture_m):
            memory[ids] = 0

    def look(self, ids: np.ndarray, now: Measured) -> dict[str, np.ndarray]:
        """Take in a period of the rows `ids` -> what the policy sees, by the contract's names."""
        first = now.steps == 0
        self._see(ids, first, now.sighting)
        doors = self._doors.sense(ids, first, now.openings, self._cell.period_s)
        self._sense_stage(ids, now)
        self._aperture_m[ids] = now.aperture_m
        return self._features(ids, now, doors)

    def told(self, ids: np.ndarray) -> np.ndarray:
        """(m, moving fixtures) where vises are told to go; 1 for doors, which nobody tells anything."""
        return self.plan.told[self.believed[ids]]

    def _see(self, ids: np.ndarray, first: np.ndarray, sighting: Sighting) -> None:
        """What was not seen is where it was seen last; a part that looks the same when turned has turned least."""
        before = np.where(first[:, None], self._usual_yaw, self.seen.yaw[ids])
        yaw = before + turned(sighting.yaw - before, self.plan.symmetry_rad)
        self.seen.p[ids] = np.where(sighting.fresh[..., None], sighting.p, self.seen.p[ids])
        self.seen.yaw[ids] = np.where(sighting.fresh, yaw, self.seen.yaw[ids])

    def _sense_stage(self, ids: np.ndarray, now: Measured) -> None:
        """Where the hand has put a part down, that stands until it is seen again."""
        before, plan, tool = self.believed[ids], self.plan, now.tool.measured
        closing = now.last_action[:, -1] < 0
        sensed = Sensed(tool, self._goal(ids), now.aperture_m, self._aperture_m[ids], closing, now.openings)
        after = next_stage(plan, before, sensed)
        self._since[ids] = np.where((after != before) | (now.steps == 0), now.steps, self._since[ids])
        self.believed[ids] = np.where(now.steps == 0, 0, after)
        down = (after > before) & (plan.verb[np.minimum(before, len(plan.verb) - 1)] == PLACE)
        part = plan.part[before[down]]
        self.seen.p[ids[down], part] = tool.p[down] - UP * plan.grip_m[part][:, None]

    def _goal(self, ids: np.ndarray) -> Flat:
        """(m,) where the tool is to be, as far as the robot knows."""
        at = np.minimum(self.believed[ids], len(self.plan.verb) - 1)
        return goal_at(self.plan, at, self.seen.p[ids], self.seen.yaw[ids])

    def _features(self, ids: np.ndarray, now: Measured, doors: np.ndarray) -> dict[str, np.ndarray]:
        plan, row, believed = self.plan, np.arange(len(ids)), self.believed[ids]
        at, goal, tool = np.minimum(believed, len(plan.verb) - 1), self._goal(ids), now.tool.measured
        part = plan.part[at]
        R = about_z(goal.yaw)
        self.frame.R[ids], self.frame.p[ids] = R, goal.p
        task_tool = transpose(R) @ tool.R
        in_hand = plan.carries[at] & (believed < len(plan.verb))
        seen = np.where(in_hand[:, None], -plan.grip_m[part][:, None] * UP, self.seen.p[ids, part] - tool.p)
        doing = np.eye(len(VERBS))[plan.verb[at]] * (believed < len(plan.verb))[:, None]
        in_stage = (now.steps - self._since[ids]) * self._cell.period_s / STAGE_S
        on_the_way = plan.door[at] != NONE
        door = np.zeros((len(ids), 3))
        if doors.shape[1]:
            which = plan.door[at]
            told = doors[row, which] / np.stack([np.ones(len(ids)), self._stays_s[which]], axis=-1)
            door = np.concatenate([1.0 * on_the_way[:, None], told * on_the_way[:, None]], axis=1)
        return {
            "doing": doing,
            "tool_position": rotate_back(R, tool.p - goal.p),
            "tool_rotation": rotation_vector(task_tool @ DOWN),
            "part_position": np.where((part != NONE)[:, None], rotate_back(R, seen), 0.0),
            "height": tool.p[:, 2:] - self._task.table_mm / 1000,
            "lead_position": rotate_back(R, now.tool.lead[:, :3]),
            "lead_rotation": rotate_back(R, now.tool.lead[:, 3:]),
            "force": self._feels * rotate(task_tool, now.wrench[:, :3]),
            "torque": self._feels * rotate(task_tool, now.wrench[:, 3:]),
            "aperture": np.stack([now.aperture_m, now.aperture_m - plan.width_m[part] * (part != NONE)], axis=-1),
            "last_action": now.last_action,
            "clock": np.stack([now.steps / self._cell.horizon, np.minimum(in_stage, 1.0)], axis=-1),
            "door": door,
        }
