"""What can be known of an arm, for what draws: its cell with the joints as measured and the plate as observed."""

import numpy as np

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.sim.backend import Poses
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.geometry import quaternion
from robot_rlaas.sim.model import Workcell


class Measured:
    """See `Posed`: one workcell whose poses are told instead of simulated.

    Args:
        cell: an insertion cell.
        workcell: built from it.
    """

    def __init__(self, cell: CellSpec, workcell: Workcell) -> None:
        nominal = CpuBackend(workcell, cell, 1, nthread=1).poses()
        self._poses = Poses(*(np.array(field) for field in nominal))

    def put(self, q_rad: np.ndarray, plate: Pose) -> None:
        """The arm stands at q_rad (k,), the hole's frame is at this pose, one row."""
        self._poses.qpos[0, : len(q_rad)] = q_rad
        self._poses.mocap_pos[0, 0], self._poses.mocap_quat[0, 0] = plate.p[0], quaternion(plate.R[0])

    def poses(self) -> Poses:
        """See `Posed`."""
        return self._poses
