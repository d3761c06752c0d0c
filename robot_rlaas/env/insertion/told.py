"""The teacher of cells whose plate nobody observes: a policy for an observed plate that is told where it truly lies."""

from typing import TYPE_CHECKING

import numpy as np

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.errors import StageError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.rotation import about_z, matrix_from_vector, rotate, rotate_back, rotation_vector, transpose
from robot_rlaas.env.insertion.task import contract

if TYPE_CHECKING:
    from robot_rlaas.env.batch import BatchEnv

TURNED = ("lead_position", "lead_rotation", "force", "torque")  # vectors of the task frame


class Told:
    """Acts in an environment with an unobserved plate as `policy` does where the plate is observed without a bias.

    It has to be told which environment that is, by `BatchEnv.tell`: the plate's true pose is in no observation.

    Args:
        cell: whose plate is not observed.
        policy: for `observed(cell)`, for as many rows as the environment has.
    """

    def __init__(self, cell: CellSpec, policy: Policy) -> None:
        self._outer, self._inner = contract(cell), contract(observed(cell))
        self._policy, self._env = policy, None

    def watch(self, env: "BatchEnv") -> None:
        """Act in this environment from now on."""
        self._env = env

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""
        self._policy.reset(ids)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`.

        Raises:
            StageError: if it was not told where it acts.
        """
        if self._env is None:
            raise StageError("this teacher is told where the plate lies, and nobody told it: call `BatchEnv.tell`")
        xy_m, R = self._env.draw.plate_xy_m, about_z(self._env.draw.plate_yaw_rad)
        action = self._policy.act(self._inner.pack(self._in_hole(self._outer.unpack(observation), xy_m, R)))
        across = rotate(R, _flat(action[:, :2]))[:, :2]
        longest = np.maximum(1.0, np.abs(across).max(axis=1, keepdims=True))  # shortened, not bent
        return np.concatenate([across / longest, action[:, 2:]], axis=1).astype(np.float32)

    def _in_hole(self, seen: dict[str, np.ndarray], xy_m: np.ndarray, R: np.ndarray) -> dict[str, np.ndarray]:
        """What was observed in the nominal frame, in the frame of the hole (n, 3, 3) at (n, 2)."""
        action = seen["last_action"]
        tool = transpose(R) @ matrix_from_vector(seen["tool_rotation"].astype(float))
        return {
            **seen,
            **{name: rotate_back(R, seen[name]) for name in TURNED},
            "tool_position": rotate_back(R, seen["tool_position"] - _flat(xy_m)),
            "tool_rotation": rotation_vector(tool),
            "last_action": np.concatenate([rotate_back(R, _flat(action[:, :2]))[:, :2], action[:, 2:]], axis=1),
        }


def observed(cell: CellSpec) -> CellSpec:
    """The same cell with a plate that is observed."""
    plate = cell.task.plate.model_copy(update={"observed": True})
    return cell.model_copy(update={"task": cell.task.model_copy(update={"plate": plate})})


def _flat(xy: np.ndarray) -> np.ndarray:
    """(n, 2) -> (n, 3), with z = 0."""
    return np.concatenate([xy, 0.0 * xy[:, :1]], axis=1)
