"""A scripted expert for insertion: it sees what a policy sees and nothing else."""

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.insertion import BoxPart
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.insertion.task import SEARCH_PERIOD_S

ALIGN_M = 0.006  # height at which the tool waits until it is over the hole
SLOW_M = 0.004  # height below which it descends slowly
DROP = 0.5  # of the chamfer: so much lower than at first contact, and the part has found the chamfer or the hole
PRESS_M = 0.0009  # lead into the plate while searching: about 10 N
PUSH_M = 0.0024
SPIRAL_PITCH_M = 0.0009
SPIRAL_LIMIT_M = 0.0030
SEARCH_LEAD_M = 0.0030
SHALLOW_M = -0.003
WIGGLE_M = 0.0008
TURNS_PER_TWIST = 2.7  # of the spiral; no whole number, so that every place is tried with every twist


class InsertionExpert:
    """Approach over the hole, descend until contact, search in a spiral, yield sideways and push in.

    It keeps no memory of its own: what it does follows from the observation, so that it can be imitated.

    Args:
        cell: for the step size.
        contract: for the layout of the observation.
        count: rows of the batch.
    """

    def __init__(self, cell: CellSpec, contract: Contract, count: int) -> None:
        self._contract = contract
        self._step_m = cell.control.step_mm / 1000
        self._step_rad = np.deg2rad(cell.control.step_deg)
        self._turns = cell.task.timeout_s / SEARCH_PERIOD_S
        self._drop_m = DROP * cell.task.plate.chamfer_mm / 1000
        self._twist_rad = _twist(cell)

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        seen = self._contract.unpack(observation)
        position, lead = seen["tool_position"], seen["lead_position"]
        height, touched = position[:, 2], seen["touch"][:, 0] > 0.5
        over = (np.linalg.norm(position[:, :2], axis=1) < 0.0015) | (height < SLOW_M)
        inside = np.where(touched, seen["above_touch"][:, 0] < -self._drop_m, height < -0.003)
        searching = touched & ~inside
        shallow = inside & (height > SHALLOW_M)
        around = seen["clock"][:, 1::-1].astype(float)

        step_xy = -(position[:, :2] + 0.6 * lead[:, :2])
        turns = seen["touch"][:, 1] * self._turns
        spiral = self._spiral(around, turns, position, lead)
        step_xy = np.where(searching[:, None], spiral, step_xy)
        step_xy = np.where(inside[:, None], 0.5 * (shallow[:, None] * around * WIGGLE_M - lead[:, :2]), step_xy)
        descend = np.where(height > SLOW_M, np.clip((SLOW_M - height) * 0.3 - 0.0006, -0.003, 0.0), -0.0006)
        align = np.clip(ALIGN_M - height - lead[:, 2], -0.003, 0.003)
        step_z = np.where(over, descend, align)
        step_z = np.where(searching, -PRESS_M - lead[:, 2], step_z)
        step_z = np.where(inside, np.clip(np.where(shallow, -PRESS_M, -PUSH_M) - lead[:, 2], -0.003, 0.003), step_z)
        turn = seen["tool_rotation"][:, 2] + seen["lead_rotation"][:, 2]
        twist = self._twist_rad * np.sin(2 * np.pi * turns / TURNS_PER_TWIST)
        yaw = np.where(inside, -0.5 * seen["lead_rotation"][:, 2], np.where(searching, twist, 0.0) - turn)
        action = np.concatenate([step_xy, step_z[:, None]], axis=1) / self._step_m
        return np.clip(np.concatenate([action, yaw[:, None] / self._step_rad], axis=1), -1.0, 1.0)

    def _spiral(self, around: np.ndarray, turns: np.ndarray, position: np.ndarray, lead: np.ndarray) -> np.ndarray:
        """The lateral step (n, 2) towards the spiral, with the lead bounded so that an edge is not pushed hard."""
        travel = np.mod(SPIRAL_PITCH_M * turns, 2 * SPIRAL_LIMIT_M)
        radius = np.minimum(travel, 2 * SPIRAL_LIMIT_M - travel)
        wanted = around * radius[:, None] - position[:, :2]
        length = np.linalg.norm(wanted, axis=1, keepdims=True)
        return wanted * np.minimum(1.0, SEARCH_LEAD_M / np.maximum(length, 1e-9)) - lead[:, :2]


def _twist(cell: CellSpec) -> float:
    """How far the part can be turned against a hole that is no longer wide enough for that, rad: to be searched too."""
    task, vary = cell.task, cell.variation
    if isinstance(task.part, BoxPart):
        allowed = 2 * task.plate.clearance_mm / max(task.part.section_mm)
        return max(0.0, np.deg2rad(vary.plate_bias_deg[1] + vary.hand_offset_deg[1]) - allowed)
    return 0.0
