"""The insertion task as pure functions over batched arrays: what is seen, what counts as progress, what as done."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from robot_rlaas.cell.contract import XYZ, Contract, Feature
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.arrays import namespace
from robot_rlaas.control.controller import ACTION_AXES, ToolState
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.rotation import (
    DOWN,
    about_z,
    matrix_from_vector,
    rotate,
    rotate_back,
    rotation_vector,
    transpose,
)
from robot_rlaas.env.task import Look, View, poses, put, take

if TYPE_CHECKING:
    from robot_rlaas.sim.draws import Draw

Array = Any
SEARCH_PERIOD_S = 0.6
TOUCH_N, TOUCH_HEIGHT_M = 5.0, 0.006  # a force on a tool so low over the plate is its first touch
LATERAL_SCALES_M = (0.01, 0.002)  # the way to the hole, and the search for it
STAGES: tuple[str, ...] = ("approach", "search", "insert", "done")


def contract(cell: CellSpec) -> Contract:
    """Observation and action of the insertion task.

    The task frame is the hole's frame as observed or, where nobody observes the plate, the hole's nominal frame: what
    is in the contract then says nothing of where the plate lies.
    """
    frame = "task" if cell.task.plate.observed else "nominal"
    return Contract(
        observation=(
            Feature("tool_position", XYZ, "m", frame, -0.2, 0.2),
            Feature("tool_rotation", XYZ, "rad", frame, -0.5, 0.5),
            Feature("lead_position", XYZ, "m", frame, -0.02, 0.02),
            Feature("lead_rotation", XYZ, "rad", frame, -0.1, 0.1),
            Feature("force", XYZ, "N", frame, -80.0, 80.0),
            Feature("torque", XYZ, "N m", frame, -10.0, 10.0),
            Feature("last_action", ACTION_AXES, "1", frame, -1.0, 1.0),
            Feature("clock", ("sin", "cos", "elapsed"), "1", "-", -1.0, 1.0),
            Feature("touch", ("happened", "since"), "1", "-", 0.0, 1.0),
            Feature("above_touch", ("z",), "m", frame, -0.03, 0.03),
        ),
        action=(Feature("tool_step", ACTION_AXES, "1", frame, -1.0, 1.0),),
        rate_hz=cell.control.rate_hz,
    )


def task_frame(cell: CellSpec, xy_m: Array, yaw_rad: Array) -> Pose:
    """The hole's frame for a plate displaced by xy_m (n, 2) and yaw_rad (n,), as a camera sees it: level, and as high
    as the cell says."""
    xp = namespace(xy_m)
    top = xp.asarray(np.array(cell.task.plate.top_mm) / 1000)
    z = xp.zeros((xy_m.shape[0], 1))
    return Pose(about_z(yaw_rad), top + xp.concat([xy_m, z], axis=1))


def hole_frame(cell: CellSpec, draw: "Draw") -> Pose:
    """The hole's true frame in each drawn episode."""
    xp, zero = namespace(draw.plate_xy_m), 0.0 * draw.plate_z_m[:, None]
    level = task_frame(cell, draw.plate_xy_m, draw.plate_yaw_rad)
    tilt = matrix_from_vector(xp.concat([draw.plate_tilt_rad, zero], axis=1))
    return Pose(tilt @ level.R, level.p + xp.concat([zero, zero, draw.plate_z_m[:, None]], axis=1))


def clock(cell: CellSpec, steps: Array) -> Array:
    """A phase and the share of the timeout that has passed, (n, 3), from control periods since the start (n,).

    A policy that sees no past needs something that moves: without it, a peg that sits still beside the hole is a state
    that never ends.
    """
    xp = namespace(steps)
    phase = steps * (2 * np.pi * cell.period_s / SEARCH_PERIOD_S)
    return xp.stack([xp.sin(phase), xp.cos(phase), steps / cell.horizon], axis=-1)


def untouched(count: int) -> Array:
    """The memory (count, 2) of an episode without a touch so far: its height in m and its step, not a number yet."""
    return np.full((count, 2), np.nan)


def observe(
    cell: CellSpec, task: Pose, tool: ToolState, wrench: Array, last_action: Array, steps: Array, touch: Array
) -> tuple[dict[str, Array], Array]:
    """Named features in the observed task frame, and the memory for the next period.

    The first touch is the one thing from the past that a policy needs: nobody knows how far the peg stands out of the
    hand, and without it a tip on the plate looks like a tip that has dropped into the hole.

    Args:
        cell: for the period and the timeout.
        task: the observed task frame.
        tool: from the controller.
        wrench: (n, 6) what the environment does to the tool, tared, in the tool's frame, N and N m.
        last_action: (n, 4).
        steps: (n,) control periods since the start.
        touch: (n, 2) from `untouched` or the period before.
    """
    xp = namespace(wrench)
    task_tool = transpose(task.R) @ tool.measured.R
    position = rotate_back(task.R, tool.measured.p - task.p)
    lead, felt = (xp.reshape(pair, (-1, 2, 3)) for pair in (tool.lead, wrench))
    lead, felt = rotate_back(task.R[:, None], lead), rotate(task_tool[:, None], felt)
    force, height, before = felt[:, 0], position[:, 2], xp.isnan(touch[:, 0])
    touching = before & (force[:, 2] > TOUCH_N) & (height < TOUCH_HEIGHT_M)
    touch = xp.where(touching[:, None], xp.stack([height, steps + 0.0 * height], axis=-1), touch)
    happened = ~xp.isnan(touch[:, 0])
    since = xp.where(happened, (steps - touch[:, 1]) / cell.horizon, 0.0)
    features = {
        "tool_position": position,
        "tool_rotation": rotation_vector(task_tool @ xp.asarray(DOWN)),
        "lead_position": lead[:, 0],
        "lead_rotation": lead[:, 1],
        "force": force,
        "torque": felt[:, 1],
        "last_action": last_action,
        "clock": clock(cell, steps),
        "touch": xp.stack([1.0 * happened, since], axis=-1),
        "above_touch": xp.where(happened, height - touch[:, 0], 0.0)[:, None],
    }
    return features, touch


