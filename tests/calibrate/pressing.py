"""A gentle press on a virtual arm, through the supervisor, as its log: everything but ROS and real time."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mcap_ros2.writer import Writer

from robot_rlaas.cell.hardware import Plant
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.control.rotation import matrix_from_vector
from robot_rlaas.deploy.cycle import Sensed
from robot_rlaas.deploy.names import MOTION, PLATE
from robot_rlaas.deploy.press import HARD, Gentle, Press
from robot_rlaas.deploy.ros.definitions import definition
from robot_rlaas.deploy.supervisor import Supervisor
from robot_rlaas.deploy.virtual_arm.arm import Reading, VirtualArm
from robot_rlaas.env.insertion.task import hole_frame
from robot_rlaas.sim.model import build
from robot_rlaas.sim.variation import draw

START_NS = 1_790_000_000 * 10**9
AXES = ("x", "y", "z")
LONGEST_S = 300.0
PLAIN = Gentle()


class Pressed(NamedTuple):
    """How a press went: what it told, why it ended early, and the largest contact force."""

    path: Path
    told: list[str]
    trouble: str
    peak_N: float
    arm: VirtualArm
    supervisor: Supervisor
    seconds: float


class _Log:
    """Messages of a press, stamped with the arm's time."""

    def __init__(self, writer: Writer) -> None:
        self._writer, self._schemas = writer, dict[str, Any]()

    def write(self, topic: str, kind: str, time_s: float, header: bool = True, **content) -> None:
        if kind not in self._schemas:
            self._schemas[kind] = self._writer.register_msgdef(kind, definition(kind))
        ns = START_NS + round(1e9 * time_s)
        stamp = {"header": {"stamp": {"sec": ns // 10**9, "nanosec": ns % 10**9}, "frame_id": ""}} if header else {}
        self._writer.write_message(topic, self._schemas[kind], {**stamp, **content}, ns, ns)


def write_press(
    path: Path,
    cell: CellSpec,
    plant: Plant,
    seed: int,
    gentle: Gentle = PLAIN,
    leave_after: int | None = None,
    deaf: bool = False,
) -> Pressed:
    """Press, as `rlaas calibrate press` does it, and write the log.

    `leave_after` so many spots somebody interrupts it. A `deaf` press is told of no force; the supervisor is.
    """
    arm, told = VirtualArm(cell, plant, seed), list[str]()
    workcell, home = arm.workcell, np.deg2rad(np.array(cell.robot.home_deg))
    envelope = workcell.envelope._replace(force_N=HARD * gentle.force_N)
    supervisor = Supervisor(workcell.chain, envelope, cell.period_s, arm.tick_s)
    press = Press(cell, workcell.chain, envelope, gentle, told.append)
    ticks, doing = round(cell.period_s / arm.tick_s), None
    with path.open("wb") as file:
        writer = Writer(file)
        log = _Log(writer)
        while not press.finished and not supervisor.latched and arm.time_s < LONGEST_S:
            readings = [_tick(arm, supervisor, log) for _ in range(ticks)]
            target, reading = home, readings[-1]
            if arm.time_s > 0.5:
                felt = np.zeros(6) if deaf else np.mean([one.wrench for one in readings], axis=0)
                if len(told) == leave_after:
                    press.leave()
                    leave_after = None
                target = press.step(Sensed(reading.time_s, reading.q_rad, felt, arm.observed_plate))
            if press.doing != doing:
                doing = press.doing
                log.write(MOTION, "std_msgs/msg/String", arm.time_s, header=False, data=json.dumps(doing))
            supervisor.receive(workcell.chain.joints, target.tolist(), 0.0, arm.time_s)
        seen = arm.observed_plate
        yaw = np.arctan2(seen.R[0, 1, 0], seen.R[0, 0, 0])
        turn = {"x": 0.0, "y": 0.0, "z": np.sin(yaw / 2), "w": np.cos(yaw / 2)}
        pose = {"position": dict(zip(AXES, seen.p[0])), "orientation": turn}
        log.write(PLATE, "geometry_msgs/msg/PoseStamped", 0.0, pose=pose)
        writer.finish()
    now = arm.score.current
    peak_N = max(now.peak_force_N, now.way_back_force_N)
    return Pressed(path, told, press.trouble or supervisor.latched or "", peak_N, arm, supervisor, arm.time_s)


def _tick(arm: VirtualArm, supervisor: Supervisor, log: _Log) -> Reading:
    """One tick of the arm under the supervisor's setpoint, and what its driver publishes."""
    profile, reading = arm.profile, arm.tick(supervisor.tick(arm.time_s))
    at = reading.time_s
    q = {"name": list(profile.joints), "position": reading.q_rad.tolist(), "velocity": [], "effort": []}
    log.write(profile.topics.joint_states, "sensor_msgs/msg/JointState", at, **q)
    force, torque = (dict(zip(AXES, part)) for part in np.split(reading.wrench, 2))
    log.write(profile.topics.felt, "geometry_msgs/msg/WrenchStamped", at, wrench={"force": force, "torque": torque})
    supervisor.measure(profile.joints, reading.q_rad.tolist(), at)
    supervisor.feel(reading.wrench.tolist(), at)
    return reading


def true_height_m(cell: CellSpec, plant: Plant, seed: int) -> float:
    """Where the nominal tip of an upright tool is when the true part meets the true plate at the hole as seen."""
    one = draw(cell, Seeds(seed, Space.DEPLOY), np.zeros(1, int))
    tilt = np.deg2rad([[plant.plate_tilt_x_deg, plant.plate_tilt_y_deg]])
    one = one._replace(plate_z_m=np.array([plant.plate_z_mm / 1000]), plate_tilt_rad=tilt)
    hole, length = hole_frame(cell, one), np.array([0.0, 0.0, cell.task.part.length_mm / 1000])
    home = tool_pose(build(cell).chain, np.deg2rad(np.array([cell.robot.home_deg])))
    x, y = (extent / 2000 for extent in cell.task.part.section_mm)
    corners = length + np.array([(sx * x, sy * y, 0.0) for sx in (-1, 1) for sy in (-1, 1)])
    away = (one.hand_m[0] + corners @ matrix_from_vector(one.hand_rad)[0].T - length) @ home.R[0].T
    rise = -hole.R[0, :2, 2] / hole.R[0, 2, 2]
    return float(hole.p[0, 2] + np.max((away[:, :2] + one.bias_xy_m[0]) @ rise - away[:, 2]))
