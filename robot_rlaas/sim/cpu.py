"""The CPU backend: MuJoCo's native batch on all cores."""

import mujoco
import numpy as np
from mujoco.batch import Batch

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.backend import Physics
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.variation import Draw

CTRL = int(mujoco.mjtState.mjSTATE_CTRL)


class CpuBackend:
    """`nsim` simulations of a workcell.

    Args:
        workcell: from `sim.model.build`.
        cell: the cell it was built from.
        nsim: how many.
        nthread: threads; 0 takes all cores. Results do not depend on it.
    """

    def __init__(self, workcell: Workcell, cell: CellSpec, nsim: int, nthread: int = 0) -> None:
        model = workcell.model
        self.nsim = nsim
        self.substeps = round(cell.period_s / model.opt.timestep)
        self._nominal = _Nominal(workcell, cell)
        self._batch = Batch(model, nsim, nthread)
        self._batch.reset()
        bind, expand = self._batch.bind, self._batch.expand
        self._qpos, self._ctrl, self._history = bind("qpos"), bind("ctrl"), bind("history")
        self._mocap_pos, self._mocap_quat = bind("mocap_pos"), bind("mocap_quat")
        self._sensordata, self._warning = bind("sensordata"), np.zeros(nsim, bool)
        self._body_pos, self._body_quat = expand("body_pos"), expand("body_quat")
        self._friction = expand("geom_friction")
        self._frictionloss, self._armature = expand("dof_frictionloss"), expand("dof_armature")
        self._mass, self._com = expand("body_mass"), expand("body_ipos")
        self._gain, self._bias, self._delay = (
            expand("actuator_gainprm"),
            expand("actuator_biasprm"),
            expand("actuator_delay"),
        )

    @property
    def batch(self) -> Batch:
        """The underlying batch, to render a simulation from."""
        return self._batch

    def reset(self, ids: np.ndarray, start: Draw, q_rad: np.ndarray) -> Physics:
        """See `Backend.reset`."""
        self._batch.reset(ids, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        nominal = self._nominal
        self._qpos[ids] = q_rad
        self._ctrl[ids] = q_rad
        self._fill_history(ids, q_rad)
        self._mocap_pos[ids, 0] = nominal.plate_m + _with_zero(start.plate_xy_m)
        self._mocap_quat[ids, 0] = _quaternions(np.array([0, 0, 1]) * start.plate_yaw_rad[:, None])
        self._body_pos[ids, nominal.peg_body] = nominal.peg_m + start.hand_m
        self._body_quat[ids, nominal.peg_body] = _quaternions(start.hand_rad)
        self._friction[ids, nominal.peg_geom, 0] = start.friction
        self._frictionloss[ids] = start.joint_friction_Nm
        self._armature[ids] = nominal.armature * start.armature_scale
        self._mass[ids, nominal.payload] = start.payload_kg
        self._com[ids, nominal.payload] = start.payload_m
        self._gain[ids, :, 0] = nominal.gain * start.gain_scale
        self._bias[ids, :, 1] = -nominal.gain * start.gain_scale
        self._bias[ids, :, 2] = -nominal.damping * start.damping_scale
        self._delay[ids] = start.delay_s[:, None]
        self._batch.set_const(ids)
        self._batch.forward(ids)
        return self._physics(self._sensordata[ids][:, None], self._qpos[ids])

    def step(self, setpoints_rad: np.ndarray) -> Physics:
        """See `Backend.step`."""
        recorded = self._batch.rollout(setpoints_rad.shape[1], setpoints_rad, control_spec=CTRL, record=("sensordata",))
        return self._physics(recorded["sensordata"], self._qpos)

    def plate_pose(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """True positions (m, 3) and quaternions (m, 4), wxyz, of the plate."""
        return self._mocap_pos[ids, 0], self._mocap_quat[ids, 0]

    def _fill_history(self, ids: np.ndarray, q_rad: np.ndarray) -> None:
        """Without this the delayed command at the start would be zero: the arm would jump."""
        k = q_rad.shape[1]
        buffers = self._history.reshape(self.nsim, k, -1)
        samples = (buffers.shape[2] - 2) // 2
        buffers[ids, :, 2 + samples :] = q_rad[:, :, None]

    def _physics(self, sensordata: np.ndarray, q: np.ndarray) -> Physics:
        """sensordata (n, steps, 9)."""
        contact = np.sqrt((sensordata[:, :, 6:9] ** 2).sum(-1).max(1))
        bad = ~np.isfinite(q).all(1) | ~np.isfinite(contact)
        return Physics(q.copy(), sensordata[:, :, :6].mean(1), contact, bad)


class _Nominal:
    """Ids and nominal values, looked up once."""

    def __init__(self, workcell: Workcell, cell: CellSpec) -> None:
        model = workcell.model
        self.peg_body = model.body("peg").id
        self.peg_geom = model.geom("peg").id
        self.peg_m = model.body("peg").pos.copy()
        self.plate_m = np.array(cell.task.plate.top_mm) / 1000
        self.damping = -model.actuator_biasprm[:, 2]
        self.gain = model.actuator_gainprm[:, 0].copy()
        self.armature = model.dof_armature.copy()
        self.payload = model.body("payload").id


def _with_zero(xy: np.ndarray) -> np.ndarray:
    return np.concatenate([xy, np.zeros((len(xy), 1))], axis=1)


def _quaternions(rotvec: np.ndarray) -> np.ndarray:
    """Rotation vectors (n, 3) -> quaternions (n, 4), wxyz."""
    angle = np.linalg.norm(rotvec, axis=1, keepdims=True)
    axis = rotvec / np.where(angle < 1e-12, 1.0, angle)
    return np.concatenate([np.cos(angle / 2), axis * np.sin(angle / 2)], axis=1)
