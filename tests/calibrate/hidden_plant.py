"""A hidden plant, simulated by plain MuJoCo steps on the whole cell, and its motions as MCAP files."""

from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from mcap_ros2.writer import Writer

from robot_rlaas.calibrate.servo.arm import ArmParameters
from robot_rlaas.cell.calibration import Calibration
from robot_rlaas.cell.hardware import Plant
from robot_rlaas.deploy.ros.definitions import definition
from robot_rlaas.sim.model import Workcell

RATE_HZ, TICK_S = 100, 0.01
SLOW_RAD_S = 0.1
LINEAR = 1  # delays that are no multiple of the time step are what they say, not rounded up
START_NS = 1_790_000_000 * 10**9
CHUNK_BYTES = 16384  # half a second or so, as the recorder writes them


class Motion(NamedTuple):
    """Time (T,), measured positions (T, 6), commands (T, 6), each from its time on."""

    time_s: np.ndarray
    q_rad: np.ndarray
    command_rad: np.ndarray


def follow(
    workcell: Workcell, plant: Plant, setpoints: np.ndarray, rng: np.random.Generator, slow_Nm: float | np.ndarray = 0.0
) -> Motion:
    """What the plant measures at every tick while it follows setpoints (T, 6) from rest.

    `slow_Nm` is friction that only a joint at rest has; it fades within SLOW_RAD_S, as Stribeck's does.
    """
    model = workcell.spec.compile()
    gain = model.actuator_gainprm[:, 0] * plant.servo_gain_scale
    model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1] = gain, -gain
    model.dof_damping[:] *= plant.joint_damping_scale
    model.actuator_biasprm[:, 2] *= plant.joint_damping_scale
    model.dof_armature[:] *= plant.armature_scale
    model.actuator_delay[:] = plant.command_delay_s
    model.actuator_history[:, 1] = LINEAR
    payload = model.body("payload").id
    model.body_mass[payload] = plant.payload_kg
    model.body_ipos[payload] = plant.payload_x_m, plant.payload_y_m, plant.payload_z_m
    data = mujoco.MjData(model)
    mujoco.mj_setConst(model, data)
    data.qpos[:] = setpoints[0]
    for i, angle in enumerate(setpoints[0]):
        mujoco.mj_initCtrlHistory(model, data, i, None, np.full((int(model.actuator_history[i, 0]), 1), angle))
    measured = []
    for setpoint in setpoints:
        measured.append(data.qpos.copy())
        data.ctrl[:] = setpoint
        for _ in range(round(TICK_S / model.opt.timestep)):
            model.dof_frictionloss[:] = plant.joint_friction_Nm + slow_Nm * np.exp(-((data.qvel / SLOW_RAD_S) ** 2))
            mujoco.mj_step(model, data)
    noise = plant.joint_noise_rad * rng.standard_normal(setpoints.shape)
    return Motion(TICK_S * np.arange(len(setpoints)), np.array(measured) + noise, setpoints)


def known(workcell: Workcell, plant: Plant, deviation: float = 0.0) -> Calibration:
    """A calibration that knows the plant, each parameter up to an independent standard deviation."""
    joints, estimates = workcell.profile.joints, []
    for name in ArmParameters._fields:
        values = np.atleast_1d(getattr(plant, name))
        for joint, value in zip(joints if len(values) > 1 else (None,), values.tolist()):
            ends = {"nominal": value, "value": value, "lower_95": value - deviation, "upper_95": value + deviation}
            estimates.append({"name": name, "joint": joint, "unit": "", "identifiable": True, **ends})
    nothing, file = (0.0,) * len(joints), {"file": "none.mcap", "sha256": "0" * 64}
    return Calibration.model_validate(
        {
            "rlaas_calibration": 1,
            "cell": "peg_insertion",
            "cell_hash": "0" * 64,
            "date": "2026-01-01",
            "versions": {},
            "fit_log": file,
            "heldout_log": file,
            "accepted": True,
            "reason": "it is the truth",
            "heldout": {
                "joints": joints,
                "before_mrad": nothing,
                "after_mrad": nothing,
                "mean_before_mrad": 0.0,
                "mean_after_mrad": 0.0,
            },
            "estimates": estimates,
            "covariance": (deviation**2 * np.eye(len(estimates))).tolist(),
        }
    )


def write_mcap(path: Path, workcell: Workcell, motion: Motion, stamp_offset_s: float = 0.0) -> Path:
    """As a recorder would: joints in another order and one more, stamps `stamp_offset_s` away from the log's clock."""
    profile = workcell.profile
    order = [3, 0, 5, 1, 4, 2]
    names = [profile.joints[i] for i in order] + ["gripper_joint"]
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=CHUNK_BYTES)
        state = writer.register_msgdef("sensor_msgs/msg/JointState", definition("sensor_msgs/msg/JointState"))
        command = writer.register_msgdef("std_msgs/msg/Float64MultiArray", definition("std_msgs/msg/Float64MultiArray"))
        for t, q, u in zip(motion.time_s, motion.q_rad, motion.command_rad):
            log_ns = START_NS + round(t * 1e9)
            stamp_ns = log_ns + round(stamp_offset_s * 1e9)
            header = {"stamp": {"sec": stamp_ns // 10**9, "nanosec": stamp_ns % 10**9}, "frame_id": "base_link"}
            content = {"header": header, "name": names, "position": [*q[order], 0.5], "velocity": [], "effort": []}
            writer.write_message(profile.topics.joint_states, state, content, log_ns, log_ns)
            layout = {"dim": [], "data_offset": 0}
            content = {"layout": layout, "data": u.tolist()}
            writer.write_message(profile.topics.command, command, content, log_ns, log_ns)
        writer.finish()
    return path


def cut_off(whole: Path, path: Path, share: float) -> Path:
    """The first part of a log, as a killed recorder leaves it."""
    content = whole.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    return path
