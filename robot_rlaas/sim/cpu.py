"""The CPU backend: MuJoCo's native batch on all cores."""

import mujoco
import numpy as np
from mujoco.batch import MODEL_FIELDS, Batch

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.backend import Physics, Poses, Snapshot
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.driving import Drives
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.placing import placing_of
from robot_rlaas.sim.surfaces import touch_at, touch_N

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
        self.nsim, self._workcell, self._cell = nsim, workcell, cell
        self.substeps = round(cell.period_s / model.opt.timestep)
        self._nominal = _Nominal(workcell)
        self._batch = Batch(model, nsim, nthread)
        self._batch.reset()
        self._fresh = self._batch.state[0].copy()
        bind, expand = self._batch.bind, self._batch.expand
        self._qpos, self._ctrl, self._history = bind("qpos"), bind("ctrl"), bind("history")
        self._mocap_pos, self._mocap_quat = bind("mocap_pos"), bind("mocap_quat")
        self._sensordata = bind("sensordata")
        self._frictionloss, self._armature = expand("dof_frictionloss"), expand("dof_armature")
        self._mass, self._com = expand("body_mass"), expand("body_ipos")
        self._gain, self._bias, self._delay = (
            expand("actuator_gainprm"),
            expand("actuator_biasprm"),
            expand("actuator_delay"),
        )
        self._placing = placing_of(cell, model, self._batch)
        self._bodies = [_per_simulation(self._batch, model, name) for name in ("body_pos", "body_quat")]
        self._drives = Drives(cell, model, self._batch, self._nominal.joints)
        self._touch_at = touch_at(model)
        free = model.jnt_qposadr[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE]
        self._free = free[:, None] + np.arange(7)
        self._qvel = bind("qvel")
        self._loose = model.jnt_dofadr[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE][:, None] + np.arange(6)
        self._drawn = {name: expand(name) for name in MODEL_FIELDS if self._batch.expanded(name) is not None}

    @property
    def batch(self) -> Batch:
        """The underlying batch."""
        return self._batch

    @property
    def drawn(self) -> dict[str, np.ndarray]:
        """(nsim, ...) the fields of the model that a draw writes, by name."""
        return self._drawn

    def reset(self, ids: np.ndarray, start: Draw, q_rad: np.ndarray) -> Physics:
        """See `Backend.reset`."""
        self._batch.state[ids] = self._fresh  # as by `Batch.reset`, whose threads take longer to wake
        nominal, arm = self._nominal, slice(q_rad.shape[1])
        self._qpos[ids, arm] = q_rad
        self._ctrl[ids, arm] = q_rad
        self._ctrl[ids, q_rad.shape[1] :] = self._drives.reset(ids, self._placing.place(ids, start))
        self._fill_history(ids, q_rad)
        self._frictionloss[ids, arm] = start.joint_friction_Nm
        self._armature[ids, arm] = nominal.armature * start.armature_scale
        self._mass[ids, nominal.payload] = start.payload_kg
        self._com[ids, nominal.payload] = start.payload_m
        self._gain[ids, arm, 0] = nominal.gain * start.gain_scale
        self._bias[ids, arm, 1] = -nominal.gain * start.gain_scale
        self._bias[ids, arm, 2] = -nominal.damping * start.damping_scale
        self._delay[ids, arm] = start.delay_s[:, None]
        self._batch.set_const(ids)
        self._batch.forward(ids)
        return self.physics(self._sensordata[ids][:, None], self._qpos[ids])

    def spare(self, count: int) -> "CpuBackend":
        """See `Backend.spare`."""
        return CpuBackend(self._workcell, self._cell, count, self._batch.nthread)

    def snapshot(self, ids: np.ndarray, start: Draw) -> Snapshot:
        """See `Spare.snapshot`."""
        fields = {name: values[ids] for name, values in self._drawn.items()}
        return Snapshot(self._batch.state[ids], fields, self._drives.told[ids], start)

    def adopt(self, ids: np.ndarray, snapshot: Snapshot) -> None:
        """See `Backend.adopt`."""
        self._batch.state[ids] = snapshot.state
        for name, values in snapshot.fields.items():
            self._drawn[name][ids] = values
        self._drives.told[ids] = snapshot.told
        self._batch.set_const(ids)

    def lay(self, ids: np.ndarray, start: Draw) -> None:
        """Put parts and fixtures where these draws say; the arm and all drives go on as they are."""
        self._placing.place(ids, start)
        self._qvel[ids[:, None, None], self._loose] = 0.0
        self._batch.set_const(ids)

    def parts(self, ids: np.ndarray) -> np.ndarray:
        """(m, free parts, 7) where they are, as of `Physics.parts`."""
        return self._qpos[ids[:, None, None], self._free]

    def step(self, setpoints_rad: np.ndarray, opening: np.ndarray | None = None) -> Physics:
        """See `Backend.step`."""
        control = self.controls(setpoints_rad, opening)
        recorded = self._batch.rollout(control.shape[1], control, control_spec=CTRL, record=("sensordata",))
        return self.physics(recorded["sensordata"], self._qpos)

    def controls(self, setpoints_rad: np.ndarray, opening: np.ndarray | None) -> np.ndarray:
        """The controls (n, substeps, actuators) of a period; arguments as of `step`. The drives' ramps go on by it."""
        if not self._drives.count:
            return setpoints_rad
        still = np.zeros((self.nsim, self._drives.count))
        drives = self._drives.ramp(still if opening is None else opening, setpoints_rad.shape[1])
        return np.concatenate([setpoints_rad, drives], axis=2)

    def plate_pose(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """True positions (m, 3) and quaternions (m, 4), wxyz, of the plate."""
        return self._mocap_pos[ids, 0], self._mocap_quat[ids, 0]

    def poses(self) -> Poses:
        """See `Backend.poses`."""
        return Poses(self._qpos, self._mocap_pos, self._mocap_quat, *self._bodies)

    def _fill_history(self, ids: np.ndarray, q_rad: np.ndarray) -> None:
        """Without this the delayed command at the start would be zero: the arm would jump."""
        k = q_rad.shape[1]
        buffers = self._history.reshape(self.nsim, k, -1)
        samples = (buffers.shape[2] - 2) // 2
        buffers[ids, :, 2 + samples :] = q_rad[:, :, None]

    def physics(self, sensordata: np.ndarray, q: np.ndarray) -> Physics:
        """What a period brought.

        Args:
            sensordata: (n, steps, 9 + drives + surfaces) at its time steps.
            q: (n, nq) after it, with the arm's joints first.
        """
        parts, q = q[:, self._free], q[:, : self._nominal.joints]
        x_N, y_N, z_N = (sensordata[:, :, i] for i in (6, 7, 8))
        forces = np.sqrt(x_N * x_N + y_N * y_N + z_N * z_N)
        contact = forces.max(1)
        bad = ~np.isfinite(q).all(1) | ~np.isfinite(contact)
        openings = self._drives.openings(sensordata[:, -1, 9 : self._touch_at])
        aperture_m, wrench = self._drives.aperture_m(openings), sensordata[:, :, :6].mean(1)
        touch = touch_N(sensordata[:, :, self._touch_at :])
        return Physics(q.copy(), wrench, contact, bad, parts, aperture_m, openings[:, 1:], forces, touch)


def _per_simulation(batch: Batch, model: mujoco.MjModel, name: str) -> np.ndarray:
    """A field of the model (n, ...), the same for all where it does not vary."""
    varied, nominal = batch.expanded(name), getattr(model, name)
    return np.broadcast_to(nominal, (batch.nsim, *nominal.shape)) if varied is None else varied


class _Nominal:
    """Ids and nominal values, looked up once."""

    def __init__(self, workcell: Workcell) -> None:
        model, k = workcell.model, len(workcell.profile.joints)
        arm_first = [(model.joint(i).name, model.actuator(i).name) for i in range(k)]
        assert arm_first == [(joint, joint) for joint in workcell.profile.joints], "the arm comes before its tool"
        self.joints = k
        self.damping = -model.actuator_biasprm[:k, 2]
        self.gain = model.actuator_gainprm[:k, 0].copy()
        self.armature = model.dof_armature[:k].copy()
        self.payload = model.body("payload").id
