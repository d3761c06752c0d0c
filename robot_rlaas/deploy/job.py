"""What of a policy's cycle depends on the kind of its task, and how that is for an insertion."""

from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.controller import ToolState
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.deploy.around import Around
from robot_rlaas.env.insertion import task as insertion

OVER_DEPTH_M = 0.0015  # how much deeper than asked, since nobody sees how the part sits in the hand
LIFT_IN_HOLE, LIFT_ABOVE = 0.2, 0.5  # of a full action step


class Sensed(NamedTuple):
    """What was sensed in one control period.

    Attributes:
        time_s: stamp of the joint angles.
        q_rad: (k,) in the chain's order.
        wrench: (6,) N and N m, the mean over the period: what the environment does to the wrist, in the wrist's frame.
        plate: the hole's frame as observed, one row; None until this part's pose has come.
        around: what else is sensed in a handling cell; None in others, and until all of it has come.
    """

    time_s: float
    q_rad: np.ndarray
    wrench: np.ndarray
    plate: Pose | None
    around: Around | None = None


class AfterStop(StrEnum):
    """What becomes of an attempt that a stop has ended."""

    ANEW = "tried anew, from home"
    ON = "goes on where it was"
    FAILED = "failed"


class Job(Protocol):
    """One arm's job, attempt after attempt.

    Attributes:
        contract: what the policy sees and does.
        upright: see `ToolController`.
        stage: the furthest of the attempt, as measured.
        done: the attempt is, as far as the arm can tell.
        R: (1, 3, 3) the frame that actions are given in.
        grip: how far the gripper is to be open, from 0 to 1; None where nothing is told to it.
        machines: (moving fixtures,) where vises are to go; None where there is none.
    """

    contract: Contract
    upright: bool
    stage: int
    done: bool
    R: np.ndarray
    grip: float | None
    machines: np.ndarray | None

    def sense(self, sensed: Sensed) -> None:
        """Take in a period, whatever the arm does in it."""
        ...

    def knows(self, sensed: Sensed) -> bool:
        """All that an attempt begins with was seen."""
        ...

    def begin(self) -> None:
        """An attempt is about to begin, at home."""
        ...

    def look(
        self, sensed: Sensed, tool: ToolState, wrench: np.ndarray, action: np.ndarray, steps: int
    ) -> dict[str, np.ndarray]:
        """What the policy sees, by the contract's names, `steps` periods after the start.

        Args:
            sensed, tool: of this period.
            wrench: (1, 6) against its zero.
            action: (1, action_size) the last one.
            steps: since the start.
        """
        ...

    def act(self, action: np.ndarray) -> None:
        """Take in an action (1, action_size): what of it the arm itself does not do."""
        ...

    def lift(self, sensed: Sensed, tool: ToolState) -> float:
        """How fast to go up, as a share of a full step; zero when it is high enough to go home."""
        ...

    def way_home(self, q_rad: np.ndarray) -> list[np.ndarray]:
        """Joint angles (k,) to pass on the way home from q_rad (k,), home at the end."""
        ...

    def free(self, path_rad: np.ndarray) -> bool:
        """Nothing will be in the way on a path (N, k) of targets, one per period, if it begins now."""
        ...

    def after_stop(self) -> AfterStop:
        """What becomes of the attempt after a stop."""
        ...

    def rehearsal(self) -> Sensed:
        """What may be sensed at home."""
        ...


class Insertion:
    """See `Job`."""

    def __init__(self, cell: CellSpec) -> None:
        self.contract, self.upright = insertion.contract(cell), False
        self.stage, self.done, self.R = 0, False, np.eye(3)[None]
        self.grip: float | None = None
        self.machines: np.ndarray | None = None
        self._cell, self._touch = cell, insertion.untouched(1)
        self._home = np.deg2rad(np.array(cell.robot.home_deg))

    def sense(self, sensed: Sensed) -> None:
        """See `Job.sense`."""

    def knows(self, sensed: Sensed) -> bool:
        """See `Job.knows`."""
        return sensed.plate is not None

    def begin(self) -> None:
        """See `Job.begin`."""
        self.stage, self.done, self._touch = 0, False, insertion.untouched(1)

    def look(
        self, sensed: Sensed, tool: ToolState, wrench: np.ndarray, action: np.ndarray, steps: int
    ) -> dict[str, np.ndarray]:
        """See `Job.look`."""
        assert sensed.plate is not None
        at = insertion.progress(self._cell, sensed.plate, tool.measured.p)
        self.stage = max(self.stage, int(at.stage[0]))
        self.done = bool(at.depth_m[0] >= self._cell.task.depth_mm / 1000 + OVER_DEPTH_M)
        self.R = sensed.plate.R
        seen = (sensed.plate, tool, wrench, action, np.array([steps]), self._touch)
        features, self._touch = insertion.observe(self._cell, *seen)
        return features

    def act(self, action: np.ndarray) -> None:
        """See `Job.act`."""

    def lift(self, sensed: Sensed, tool: ToolState) -> float:
        """See `Job.lift`."""
        assert sensed.plate is not None
        height_m = tool.measured.p[0, 2] - sensed.plate.p[0, 2]
        if height_m > 0.9 * self._cell.task.start_height_mm / 1000:
            return 0.0
        return LIFT_ABOVE if height_m > 0.003 else LIFT_IN_HOLE

    def way_home(self, q_rad: np.ndarray) -> list[np.ndarray]:
        """See `Job.way_home`."""
        return [self._home]

    def free(self, path_rad: np.ndarray) -> bool:
        """See `Job.free`."""
        return True

    def after_stop(self) -> AfterStop:
        """See `Job.after_stop`."""
        return AfterStop.ANEW

    def rehearsal(self) -> Sensed:
        """See `Job.rehearsal`."""
        plate = insertion.task_frame(self._cell, np.zeros((1, 2)), np.zeros(1))
        return Sensed(0.0, self._home, np.zeros(6), plate)
