"""The arm alone, many times over: how it answers logged commands under many sets of parameters at once."""

from typing import NamedTuple

import mujoco
import numpy as np
from mujoco.batch import Batch
from scipy.sparse import csr_array

from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.cell.calibration import Calibration
from robot_rlaas.sim.model import Workcell

CTRL = int(mujoco.mjtState.mjSTATE_CTRL)
SLOW_RAD_S = 0.1  # what counts as slow: Stribeck's velocity of geared joints is of this order
REST_S = 0.1  # the stretch at the start of a log that the initial state is read from


class ArmParameters(NamedTuple):
    """n sets of what may differ from the nominal model, k joints. Scales multiply the nominal value.

    Attributes:
        command_delay_s: (n,) from the time a command is logged to its effect, against the time of the joint states.
        servo_gain_scale, joint_damping_scale, armature_scale: (n, k). Damping is the joint's and the servo's own: data
            of positions cannot tell one from the other.
        joint_friction_Nm: (n, k) Coulomb friction.
        payload_kg: (n,) a point mass whose weight nothing compensates, and
        payload_x_m, payload_y_m, payload_z_m: (n,) where it is in the hand's frame, from the middle between the
            fingertips.
    """

    command_delay_s: np.ndarray
    servo_gain_scale: np.ndarray
    joint_damping_scale: np.ndarray
    joint_friction_Nm: np.ndarray
    armature_scale: np.ndarray
    payload_kg: np.ndarray
    payload_x_m: np.ndarray
    payload_y_m: np.ndarray
    payload_z_m: np.ndarray


