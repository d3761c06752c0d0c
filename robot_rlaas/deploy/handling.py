"""A handling cell's job on an arm: the robot's own account of it, and the way home, past doors that open and close."""

import numpy as np

from robot_rlaas.cell.fixtures import Door
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.controller import ToolState
from robot_rlaas.control.kinematics import Pose, SerialChain, solve, tool_pose
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy.around import Around
from robot_rlaas.deploy.job import LIFT_ABOVE, AfterStop, Sensed
from robot_rlaas.env.handling.account import Account, Measured, Sighting
from robot_rlaas.env.handling.judge import in_box
from robot_rlaas.env.handling.plan import NONE
from robot_rlaas.env.handling.senses import Doors

BELOW_M = 0.01  # so far below the travel height it is high enough
ONE = np.arange(1)


class Handling:
    """See `Job`.

    Args:
        cell: a handling cell.
        chain, envelope: of its arm.
    """

    def __init__(self, cell: CellSpec, chain: SerialChain, envelope: Envelope) -> None:
        task = self._task = HandlingTask.of(cell)
        self._account = Account(cell, 1)
        self.contract, self.upright, self.R = self._account.contract, True, self._account.frame.R
        self.stage, self.done = 0, False
        self.grip: float | None = 1.0
        self.machines: np.ndarray | None = self._account.told(ONE)[0]
        self._cell, self._chain, self._envelope = cell, chain, envelope
        self._home = np.deg2rad(np.array(cell.robot.home_deg))
        self._doors, self._left_s, self._heard = Doors(task, 1), np.zeros(0), False
        self._passes = _passes(task, chain, self._home)

    def sense(self, sensed: Sensed) -> None:
        """See `Job.sense`."""
        if sensed.around is None:
            return
        doors = self._doors.sense(ONE, np.array([not self._heard]), sensed.around.openings, self._cell.period_s)
        self._left_s, self._heard = doors[0, :, 1], True

    def knows(self, sensed: Sensed) -> bool:
        """See `Job.knows`."""
        return sensed.around is not None

    def begin(self) -> None:
        """See `Job.begin`. The hand opens, and vises go to where a job begins."""
        self._account.begin(ONE)
        self.stage, self.done, self.grip = 0, False, 1.0
        self.machines = self._account.told(ONE)[0]

    def look(
        self, sensed: Sensed, tool: ToolState, wrench: np.ndarray, action: np.ndarray, steps: int
    ) -> dict[str, np.ndarray]:
        """See `Job.look`."""
        assert sensed.around is not None
        aperture_m, openings, sighting = sensed.around
        if steps == 0:
            sighting = sighting._replace(fresh=np.ones_like(sighting.fresh))
        wrench = np.nan_to_num(wrench)  # of an arm that feels nothing
        now = Measured(tool, wrench, aperture_m, openings, sighting, action, np.array([steps]))
        features = self._account.look(ONE, now)
        believed = int(self._account.believed[0])
        self.stage, self.done = max(self.stage, believed), believed == len(self._task.stages)
        self.machines = self._account.told(ONE)[0]
        return features

    def act(self, action: np.ndarray) -> None:
        """See `Job.act`."""
        self.grip = float(0.5 + 0.5 * action[0, -1])

    def lift(self, sensed: Sensed, tool: ToolState) -> float:
        """See `Job.lift`. At the travel height nothing is in the way."""
        return 0.0 if tool.measured.p[0, 2] > self._task.travel_mm / 1000 - BELOW_M else LIFT_ABOVE

    def way_home(self, q_rad: np.ndarray) -> list[np.ndarray]:
        """See `Job.way_home`. Where a door is between, by the points before and behind it that the job itself uses."""
        way, at = [], tool_pose(self._chain, q_rad[None]).p[0]
        for here, there, q_here, q_there in self._passes:
            if _share(at, here, there) > 0.5 > _share(self._tool_home, here, there):
                way += [q_there, q_here]
            elif _share(at, here, there) < 0.5 < _share(self._tool_home, here, there):
                way += [q_here, q_there]
        return [*way, self._home]

    def free(self, path_rad: np.ndarray) -> bool:
        """See `Job.free`. A door on the way is open, and stays so until the arm is through."""
        tool = tool_pose(self._chain, path_rad)
        doors = [fixture for fixture in self._task.fixtures if isinstance(fixture, Door)]
        for door, left_s in zip(doors, self._left_s):
            within = np.flatnonzero(in_box(self._envelope, tool, *door.box_m))
            if len(within) and left_s < within[-1] * self._cell.period_s:
                return False
        return True

    def after_stop(self) -> AfterStop:
        """See `Job.after_stop`. It goes on, unless a part may have been lost that no stage would pick up again."""
        plan, believed = self._account.plan, int(self._account.believed[0])
        at = min(believed, len(plan.verb) - 1)
        return AfterStop.ON if not plan.carries[at] or plan.retry[at] != NONE else AfterStop.FAILED

    def rehearsal(self) -> Sensed:
        """See `Job.rehearsal`."""
        parts, openings = len(self._task.parts), np.ones((1, len(self._task.moving)))
        sighting = Sighting(np.zeros((1, parts, 3)), np.zeros((1, parts)), np.ones((1, parts), bool))
        return Sensed(0.0, self._home, np.zeros(6), None, Around(np.zeros(1), openings, sighting))

    @property
    def _tool_home(self) -> np.ndarray:
        return tool_pose(self._chain, self._home[None]).p[0]


def _passes(task: HandlingTask, chain: SerialChain, home: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """For each door that the job passes, the points (3,) before and behind it, m, and the joint angles (k,) there."""
    found: dict[str, tuple[np.ndarray, ...]] = {}
    for before, stage in zip(task.stages, task.stages[1:]):
        if stage.do != "move" or before.do != "move" or stage.through is None or stage.through in found:
            continue
        p = np.array([before.to_mm, stage.to_mm]) / 1000
        R = np.broadcast_to(tool_pose(chain, home[None]).R, (2, 3, 3))
        q, _ = solve(chain, Pose(R, p), np.broadcast_to(home, (2, len(home))))
        found[stage.through] = (*p, *q)
    return list(found.values())


def _share(at: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    """How far along the line from start to end a point (3,) is: 0 beside the start, 1 beside the end."""
    return float((at - start) @ (end - start) / ((end - start) @ (end - start)))
