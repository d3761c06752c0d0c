"""What moves in a cell besides the arm: gripper, vises, doors. Each is told an opening and goes there at its speed."""

from typing import NamedTuple

import mujoco
import numpy as np
from mujoco.batch import Batch

from robot_rlaas.cell.fixtures import Door
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec

PADS = ("tool/pad_left", "tool/pad_right")
FARTHEST_M = 0.3  # between open pads
APERTURES = 65  # openings at which the gap between the pads is measured, from closed to open


class _Joints(NamedTuple):
    """The joints that drives move: where they are in qpos, whose drive's they are, and their share of its way."""

    adr: np.ndarray
    drive: np.ndarray
    share: np.ndarray


class Drives:
    """The drives of all simulations of a batch: all actuators after the arm's, the gripper first.

    Attributes:
        count: how many each simulation has.
        told: (n, count) the controls at the end of the last period.
    """

    def __init__(self, cell: CellSpec, model: mujoco.MjModel, batch: Batch, arm_joints: int) -> None:
        self._qpos, self.count = batch.bind("qpos"), model.nu - arm_joints
        self._closed, open_ = model.actuator_ctrlrange[arm_joints:].T.copy()
        self._travel = open_ - self._closed
        self._step = self._travel * model.opt.timestep / _times_s(cell, self.count)
        self.told = np.tile(self._closed, (batch.nsim, 1))
        self._joints = _joints(model, arm_joints)
        self._gap_m = _gaps(model, self._joints) if self.count else np.zeros(APERTURES)

    def reset(self, ids: np.ndarray, opening: np.ndarray) -> np.ndarray:
        """Stand at these openings (m, count), each from 0, closed, to 1, open -> their actuators' controls."""
        position, joints = self._closed + opening * self._travel, self._joints
        self.told[ids] = position
        self._qpos[ids[:, None], joints.adr] = position[:, joints.drive] * joints.share
        return position

    def ramp(self, opening: np.ndarray, steps: int) -> np.ndarray:
        """The controls (n, steps, count) of the coming time steps on the way to these openings (n, count)."""
        way = self._closed + np.clip(opening, 0.0, 1.0) * self._travel - self.told
        most = np.arange(1, steps + 1)[:, None] * self._step
        told = self.told[:, None] + np.clip(way[:, None], -most, most)
        self.told = told[:, -1].copy()
        return told

    def openings(self, position: np.ndarray) -> np.ndarray:
        """Actuator positions (n, count) as shares of their travel."""
        return (position - self._closed) / self._travel

    def aperture_m(self, openings: np.ndarray) -> np.ndarray:
        """The gap between the gripper's pads (n,) at these openings (n, count); zero without a gripper that moves."""
        if not self.count:
            return np.zeros(len(openings))
        return np.interp(openings[:, 0], np.linspace(0, 1, APERTURES), self._gap_m)


def _times_s(cell: CellSpec, count: int) -> np.ndarray:
    """Each drive's time from open to closed. A gripper that holds its part rigidly is never told to move."""
    if not isinstance(cell.task, HandlingTask):
        return np.ones(count)
    fixtures = [f.slide_s if isinstance(f, Door) else f.close_s for f in cell.task.moving]
    return np.array([cell.task.grip.close_s, *fixtures])


def _joints(model: mujoco.MjModel, first: int) -> _Joints:
    adr, drive, share = [], [], []
    for i in range(first, model.nu):
        target = int(model.actuator_trnid[i, 0])
        tendon = model.actuator_trntype[i] == mujoco.mjtTrn.mjTRN_TENDON
        wrap = slice(model.tendon_adr[target], model.tendon_adr[target] + model.tendon_num[target]) if tendon else None
        joints = model.wrap_objid[wrap] if wrap else [target]
        adr += [int(model.jnt_qposadr[j]) for j in joints]
        drive += [i - first] * len(joints)
        share += [1.0 / float(np.sum(model.wrap_prm[wrap])) if wrap else 1.0] * len(joints)
    return _Joints(np.array(adr, int), np.array(drive, int), np.array(share))


def _gaps(model: mujoco.MjModel, joints: _Joints) -> np.ndarray:
    """The gap between the pads, m, from closed to open."""
    data, gripper = mujoco.MjData(model), joints.drive == 0
    pads = [model.geom(name).id for name in PADS]
    gaps = []
    closed, open_ = model.actuator("tool/gripper").ctrlrange
    for position in np.linspace(closed, open_, APERTURES):
        data.qpos[joints.adr[gripper]] = position * joints.share[gripper]
        mujoco.mj_kinematics(model, data)
        gaps.append(mujoco.mj_geomDistance(model, data, *pads, FARTHEST_M, None))
    return np.maximum(gaps, 0.0)
