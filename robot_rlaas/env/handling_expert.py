"""A scripted expert for handling: it sees what a policy sees and nothing else."""

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.fixtures import Door
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.handling_plan import CLOSE, GRASP, MOVE, PLACE, REACH, RELEASE, VERBS

OVER_M = 0.004  # so near above the goal it goes down
NEARLY_M = 0.03  # so near above the goal it waits until it is over it, instead of going up again
ABOVE_M = 0.02  # so far below the travel height it may already go sideways
YIELD = 0.75  # of the sideways lead is taken back: what is left overcomes the joints' friction
BRAKE = 0.3  # on its way down, the lead is at most so much of the height over the goal
TOUCH_LEAD_M = 0.003  # lead with which it touches something
OPEN, CLOSED = 1.0, -1.0
LOST_M = 0.004  # pads so much closer than the part is wide hold nothing
GRIPPER_M = 0.09  # half the width of an open gripper, and a margin
HURRY = 0.42  # of a door's open time has to be left to go through


class HandlingExpert:
    """Up to the travel height, across, down onto the goal; close or open there; wait for doors.

    It keeps no memory of its own: what it does follows from the observation, so that it can be imitated.

    Args:
        cell: for the step size and the travel height.
        contract: for the layout of the observation.
        count: rows of the batch.
    """

    def __init__(self, cell: CellSpec, contract: Contract, count: int) -> None:
        task = cell.task
        self._contract, self._travel_m = contract, (task.travel_mm - task.table_mm) / 1000
        self._step_m, self._step_rad = cell.control.step_mm / 1000, np.deg2rad(cell.control.step_deg)
        self._leash_m = cell.control.leash_mm / 1000
        self._ahead_m = max((_entry_m(task, i) for i, s in enumerate(task.stages) if s.do == "move" and s.through), default=0.0)

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        seen = self._contract.unpack(observation)
        position, lead, height = seen["tool_position"], seen["lead_position"], seen["height"][:, 0]
        doing = {name: seen["doing"][:, i] > 0.5 for i, name in enumerate(VERBS)}
        lateral = np.linalg.norm(position[:, :2], axis=1)
        beyond = seen["aperture"][:, 1]
        over, nearly = lateral < OVER_M, lateral < NEARLY_M
        free = height > self._travel_m - ABOVE_M
        stays = doing["move"] | doing["reach"] | doing["place"]
        not_open = doing["reach"] & (beyond < LOST_M)
        target_z = np.where(over & ~not_open, -position[:, 2], self._travel_m - height)
        target_z = np.where(nearly & ~over & ~not_open, 0.0, target_z)
        step_xy = np.where((nearly | free)[:, None], -position[:, :2], 0.0) - YIELD * lead[:, :2]
        wait = (seen["door"][:, 0] > 0.5) & (seen["door"][:, 2] < HURRY) & self._before(seen)
        step_xy = np.where(wait[:, None], -lead[:, :2], step_xy)
        braked = np.clip(BRAKE * np.abs(position[:, 2]), TOUCH_LEAD_M, self._leash_m)
        most = np.where(over & ~doing["move"], braked, self._leash_m)
        lead_z = np.clip(target_z, -most, most)
        step_z = np.where(stays | doing["grasp"], lead_z, 0.0) - lead[:, 2]
        still = ~(stays | doing["grasp"])
        step_xy = np.where(still[:, None], -lead[:, :2], step_xy)
        yaw = -(seen["tool_rotation"][:, 2] + seen["lead_rotation"][:, 2])
        closed = doing["grasp"] | doing["place"] | (doing["move"] & (seen["last_action"][:, 4] < 0))
        grip = np.where(closed, CLOSED, OPEN)
        action = np.concatenate([step_xy, step_z[:, None]], axis=1) / self._step_m
        rest = np.stack([yaw / self._step_rad, grip], axis=1)
        return np.clip(np.concatenate([action, rest], axis=1), -1.0, 1.0)

    def _before(self, seen: dict[str, np.ndarray]) -> np.ndarray:
        """(n,) bool: a door on the way is still ahead."""
        return np.linalg.norm(seen["tool_position"][:, :2], axis=1) > self._ahead_m


def _entry_m(task: HandlingTask, i: int) -> float:
    """How far from a move's goal its way enters the zone of the door on it, m."""
    door = next(f for f in task.fixtures if isinstance(f, Door) and f.name == task.stages[i].through)
    start, end = np.array(task.stages[i - 1].to_mm) / 1000, np.array(task.stages[i].to_mm) / 1000
    way = start + np.linspace(0, 1, 200)[:, None] * (end - start)
    inside = (np.abs(way - np.array(door.center_mm) / 1000) < np.array(door.size_mm) / 2000 + GRIPPER_M).all(axis=1)
    return float(np.linalg.norm(way[inside.argmax()] - end)) if inside.any() else 0.0
