"""What can be known of an arm, for what draws: its cell with the joints as measured and the rest as observed."""

from collections.abc import Mapping

import numpy as np

from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.sim.backend import Poses
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.geometry import quaternion
from robot_rlaas.sim.model import Workcell

NOWHERE = Pose(np.eye(3)[None], np.zeros((1, 3)))
UNSEEN = Pose(np.eye(3)[None], np.array([[0.0, 0.0, -5.0]]))


class Measured:
    """See `Posed`: one workcell whose poses are told instead of simulated.

    Args:
        cell: the cell. A handling cell's parts are out of sight until they are seen.
        workcell: built from it.
    """

    def __init__(self, cell: CellSpec, workcell: Workcell) -> None:
        nominal = CpuBackend(workcell, cell, 1, nthread=1).poses()
        self._poses, self._model = Poses(*(np.array(field) for field in nominal)), workcell.model
        for part in cell.task.parts if isinstance(cell.task, HandlingTask) else ():
            self.see(part.name, UNSEEN)

    def put(self, q_rad: np.ndarray, plate: Pose | None) -> None:
        """The arm stands at q_rad (k,), the hole's frame, where there is one, is at this pose, one row."""
        self._poses.qpos[0, : len(q_rad)] = q_rad
        if plate is not None:
            self._poses.mocap_pos[0, 0], self._poses.mocap_quat[0, 0] = plate.p[0], quaternion(plate.R[0])

    def see(self, part: str, pose: Pose) -> None:
        """A free part's base is at this pose, one row."""
        at = self._model.joint(part).qposadr[0]
        self._poses.qpos[0, at : at + 3], self._poses.qpos[0, at + 3 : at + 7] = pose.p[0], quaternion(pose.R[0])

    def open(self, share: Mapping[str, float]) -> None:
        """Vises and doors are so far open, from 0, closed, to 1, open, by name."""
        for name, opening in share.items():
            self._poses.qpos[0, self._model.joint(name).qposadr[0]] = opening * self._model.joint(name).range[1]

    def grip(self, share: float) -> None:
        """The gripper is so far open, from 0, closed, to 1, open."""
        for i in range(self._model.njnt):
            if self._model.joint(i).name.startswith("tool/"):
                low, high = self._model.jnt_range[i]
                self._poses.qpos[0, self._model.jnt_qposadr[i]] = low + share * (high - low)

    def poses(self) -> Poses:
        """See `Posed`."""
        return self._poses
