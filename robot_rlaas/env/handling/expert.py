"""A scripted expert for handling: it sees what a policy sees and nothing else."""

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.fixtures import Door
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.handling.plan import VERBS

OVER_M = 0.004  # so near above the goal it goes down
NEARLY_M = 0.03  # so near above the goal it waits until it is over it, instead of going up again
ABOVE_M = 0.008  # so far below the travel height it may already go sideways
YIELD = 0.75  # of the sideways lead is taken back: what is left overcomes the joints' friction
BRAKE = 0.3  # on its way down, the lead is at most so much of the height over the goal
TOUCH = 0.1  # of the leash: the lead with which it touches something
OPEN, CLOSED = 1.0, -1.0
HALF_OPEN_M = 0.004  # pads less than this wider apart than the part do not go over it
GRIPPER_M = 0.09  # half the width of an open gripper, and a margin
ENOUGH = 0.42  # of a door's open time has to be left to go through


class HandlingExpert:
    """Up to the travel height, across, down onto the goal; close or open there; wait for doors.

    It keeps no memory of its own: what it does follows from the observation, so that it can be imitated.

    Args:
        cell: for the step size and the travel height.
        contract: for the layout of the observation.
        count: rows of the batch.
    """

    def __init__(self, cell: CellSpec, contract: Contract, count: int) -> None:
        task = HandlingTask.of(cell)
        self._contract, self._travel_m = contract, (task.travel_mm - task.table_mm) / 1000
        self._step_m, self._step_rad = cell.control.step_mm / 1000, np.deg2rad(cell.control.step_deg)
        self._leash_m = cell.control.leash_mm / 1000
        ways = [i for i, stage in enumerate(task.stages) if stage.do == "move" and stage.through]
        self._ahead_m = max((_entry_m(task, i) for i in ways), default=0.0)

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        seen = self._contract.unpack(observation)
        doing = {name: seen["doing"][:, i] > 0.5 for i, name in enumerate(VERBS)}
        moves = doing["reach"] | doing["grasp"] | doing["move"] | doing["place"]
        xy = np.where(moves[:, None], self._across(seen), -seen["lead_position"][:, :2])
        z = np.where(moves, self._up_or_down(seen, doing), -seen["lead_position"][:, 2])
        xy = xy / np.maximum(1.0, np.abs(xy).max(axis=1, keepdims=True) / self._step_m)  # shortened, not bent
        yaw = -(seen["tool_rotation"][:, 2] + seen["lead_rotation"][:, 2])
        keeps = doing["move"] & (seen["last_action"][:, -1] < 0)
        grip = np.where(doing["grasp"] | doing["place"] | keeps, CLOSED, OPEN)
        steps = np.concatenate([xy / self._step_m, z[:, None] / self._step_m, yaw[:, None] / self._step_rad], axis=1)
        return np.clip(np.concatenate([steps, grip[:, None]], axis=1), -1.0, 1.0)

    def _across(self, seen: dict[str, np.ndarray]) -> np.ndarray:
        """The step (n, 2) sideways, m: to the goal, from the travel height or near it, but not into a closing door."""
        position, lead = seen["tool_position"][:, :2], seen["lead_position"][:, :2]
        away = np.linalg.norm(position, axis=1)
        free = (away < NEARLY_M) | (seen["height"][:, 0] > self._travel_m - ABOVE_M)
        on_the_way, _, stays = seen["door"].T
        waits = (on_the_way > 0.5) & (stays < ENOUGH) & (away > self._ahead_m)
        step = np.where(free[:, None], -position, 0.0) - YIELD * lead
        return np.where(waits[:, None], -lead, step)

    def _up_or_down(self, seen: dict[str, np.ndarray], doing: dict[str, np.ndarray]) -> np.ndarray:
        """The step (n,) in z, m: up to the travel height; down, slower and slower, when over the goal and open."""
        position, lead = seen["tool_position"], seen["lead_position"][:, 2]
        away, above = np.linalg.norm(position[:, :2], axis=1), position[:, 2]
        opens = doing["reach"] & (seen["aperture"][:, 1] < HALF_OPEN_M)
        down = (away < OVER_M) & ~opens
        slow = np.clip(BRAKE * np.abs(above), TOUCH * self._leash_m, self._leash_m)
        most = np.where((away < OVER_M) & ~doing["move"], slow, self._leash_m)
        ahead = np.clip(np.where(down, -above, self._travel_m - seen["height"][:, 0]), -most, most)
        waits = (away < NEARLY_M) & (away >= OVER_M) & ~opens
        return np.where(waits, 0.0, ahead - lead)


def _entry_m(task: HandlingTask, i: int) -> float:
    """How far from a move's goal its way enters the zone of the door on it, m."""
    door = next(f for f in task.fixtures if isinstance(f, Door) and f.name == task.stages[i].through)
    start, end = np.array(task.stages[i - 1].to_mm) / 1000, np.array(task.stages[i].to_mm) / 1000
    way = start + np.linspace(0, 1, 200)[:, None] * (end - start)
    inside = (np.abs(way - np.array(door.center_mm) / 1000) < np.array(door.size_mm) / 2000 + GRIPPER_M).all(axis=1)
    return float(np.linalg.norm(way[inside.argmax()] - end)) if inside.any() else 0.0
