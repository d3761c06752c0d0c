"""A scripted expert for insertion: it sees what a policy sees and nothing else."""

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.spec import CellSpec

ABOVE_M = 0.004
CONTACT_N = 4.0
PRESS_M = 0.0016
SPIRAL_STEP_RAD = 0.5
SPIRAL_PITCH_M = 0.0008
SPIRAL_LIMIT_M = 0.0028


class InsertionExpert:
    """Approach over the hole, descend until contact, search in a spiral, push in.

    Args:
        cell: for the step size.
        contract: for the layout of the observation.
        count: rows of the batch.
    """

    def __init__(self, cell: CellSpec, contract: Contract, count: int) -> None:
        self._contract = contract
        self._step_m = cell.control.step_mm / 1000
        self._step_rad = np.deg2rad(cell.control.step_deg)
        self._surface_m = -0.0022
        self._touched = np.zeros(count, dtype=bool)
        self._angle = np.zeros(count)

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""
        self._touched[ids] = False
        self._angle[ids] = 0.0

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        seen = self._contract.unpack(observation)
        position, lead = seen["tool_position"], seen["lead_position"]
        z = position[:, 2]
        lateral = np.linalg.norm(position[:, :2], axis=1)
        over = (lateral < 0.0015) | (z < ABOVE_M - 0.001)
        inside = z < self._surface_m
        self._touched |= over & (seen["force"][:, 2] > CONTACT_N)
        searching = self._touched & ~inside
        self._angle += np.where(searching, SPIRAL_STEP_RAD, 0.0)

        reference = position + lead
        radius = np.minimum(SPIRAL_PITCH_M * self._angle / (2 * np.pi), SPIRAL_LIMIT_M)
        spiral = np.stack([np.cos(self._angle), np.sin(self._angle)], axis=1) * radius[:, None]
        goal_xy = np.where(searching[:, None], spiral, 0.0)
        step_xy = goal_xy - np.where(searching[:, None], reference[:, :2], position[:, :2] + 0.6 * lead[:, :2])
        step_xy = np.where(inside[:, None], -0.5 * lead[:, :2], step_xy)

        descend = np.where(z + lead[:, 2] > 0.003, -0.003, -0.0012)
        press = -PRESS_M - lead[:, 2]
        push = np.clip(-0.004 - lead[:, 2], -0.003, 0.003)
        step_z = np.where(over, descend, np.clip(ABOVE_M - z - lead[:, 2], -0.003, 0.003))
        step_z = np.where(searching, press, np.where(inside, push, step_z))

        yaw = -(seen["tool_rotation"][:, 2] + seen["lead_rotation"][:, 2]) * ~inside
        yaw = yaw - 0.5 * seen["lead_rotation"][:, 2] * inside
        action = np.concatenate([step_xy, step_z[:, None]], axis=1) / self._step_m
        return np.clip(np.concatenate([action, yaw[:, None] / self._step_rad], axis=1), -1.0, 1.0)
