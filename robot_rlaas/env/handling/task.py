"""The handling task: what the policy sees of it, and the judgement of every period."""

from typing import Any

import numpy as np

from robot_rlaas.cell.contract import XYZ, Contract, Feature
from robot_rlaas.cell.fixtures import Door
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.controller import ACTION_AXES
from robot_rlaas.control.rotation import DOWN, about_z, rotate, rotate_back, rotation_vector, transpose
from robot_rlaas.control.safety import Envelope, inside_keep_out
from robot_rlaas.env.handling.judge import Judge, Truth, truth
from robot_rlaas.env.handling.plan import NONE, PLACE, UP, VERBS, goal_at, plan_of
from robot_rlaas.env.handling.senses import WIDE_OPEN, Doors, Eyes, Sensed, next_stage
from robot_rlaas.env.task import Look, View, poses
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.starts import Flat, machines, moving, scene

Array = Any
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


class Handling:
    """The handling task of a cell, for `count` episodes side by side.

    Two accounts are kept of the stage: what the robot can know, which is what the policy sees and vises act upon, and
    what is true, which is what is judged.

    Attributes:
        believed: (count,) the stage that the robot takes itself to be at.
    """

    def __init__(self, cell: CellSpec, count: int) -> None:
        task = HandlingTask.of(cell)
        self.contract, self.stages = contract(cell), (*task.labels, "done")
        self.frame, self.upright = poses(count), True
        self._feels = load_hardware(cell.robot.hardware).topics.wrench is not None
        self._cell, self._task, self._plan = cell, task, plan_of(task)
        self._judge = Judge(task, self._plan, cell.period_s)
        self._eyes, self._doors = Eyes(task, self._plan, count, cell.period_s), Doors(task, count)
        doors = [(i, f) for i, f in enumerate(moving(task)) if isinstance(f, Door)]
        self._gates = np.array([i for i, _ in doors], int)
        self._stays_s = np.array([f.open_share * f.period_s for _, f in doors])
        self._zones = [_box(f) for _, f in doors]
        self.believed, self._since = np.zeros(count, int), np.zeros(count, int)
        self._stage, self._lost = np.zeros(count, int), np.zeros(count, int)
        self._aperture_m = np.zeros(count)
        self._phase, self.machines = np.zeros((count, len(doors))), np.ones((count, len(moving(task))))
        seats = len(self._plan.seat_fixture)
        self._seats = Flat(np.zeros((count, seats, 3)), np.zeros((count, seats)))
        self._bias = np.zeros((count, len(task.parts), 3))
        self._noise = np.zeros((count, cell.horizon + 1, len(task.parts), 3))

    def begin(self, ids: Array, draw: Draw) -> None:
        """See `Task.begin`."""
        plan, at = self._plan, scene(self._task, draw.start)
        fixture = Flat(at.fixtures.p[:, plan.seat_fixture], at.fixtures.yaw[:, plan.seat_fixture])
        self._seats.p[ids], self._seats.yaw[ids] = fixture.at(plan.seat_in)
        self._bias[ids] = np.concatenate([at.bias_m, at.bias_rad[..., None]], axis=-1)
        self._noise[ids], self._phase[ids] = draw.sight_noise, at.phase
        for memory in (self.believed, self._since, self._stage, self._lost, self._aperture_m):
            memory[ids] = 0

    def look(self, view: View) -> Look:
        """See `Task.look`."""
        ids, first, period_s = view.ids, view.steps == 0, self._cell.period_s
        now = truth(view.true_tool, view.physics)
        self._eyes.look(ids, first, now, self._bias[ids], self._noise[ids, view.steps])
        doors = self._doors.sense(ids, first, now.openings, period_s)
        self._sense_stage(view, now)
        features = self._features(view, now, doors)
        seats = Flat(self._seats.p[ids], self._seats.yaw[ids])
        verdict = self._judge.judge(self._stage[ids], self._lost[ids], seats, now)
        self._stage[ids], self._lost[ids], self._aperture_m[ids] = verdict.stage, verdict.lost, now.aperture_m
        by_itself = machines(self._task, self._phase[ids], view.steps * period_s).told
        self.machines[ids] = np.minimum(self._plan.told[self.believed[ids]], by_itself)
        trespass = self._trespass(view, now.openings)
        return Look(features, verdict.done, verdict.failed, verdict.stage, verdict.potential, trespass)

    def _sense_stage(self, view: View, now: Truth) -> None:
        """Which stage the robot takes itself to be at, by what it can know."""
        ids, before = view.ids, self.believed[view.ids]
        closing = view.last_action[:, -1] < 0
        sensed = Sensed(
            view.tool.measured, self._goal(ids), now.aperture_m, self._aperture_m[ids], closing, now.openings
        )
        after = next_stage(self._plan, before, sensed)
        self._since[ids] = np.where((after != before) | (view.steps == 0), view.steps, self._since[ids])
        self.believed[ids] = np.where(view.steps == 0, 0, after)
        down = (after > before) & (self._plan.verb[np.minimum(before, len(self._plan.verb) - 1)] == PLACE)
        part = self._plan.part[before[down]]
        self._eyes.put_down(ids[down], part, view.tool.measured.p[down] - UP * self._plan.grip_m[part][:, None])

    def _goal(self, ids: Array) -> Flat:
        """(m,) where the tool is to be, as far as the robot knows."""
        at = np.minimum(self.believed[ids], len(self._plan.verb) - 1)
        return goal_at(self._plan, at, self._eyes.seen.p[ids], self._eyes.seen.yaw[ids])

    def _features(self, view: View, now: Truth, doors: np.ndarray) -> dict[str, Array]:
        ids, plan, row = view.ids, self._plan, np.arange(len(view.ids))
        believed = self.believed[ids]
        at, goal, tool = np.minimum(believed, len(plan.verb) - 1), self._goal(ids), view.tool.measured
        part = plan.part[at]
        R = about_z(goal.yaw)
        self.frame.R[ids], self.frame.p[ids] = R, goal.p
        task_tool = transpose(R) @ tool.R
        in_hand = plan.carries[at] & (believed < len(plan.verb))
        seen = np.where(in_hand[:, None], -plan.grip_m[part][:, None] * UP, self._eyes.seen.p[ids, part] - tool.p)
        doing = np.eye(len(VERBS))[plan.verb[at]] * (believed < len(plan.verb))[:, None]
        in_stage = (view.steps - self._since[ids]) * self._cell.period_s / STAGE_S
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
            "lead_position": rotate_back(R, view.tool.lead[:, :3]),
            "lead_rotation": rotate_back(R, view.tool.lead[:, 3:]),
            "force": self._feels * rotate(task_tool, view.wrench[:, :3]),
            "torque": self._feels * rotate(task_tool, view.wrench[:, 3:]),
            "aperture": np.stack([now.aperture_m, now.aperture_m - plan.width_m[part] * (part != NONE)], axis=-1),
            "last_action": view.last_action,
            "clock": np.stack([view.steps / self._cell.horizon, np.minimum(in_stage, 1.0)], axis=-1),
            "door": door,
        }

    def _trespass(self, view: View, openings: np.ndarray) -> np.ndarray:
        """(m,) bool: the tool is in the zone of a door that is not wide open."""
        inside = np.zeros(len(view.ids), bool)
        for drive, (low, high) in zip(self._gates, self._zones):
            zone: Envelope = view.envelope._replace(keep_out_min_m=low[None], keep_out_max_m=high[None])
            inside |= inside_keep_out(zone, view.true_tool) & (openings[:, drive] < WIDE_OPEN)
        return inside


def _box(door: Door) -> tuple[np.ndarray, np.ndarray]:
    center, half = np.array(door.center_mm) / 1000, np.array(door.size_mm) / 2000
    return center - half, center + half