class Arm:
    """The cell's arm with its tool, in free air. What else may move in the cell, fingers or parts, stands still.

    Args:
        workcell: its spec is copied and compiled without contacts, sensors and delay buffers, which only cost time.
    """

    def __init__(self, workcell: Workcell) -> None:
        spec = workcell.spec.copy()
        spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
        others = [e for e in (*spec.actuators, *spec.joints) if e.name not in workcell.chain.joints]
        for element in [*spec.sensors, *spec.equalities, *spec.tendons, *others]:
            spec.delete(element)
        spec.compiler.discardvisual = True
        for actuator in spec.actuators:
            actuator.nsample, actuator.delay = 0, 0.0
        self.model = spec.compile()
        self.joints = workcell.chain.joints
        ids = [self.model.joint(name).id for name in self.joints]
        if list(ids) != list(range(self.model.nv)) or list(self.model.actuator_trnid[:, 0]) != ids:
            raise ValueError("the arm's joints and actuators must be the model's only ones, in the profile's order")
        self.payload = self.model.body("payload").id
        self.gain = self.model.actuator_gainprm[:, 0].copy()
        self.servo_damping = self.model.actuator_biasprm[:, 2].copy()
        self.damping = self.model.dof_damping.copy()
        self.armature = self.model.dof_armature.copy()
        self.friction_Nm = self.model.dof_frictionloss.copy()
        self.torque_limit_Nm = self.model.jnt_actfrcrange[ids, 1].copy()

    def nominal(self) -> ArmParameters:
        """The model's own parameters, as one set."""
        one, zero = np.ones((1, len(self.joints))), np.zeros(1)
        return ArmParameters(zero, one, one, self.friction_Nm[None].copy(), one, zero, zero, zero, zero)

    def calibrated(self, found: Calibration) -> ArmParameters:
        """The nominal parameters with a calibration's estimates in their places, as one set."""
        values = self.nominal()._asdict()
        for name, nominal in values.items():
            estimated = [e.value for e in found.estimates if e.name == name]
            values[name] = np.array(estimated).reshape(nominal.shape) if estimated else nominal
        return ArmParameters(**values)

    def predict(self, log: JointLog, parameters: ArmParameters, slow_Nm: np.ndarray | None = None) -> np.ndarray:
        """Joint positions (n, T, k), rad, at the log's times, under its commands and each of n sets of parameters.

        Args:
            log: only its first samples' positions are used, and its commands.
            parameters: n sets.
            slow_Nm: (n, k) friction that is added to Coulomb's at rest and fades with speed: Stribeck's. MuJoCo's own
                has none, so each step is a call of its own then.
        """
        dt, start_s = self.model.opt.timestep, log.time_s[0]
        steps = int(np.ceil((log.time_s[-1] - start_s) / dt)) + 2
        begin_s = start_s + dt * np.arange(steps) - parameters.command_delay_s[:, None]
        q, v = initial_state(log)
        batch = self._batch(parameters, q, v)
        control = held(log, begin_s, dt)
        if slow_Nm is None:
            qpos = batch.rollout(steps, control, control_spec=CTRL, record=("qpos",))["qpos"]
        else:
            qpos = _stepped(batch, control, parameters.joint_friction_Nm, slow_Nm)
        path = np.concatenate([np.broadcast_to(q, (len(qpos), 1, len(q))), qpos], axis=1)
        weights = interpolation((log.time_s - start_s) / dt, steps + 1)
        return np.stack([weights @ one for one in path])

    def peak_torque_Nm(self, setpoints_rad: np.ndarray, rate_hz: float) -> np.ndarray:
        """The largest torque (k,) that the nominal servos ask for while they follow setpoints (T, k) from rest."""
        log = JointLog(np.zeros(1), setpoints_rad[:1], np.arange(len(setpoints_rad)) / rate_hz, setpoints_rad)
        dt = self.model.opt.timestep
        steps = int(len(setpoints_rad) / rate_hz / dt)
        batch = self._batch(self.nominal(), setpoints_rad[0], np.zeros(len(self.joints)))
        control = held(log, dt * np.arange(steps)[None], dt)
        record = batch.rollout(steps, control, control_spec=CTRL, record=("actuator_force",))
        return np.abs(record["actuator_force"]).max(axis=(0, 1))

    def _batch(self, parameters: ArmParameters, q_rad: np.ndarray, velocity_rad_s: np.ndarray) -> Batch:
        """One simulation per set of parameters, in one state."""
        batch = Batch(self.model, len(parameters.command_delay_s))
        batch.reset(stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        batch.bind("qpos")[:], batch.bind("qvel")[:] = q_rad, velocity_rad_s
        batch.expand("actuator_gainprm")[:, :, 0] = self.gain * parameters.servo_gain_scale
        bias = batch.expand("actuator_biasprm")
        bias[:, :, 1] = -self.gain * parameters.servo_gain_scale
        bias[:, :, 2] = self.servo_damping * parameters.joint_damping_scale
        batch.expand("dof_damping")[:] = self.damping * parameters.joint_damping_scale
        batch.expand("dof_frictionloss")[:] = parameters.joint_friction_Nm
        batch.expand("dof_armature")[:] = self.armature * parameters.armature_scale
        batch.expand("body_mass")[:, self.payload] = parameters.payload_kg
        com = (parameters.payload_x_m, parameters.payload_y_m, parameters.payload_z_m)
        batch.expand("body_ipos")[:, self.payload] = np.stack(com, axis=1)
        batch.set_const()
        return batch


def _stepped(batch: Batch, control_rad: np.ndarray, friction_Nm: np.ndarray, slow_Nm: np.ndarray) -> np.ndarray:
    """Positions (n, steps, k) with friction that falls with speed, as a Gaussian of it.

    The form is Bo and Pavelescu's as in Armstrong-Hélouvry, Dupont and Canudas de Wit, Automatica 30(7), 1994.
    """
    q, v, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    friction, path = batch.expand("dof_frictionloss"), np.empty(control_rad.shape)
    for step in range(control_rad.shape[1]):
        friction[:] = friction_Nm + slow_Nm * np.exp(-((v / SLOW_RAD_S) ** 2))
        ctrl[:] = control_rad[:, step]
        batch.step()
        path[:, step] = q
    return path


def held(log: JointLog, start_s: np.ndarray, dt_s: float) -> np.ndarray:
    """The mean of the held command over [start, start + dt] for start (n, steps) -> (n, steps, k).

    The mean, not the value at the start, so that a delay shorter than a simulation step has an effect.
    """
    knots = log.command_time_s
    area = np.concatenate([np.zeros((1, log.command_rad.shape[1])), np.diff(knots)[:, None] * log.command_rad[:-1]])
    area = np.cumsum(area, axis=0)

    def integral(t: np.ndarray) -> np.ndarray:
        i = np.clip(np.searchsorted(knots, t, side="right") - 1, 0, len(knots) - 1)
        return area[i] + (t - knots[i])[..., None] * log.command_rad[i]

    return (integral(start_s + dt_s) - integral(start_s)) / dt_s


def interpolation(at: np.ndarray, count: int) -> csr_array:
    """Catmull-Rom weights (len(at), count): row i interpolates a sampled signal at the fractional index at[i].

    Linear interpolation would be wrong by a quarter of the step squared times the acceleration: as much as the noise.
    """
    left = np.clip(np.floor(at).astype(int), 0, count - 2)
    u = at - left
    weights = 0.5 * np.stack([-u + 2 * u**2 - u**3, 2 - 5 * u**2 + 3 * u**3, u + 4 * u**2 - 3 * u**3, u**3 - u**2])
    columns = np.clip(left + np.arange(-1, 3)[:, None], 0, count - 1)
    rows = np.broadcast_to(np.arange(len(at)), columns.shape)
    return csr_array((weights.ravel(), (rows.ravel(), columns.ravel())), shape=(len(at), count))


def initial_state(log: JointLog) -> tuple[np.ndarray, np.ndarray]:
    """Position (k,), rad, and velocity (k,), rad/s, at the first sample: a line through the first samples."""
    t = log.time_s - log.time_s[0]
    first = t <= max(REST_S, t[2])
    slope, offset = np.polyfit(t[first], log.q_rad[first], 1)
    return offset, slope
