"""What every kind of task has in common."""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.control.controller import ToolState
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.safety import Envelope

if TYPE_CHECKING:  # the controller's computer runs tasks too, and has no simulator
    from robot_rlaas.sim.backend import Physics
    from robot_rlaas.sim.draws import Draw

Array = Any


class View(NamedTuple):
    """What a control period brought. One row per id.

    Attributes:
        ids: (m,) which episodes of the batch.
        tool: as measured, from the controller.
        wrench: (m, 6) what the environment does to the tool, tared, in the tool's frame, N and N m, with its noise.
        last_action: (m, action_size).
        steps: (m,) control periods since the start.
        true_tool: the tool's true pose.
        physics: the truth; no policy sees it.
        envelope: the arm's limits, and the points of the tool that must stay out of boxes.
    """

    ids: Array
    tool: ToolState
    wrench: Array
    last_action: Array
    steps: Array
    true_tool: Pose
    physics: "Physics"
    envelope: Envelope


class Look(NamedTuple):
    """What a task makes of it. One row per id.

    Attributes:
        features: what the policy sees, by the contract's names.
        done: (m,) bool: the whole task is done, in truth.
        failed: (m,) bool: it cannot be done any more.
        stage: (m,) index into the task's stages, in truth.
        potential: (m,) of the shaping reward (Ng, Harada and Russell, 1999).
        trespass: (m,) bool: the tool is where it must not be now; it counts as a visit to a keep-out box.
    """

    features: dict[str, Array]
    done: Array
    failed: Array
    stage: Array
    potential: Array
    trespass: Array


class Task(Protocol):
    """A cell's task, for the episodes of one batch.

    Attributes:
        contract: what goes into a policy and what comes out.
        stages: their names, from the start to "done".
        frame: the frame that actions are given in, as observed, one row per episode.
        upright: whether the tool always points straight down.
        machines: (count, moving fixtures) where vises and doors are to go now, from 0, closed, to 1, open.
        memory: (count, ...) each: all that is kept of the episodes.
    """

    contract: Contract
    stages: tuple[str, ...]
    frame: Pose
    upright: bool
    machines: Array

    @property
    def memory(self) -> tuple[Array, ...]:
        """Written to in place, it is another past."""
        ...

    def begin(self, ids: Array, draw: "Draw") -> None:
        """New episodes start in the rows `ids`, with these draws, one row per id."""
        ...

    def look(self, view: View) -> Look:
        """Judge a period. Called once per period for every running episode, and once for its start."""
        ...


def put(into: Any, ids: Array, rows: Any) -> None:
    """Write a tuple of arrays into these rows of another."""
    for mine, theirs in zip(into, rows):
        mine[ids] = theirs


def take(pose: Pose, ids: Array) -> Pose:
    """These rows."""
    return Pose(pose.R[ids], pose.p[ids])


def poses(count: int) -> Pose:
    """Room for so many."""
    return Pose(np.zeros((count, 3, 3)), np.zeros((count, 3)))