class Progress(NamedTuple):
    """Where the part truly is, in the hole's true frame.

    Attributes:
        tip_m: (n, 3) its tip; z is negative inside the hole.
        lateral_m: (n,) its distance from the hole's axis.
        depth_m: (n,) how far it is below the top of the hole or shaft, zero above it or beside the hole.
        done: (n,) bool.
        stage: (n,) index into STAGES.
    """

    tip_m: Array
    lateral_m: Array
    depth_m: Array
    done: Array
    stage: Array


def part_tip(tool: Pose, hand_m: Array, R_hand: Array, length_m: float) -> Array:
    """The part's true tip in the base frame (n, 3).

    Args:
        tool: the true pose of the nominal tip.
        hand_m, R_hand: (n, 3) and (n, 3, 3): how the part sits in the hand, against nominal, in the tool's frame.
        length_m: from the fingertips to the tip.
    """
    nominal = np.array([0.0, 0.0, length_m])
    return tool.p + rotate(tool.R, hand_m + R_hand[:, :, 2] * length_m - nominal)


def progress(cell: CellSpec, hole: Pose, tip: Array) -> Progress:
    """Judge the part's tip (n, 3), base frame, against the true hole."""
    xp = namespace(tip)
    tip_hole = rotate_back(hole.R, tip - hole.p)
    lateral = xp.sqrt(xp.sum(tip_hole[:, :2] ** 2, axis=-1))
    over = lateral < min(cell.task.part.section_mm) / 2000
    depth = xp.where(over, xp.maximum(-tip_hole[:, 2], 0.0), 0.0)
    done = depth >= cell.task.depth_mm / 1000
    surface = (cell.task.plate.chamfer_mm + 0.5) / 1000
    near = tip_hole[:, 2] < 0.002
    stage = near * 1 + (near & (depth > surface)) * 1 + done * 1
    return Progress(tip_hole, lateral, depth, done, stage)


def potential(cell: CellSpec, at: Progress) -> Array:
    """Potential of the shaping reward (Ng, Harada and Russell, 1999): 0 far away, 2 when done."""
    xp = namespace(at.lateral_m)
    beside = sum(xp.exp(-at.lateral_m / scale) for scale in LATERAL_SCALES_M) / len(LATERAL_SCALES_M)
    above = xp.where(at.depth_m > 0, 1.0, xp.exp(-xp.abs(at.tip_m[:, 2]) / 0.02))
    return (beside + above) / 2 + xp.minimum(at.depth_m / (cell.task.depth_mm / 1000), 1.0)


class Insertion:
    """The insertion task of a cell, for `count` episodes side by side: their frames and their memory."""

    def __init__(self, cell: CellSpec, count: int) -> None:
        self.contract, self.stages = contract(cell), STAGES
        self._cell, self._touch = cell, untouched(count)
        self._hole, self.frame = poses(count), poses(count)
        self._hand_m, self._R_hand = np.zeros((count, 3)), np.zeros((count, 3, 3))
        self.upright, self.machines = False, np.zeros((count, 0))

    @property
    def memory(self) -> tuple[Array, ...]:
        """See `Task.memory`."""
        return self._touch, *self._hole, *self.frame, self._hand_m, self._R_hand

    def begin(self, ids: Array, draw: "Draw") -> None:
        """See `Task.begin`."""
        seen = draw.plate_xy_m + draw.bias_xy_m, draw.plate_yaw_rad + draw.bias_yaw_rad
        if not self._cell.task.plate.observed:
            seen = 0.0 * draw.plate_xy_m, 0.0 * draw.plate_yaw_rad
        put(self._hole, ids, hole_frame(self._cell, draw))
        put(self.frame, ids, task_frame(self._cell, *seen))
        self._hand_m[ids], self._R_hand[ids] = draw.hand_m, matrix_from_vector(draw.hand_rad)
        self._touch[ids] = untouched(len(ids))

    def look(self, view: View) -> Look:
        """See `Task.look`."""
        ids = view.ids
        seen = view.tool, view.wrench, view.last_action, view.steps, self._touch[ids]
        features, self._touch[ids] = observe(self._cell, take(self.frame, ids), *seen)
        length_m = self._cell.task.part.length_mm / 1000
        tip = part_tip(view.true_tool, self._hand_m[ids], self._R_hand[ids], length_m)
        at = progress(self._cell, take(self._hole, ids), tip)
        never = np.zeros_like(at.done)
        return Look(features, at.done, never, at.stage, potential(self._cell, at), never)
