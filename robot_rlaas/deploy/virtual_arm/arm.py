"""A MuJoCo arm that behaves like one individual arm: its own servos, friction, delay and sensor noise."""

from typing import NamedTuple

import mujoco
import numpy as np

from robot_rlaas.cell.hardware import Plant
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.rotation import matrix_from_vector
from robot_rlaas.deploy.virtual_arm.score import Attempt, Part, Scorekeeper
from robot_rlaas.env.insertion.task import hole_frame, task_frame
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.insertion import part_geoms
from robot_rlaas.sim.model import build
from robot_rlaas.sim.surfaces import touch_at, touch_N
from robot_rlaas.sim.variation import draw


class Reading(NamedTuple):
    """What the arm's sensors say after a tick.

    Attributes:
        time_s: since the start.
        q_rad, velocity_rad_s, effort_Nm: (k,) in the order of the hardware profile's joints.
        wrench: (6,) N and N m, what the environment and the tool's inertia do to the wrist, in the wrist's frame: the
            negated MuJoCo sensor, averaged over the tick. Observations use it after taring.
    """

    time_s: float
    q_rad: np.ndarray
    velocity_rad_s: np.ndarray
    effort_Nm: np.ndarray
    wrench: np.ndarray


class Sensors:
    """The joint angles and wrench of one individual arm, with its noise and its bias."""

    def __init__(self, plant: Plant, seed: int) -> None:
        self._rng, once = (
            np.random.default_rng(np.random.SeedSequence([seed, int(Space.DEPLOY), 0, stream])) for stream in (1, 2)
        )
        self._bias = np.repeat([plant.force_bias_N, plant.torque_bias_Nm], 3) * once.standard_normal(6)
        self._spread = np.repeat([plant.force_noise_N, plant.torque_noise_Nm], 3)
        self._joint_noise_rad = plant.joint_noise_rad

    def read(
        self, time_s: float, q_rad: np.ndarray, velocity_rad_s: np.ndarray, effort_Nm: np.ndarray, load: np.ndarray
    ) -> Reading:
        """A reading of the truth. `load` (6,): what MuJoCo's sensors say, the mean over the tick."""
        noise = self._rng.standard_normal(6)
        at = q_rad + self._joint_noise_rad * self._rng.standard_normal(len(q_rad))
        return Reading(time_s, at, velocity_rad_s, effort_Nm, self._bias + self._spread * noise - load)


