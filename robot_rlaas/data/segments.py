"""How an attempt falls into segments: stretches in which the tool goes about one thing, and where it is relative to it.

All of it is read from what a policy sees: it holds for episodes of the simulation, of a person and of an arm alike, and
what is made of it asks for nothing that a policy could not know.
"""

from typing import Protocol

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.handling.plan import NONE, VERBS, plan_of
from robot_rlaas.env.insertion.task import TOUCH_HEIGHT_M

IN_M = 0.003  # so far below the plate, a part that has touched nothing is in the hole
SUNK = 0.5  # of the chamfer: so much lower than at its first touch it is, too


class Segments(Protocol):
    """The segments of a kind of task.

    Attributes:
        labels: what they are called.
        travels: (segments,) bool: the tool goes through free space, from wherever it is. In the others it works on
            something, and what it does depends on what it meets.
        cue_scale: (segments, cues) differences in cues that set two moments as far apart as a step of the tool does.
        gates: (cues,) bool: cues that are yes or no, upon which a demonstrator goes or waits.
    """

    labels: tuple[str, ...]
    travels: np.ndarray
    cue_scale: np.ndarray
    gates: np.ndarray

    def segment(self, before: np.ndarray, observation: np.ndarray, first: np.ndarray) -> np.ndarray:
        """The segments (n,) of observations (n, size), from those a period before; where `first`, there are none."""
        ...

    def pose(self, observation: np.ndarray) -> np.ndarray:
        """The tool (n, 4) relative to what its segment is about: x, y, z in m and the turn about z in rad."""
        ...

    def cues(self, observation: np.ndarray) -> np.ndarray:
        """What else (n, cues) tells one moment of a segment from another."""
        ...


def segments_of(cell: CellSpec, contract: Contract) -> Segments:
    """The segments of the cell's task."""
    return (
        HandlingSegments(cell, contract) if isinstance(cell.task, HandlingTask) else InsertionSegments(cell, contract)
    )


class InsertionSegments:
    """Over the hole as it is seen; down onto the plate; about the plate as it was touched; down the hole.

    The cues are the clock that a search goes by, and how long ago the first touch was.
    """

    labels: tuple[str, ...] = ("approach", "touch", "search", "insert")
    travels = np.array([True, False, False, False])
    cue_scale = np.array([[9.0, 9.0, 9.0], [9.0, 9.0, 9.0], [0.05, 0.05, 0.05], [0.1, 0.1, 9.0]])
    gates = np.zeros(3, bool)

    def __init__(self, cell: CellSpec, contract: Contract) -> None:
        self._contract, self._sunk_m = contract, SUNK * cell.task.plate.chamfer_mm / 1000

    def segment(self, before: np.ndarray, observation: np.ndarray, first: np.ndarray) -> np.ndarray:
        """See `Segments.segment`."""
        seen = self._contract.unpack(observation)
        height, lower = seen["tool_position"][:, 2], seen["above_touch"][:, 0]
        after = np.where(lower < -self._sunk_m, 3, 2)
        without = np.where(height < -IN_M, 3, np.where(height < TOUCH_HEIGHT_M, 1, 0))
        return np.where(seen["touch"][:, 0] > 0.5, after, without)

    def pose(self, observation: np.ndarray) -> np.ndarray:
        """See `Segments.pose`. In a search, what counts is the height over the plate as it was touched."""
        seen = self._contract.unpack(observation)
        height = seen["tool_position"][:, 2:]
        searching = (seen["touch"][:, :1] > 0.5) & (seen["above_touch"] >= -self._sunk_m)
        z = np.where(searching, seen["above_touch"], height)
        return np.concatenate([seen["tool_position"][:, :2], z, seen["tool_rotation"][:, 2:]], axis=1).astype(float)

    def cues(self, observation: np.ndarray) -> np.ndarray:
        """See `Segments.cues`."""
        seen = self._contract.unpack(observation)
        return np.concatenate([seen["clock"][:, :2], seen["touch"][:, 1:]], axis=1).astype(float)


class HandlingSegments:
    """One per stage of the job, in the frame of its goal. The cues are the gripper, and the door on the way."""

    gates = np.array([False, True, False])

    def __init__(self, cell: CellSpec, contract: Contract) -> None:
        task = HandlingTask.of(cell)
        plan = plan_of(task)
        self.labels = (*task.labels, "done")
        self._contract = contract
        self._verb, self._retry = np.append(plan.verb, NONE), np.append(plan.retry, NONE)
        self.travels = np.isin(self._verb, [VERBS.index(verb) for verb in ("reach", "move", "place")])
        self.cue_scale = np.tile([0.02, 1.0, 0.1], (len(self.labels), 1))

    def segment(self, before: np.ndarray, observation: np.ndarray, first: np.ndarray) -> np.ndarray:
        """See `Segments.segment`. A stage's clock starts anew with the stage; a stage that went wrong goes back."""
        seen = self._contract.unpack(observation)
        doing = seen["doing"] > 0.5
        verb = np.where(doing.any(axis=1), doing.argmax(axis=1), NONE)
        changed = ~first & (seen["clock"][:, 1] == 0.0)
        after = np.minimum(before + 1, len(self._verb) - 1)
        back = (self._verb[after] != verb) & (self._retry[before] != NONE)
        return np.where(first, 0, np.where(changed, np.where(back, self._retry[before], after), before))

    def pose(self, observation: np.ndarray) -> np.ndarray:
        """See `Segments.pose`."""
        seen = self._contract.unpack(observation)
        return np.concatenate([seen["tool_position"], seen["tool_rotation"][:, 2:]], axis=1).astype(float)

    def cues(self, observation: np.ndarray) -> np.ndarray:
        """See `Segments.cues`."""
        seen = self._contract.unpack(observation)
        return np.concatenate([seen["aperture"][:, :1], seen["door"][:, 1:]], axis=1).astype(float)
