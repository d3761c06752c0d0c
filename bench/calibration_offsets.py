"""What free motion tells of encoders whose zero is off, which is why the fit under commands leaves them alone."""

from collections.abc import Callable
from copy import copy

import mujoco
import numpy as np

from bench.measurements import CELL, Figure, at_least
from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.calibrate.servo.arm import Arm, held, interpolation
from robot_rlaas.calibrate.servo.excite import excitation
from robot_rlaas.calibrate.servo.parameters import DIFFERENCE, quantities, typical, unpack
from robot_rlaas.jobs.calibration import FIT_S
from robot_rlaas.jobs.pipeline import Cell

PRIOR_RAD = 5e-3  # of a zero error, before anything is known
NOISE_RAD = 1e-4
RATE_HZ = 100
TOO_HEAVY = 0.01  # what the arm's controller takes too little for its links' weight, in parts of it


def joint_offsets() -> dict[str, Figure]:
    """How surely a calibration's motion tells each joint's zero error, beside everything that is fitted already.

    To first order at typical parameters (Fisher's information), with a controller that holds the weight of the links by
    what its encoders say: the error of that is what shows, and a wrong mass shows as much.
    """
    cell = Cell.load(CELL)
    arm, home = Arm(cell.workcell), np.deg2rad(np.array(cell.spec.robot.home_deg))
    motion = excitation(cell.workcell, home, FIT_S, cell.spec.control.rate_hz, np.random.default_rng([0, 8]))
    setpoints = motion.setpoints(RATE_HZ)
    time_s = np.arange(len(setpoints)) / RATE_HZ
    log, of = JointLog(time_s, np.repeat(setpoints[:1], len(time_s), axis=0), time_s, setpoints), quantities(arm)
    x, spread = typical(arm, of), np.concatenate([q.spread for q in of])
    predicted = arm.predict(log, unpack(np.concatenate([x[None], x + DIFFERENCE * np.eye(len(x))]), of))
    fitted = (predicted[1:] - predicted[0]).reshape(len(x), -1) * (spread / DIFFERENCE)[:, None]
    k = len(arm.joints)
    right = read(arm, log, x, np.zeros(k))
    offset = np.array([(read(arm, log, x, PRIOR_RAD * one) - right).ravel() for one in np.eye(k)])
    jacobian = np.concatenate([fitted, offset]) / NOISE_RAD
    posterior = np.linalg.inv(np.eye(len(jacobian)) + jacobian @ jacobian.T)
    left_mrad = 1000 * PRIOR_RAD * np.sqrt(np.diag(posterior)[-k:])
    heavy = (read(arm, log, x, np.zeros(k), TOO_HEAVY) - right).ravel() / NOISE_RAD
    astray_mrad = 1000 * PRIOR_RAD * np.abs((posterior @ jacobian @ heavy)[-k:])
    return {
        **{f"joint_offsets/left/{j}": Figure(e, "mrad of 5", None, None) for j, e in zip(arm.joints, left_mrad)},
        "joint_offsets/left_median": at_least(float(np.median(left_mrad)), "mrad of 5", 2.0),
        "joint_offsets/astray_by_1_percent_of_mass": Figure(astray_mrad.max(), "mrad", None, None),
    }


def read(arm: Arm, log: JointLog, x: np.ndarray, zero_rad: np.ndarray, too_heavy: float = 0.0) -> np.ndarray:
    """What encoders (T, k) state, rad, of an arm under a log's commands whose joints are at that less `zero_rad`."""
    model, dt, parameters = copy(arm.model), arm.model.opt.timestep, unpack(x[None], quantities(arm))
    model.body_mass[arm.payload], model.dof_frictionloss[:] = parameters.payload_kg[0], parameters.joint_friction_Nm[0]
    data, believed = mujoco.MjData(model), mujoco.MjData(model)
    steps = int(np.ceil(log.time_s[-1] / dt)) + 2
    data.qpos[:] = log.command_rad[0] - zero_rad
    path = [data.qpos + zero_rad]
    for command in held(log, dt * np.arange(steps)[None], dt)[0]:
        data.ctrl[:] = command - zero_rad
        true_Nm, held_Nm = weight_Nm(model, believed, data.qpos), weight_Nm(model, believed, data.qpos + zero_rad)
        data.qfrc_applied[:] = held_Nm - (1 + too_heavy) * true_Nm
        mujoco.mj_step(model, data)
        path.append(data.qpos + zero_rad)
    return interpolation(log.time_s / dt, steps + 1) @ np.array(path)


def weight_Nm(model: mujoco.MjModel, data: mujoco.MjData, q_rad: np.ndarray) -> np.ndarray:
    """Torques (k,) that hold the weight of what the arm's controller knows of, at these positions."""
    data.qpos[:] = q_rad
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    torque_Nm, jacobian = np.zeros(model.nv), np.zeros((3, model.nv))
    for body in np.flatnonzero(model.body_gravcomp):
        mujoco.mj_jacBodyCom(model, data, jacobian, None, body)
        torque_Nm -= model.body_gravcomp[body] * model.body_mass[body] * jacobian.T @ model.opt.gravity
    return torque_Nm


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"joint_offsets": joint_offsets}