class VirtualArm:
    """One arm in its cell, with a feeder that lays part after part and a camera that sees them with a bias.

    Args:
        cell: the cell; its variation says how parts differ, whatever a contact file has learned of them since. Its
            ranges for the arm's dynamics are not used:
        plant: says how this arm differs from the nominal one.
        seed: of the parts (seed space DEPLOY) and of the sensor noise.
    """

    def __init__(self, cell: CellSpec, plant: Plant, seed: int) -> None:
        self.cell = cell = cell.model_copy(update={"contact": None})
        self.workcell = build(cell)
        self.profile = self.workcell.profile
        self._plant, self._seed, self._ticks = plant, seed, 0
        self._sensors = Sensors(plant, seed)
        self._model = model = self.workcell.model
        self._data, self._scratch = mujoco.MjData(model), mujoco.MjData(model)
        self._touch_at = touch_at(model)
        self.tick_s = 1.0 / self.profile.state_rate_hz
        self._substeps = max(1, round(self.tick_s / model.opt.timestep))
        joints = self.profile.joints
        self._qpos = np.array([model.joint(name).qposadr[0] for name in joints])
        self._dof = np.array([model.joint(name).dofadr[0] for name in joints])
        self._servo = np.array([model.actuator(name).id for name in joints])
        self._part_body, self._part_geoms = model.body("part").id, part_geoms(model)
        self._part_m = model.body("part").pos.copy()
        self._turning = [model.joint(f"gear_{i}").qposadr[0] for i in range(len(cell.task.start_ranges))]
        self._wear()
        self._stand(np.deg2rad(np.array(cell.robot.home_deg)))
        self.score = Scorekeeper(cell, self.workcell.chain, self.workcell.envelope, self._lay(0))

    @property
    def observed_plate(self) -> Pose:
        """The hole's frame as the camera sees it, in the base frame, one row."""
        return self._observed

    def tick(self, command_rad: np.ndarray | None) -> Reading:
        """Advance by one tick of the state rate under a joint position command (k,), or under the last one."""
        data, model = self._data, self._model
        if command_rad is not None:
            data.ctrl[self._servo] = command_rad
        wrench, contact_N, touched_N = np.zeros(6), 0.0, 0.0
        for _ in range(self._substeps):
            mujoco.mj_step(model, data)
            wrench += data.sensordata[:6]
            contact_N = max(contact_N, float(np.linalg.norm(data.sensordata[6:9])))
            touched_N = max(touched_N, float(touch_N(data.sensordata[None, None, self._touch_at :])[0]))
        self._ticks += 1
        q = data.qpos[self._qpos].copy()
        self.score.watch(self.time_s, q, contact_N, touched_N)
        velocity, effort = data.qvel[self._dof].copy(), data.qfrc_actuator[self._dof].copy()
        return self._sensors.read(self.time_s, q, velocity, effort, wrench / self._substeps)

    @property
    def time_s(self) -> float:
        """Time of the arm since its start."""
        return self._ticks * self.tick_s

    def next_part(self) -> Attempt | None:
        """Close the books of this attempt and lay the next part.

        Returns:
            The closed attempt, or None, and nothing happens, while the tool is not clear of the plate.
        """
        if not self.score.clear:
            return None
        return self.score.next(self._lay(self.score.current.episode + 1))

    def _wear(self) -> None:
        """Turn the nominal model into this individual."""
        model, plant = self._model, self._plant
        gain = model.actuator_gainprm[self._servo, 0] * plant.servo_gain_scale
        model.actuator_gainprm[self._servo, 0] = gain
        model.actuator_biasprm[self._servo, 1] = -gain
        model.actuator_delay[self._servo] = plant.command_delay_s
        model.actuator_biasprm[self._servo, 2] *= np.array(plant.joint_damping_scale)
        model.dof_frictionloss[self._dof] = plant.joint_friction_Nm
        model.dof_armature[self._dof] *= np.array(plant.armature_scale)
        payload = model.body("payload").id
        model.body_mass[payload] = plant.payload_kg
        model.body_ipos[payload] = plant.payload_x_m, plant.payload_y_m, plant.payload_z_m
        mujoco.mj_setConst(model, self._scratch)

    def _stand(self, q: np.ndarray) -> None:
        """At rest at q, with a command history that says so: an empty one would pull the arm to zero."""
        data, model = self._data, self._model
        mujoco.mj_resetData(model, data)
        data.qpos[self._qpos] = q
        data.ctrl[self._servo] = q
        for servo, angle in zip(self._servo, q):
            samples = int(model.actuator_history[servo, 0])
            mujoco.mj_initCtrlHistory(model, data, int(servo), None, np.full((samples, 1), angle))
        mujoco.mj_forward(model, data)

    def _lay(self, episode: int) -> Part:
        """Put part number `episode` on the table and another part into the hand."""
        plant = self._plant
        tilt = np.deg2rad([[plant.plate_tilt_x_deg, plant.plate_tilt_y_deg]])
        one = draw(self.cell, Seeds(self._seed, Space.DEPLOY), np.array([episode]))
        one = one._replace(plate_z_m=np.array([plant.plate_z_mm / 1000]), plate_tilt_rad=tilt)
        hole = hole_frame(self.cell, one)
        self._observed = task_frame(self.cell, one.plate_xy_m + one.bias_xy_m, one.plate_yaw_rad + one.bias_yaw_rad)
        R_hand = matrix_from_vector(one.hand_rad)
        self._place(hole, one, R_hand)
        return Part(episode, hole, one.hand_m, R_hand)

    def _place(self, hole: Pose, one: Draw, R_hand: np.ndarray) -> None:
        model, data = self._model, self._data
        data.mocap_pos[0] = hole.p[0]
        mujoco.mju_mat2Quat(data.mocap_quat[0], hole.R[0].flatten())
        model.body_pos[self._part_body] = self._part_m + one.hand_m[0]
        mujoco.mju_mat2Quat(model.body_quat[self._part_body], R_hand[0].flatten())
        data.qpos[self._turning] = np.deg2rad(one.start[0])
        model.geom_friction[self._part_geoms, 0] = one.friction[0]
        mujoco.mj_setConst(model, self._scratch)
