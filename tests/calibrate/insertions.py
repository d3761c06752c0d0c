"""Insertions by the scripted expert on a virtual arm, as a deployment's log."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from mcap_ros2.writer import Writer

from robot_rlaas.cell.hardware import Plant
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.deploy.cycle import Cycle, Sensed
from robot_rlaas.deploy.names import PLATE
from robot_rlaas.deploy.ros.definitions import definition
from robot_rlaas.deploy.virtual_arm.arm import VirtualArm
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.env.insertion.task import contract

START_NS = 1_790_000_000 * 10**9
AXES = ("x", "y", "z")


def write_insertions(path: Path, cell: CellSpec, plant: Plant, seeds: Iterable[int]) -> Path:
    """The first part of each of these seeds, one after the other, by an arm that the cell's parts come to."""
    with path.open("wb") as file:
        writer = Writer(file)
        kinds = ("sensor_msgs/msg/JointState", "geometry_msgs/msg/WrenchStamped", "geometry_msgs/msg/PoseStamped")
        schemas = [writer.register_msgdef(kind, definition(kind)) for kind in kinds]
        for seed in seeds:
            _insert(cell, plant, seed, writer, schemas)
        writer.finish()
    return path


def _insert(cell: CellSpec, plant: Plant, seed: int, writer: Writer, schemas: list) -> None:
    """One whole cycle of the expert, after half a second of rest, in the log at 20 s times its number."""
    arm = VirtualArm(cell, plant, seed)
    workcell, profile = arm.workcell, arm.workcell.profile
    expert = InsertionExpert(cell, contract(cell), 1)
    cycle = Cycle(cell, workcell.chain, workcell.envelope, expert, 1, lambda: None)
    home = np.deg2rad(np.array(cell.robot.home_deg))
    zero_ns = START_NS + 20 * 10**9 * seed

    def stamped(reading, **content):
        ns = zero_ns + round(1e9 * reading.time_s)
        return {"header": {"stamp": {"sec": ns // 10**9, "nanosec": ns % 10**9}, "frame_id": ""}, **content}, ns

    def write(topic, schema, message) -> None:
        writer.write_message(topic, schema, message[0], message[1], message[1])

    def tick(command):
        reading = arm.tick(command)
        q = {"name": list(profile.joints), "position": reading.q_rad.tolist(), "velocity": [], "effort": []}
        force, torque = (dict(zip(AXES, part)) for part in np.split(reading.wrench, 2))
        write(profile.topics.joint_states, schemas[0], stamped(reading, **q))
        write(profile.topics.wrench, schemas[1], stamped(reading, wrench={"force": force, "torque": torque}))
        return reading

    seen = arm.observed_plate
    yaw = np.arctan2(seen.R[0, 1, 0], seen.R[0, 0, 0])
    turn = {"x": 0.0, "y": 0.0, "z": np.sin(yaw / 2), "w": np.cos(yaw / 2)}
    reading = tick(home)
    write(PLATE, schemas[2], stamped(reading, pose={"position": dict(zip(AXES, seen.p[0])), "orientation": turn}))
    for _ in range(50):
        reading = tick(home)
    targets, wrenches = np.tile(home, (3, 1)), [reading.wrench]
    ticks = round(cell.period_s / arm.tick_s)
    while not cycle.finished:
        sensed = Sensed(reading.time_s, reading.q_rad, np.mean(wrenches, axis=0), arm.observed_plate)
        targets, wrenches = np.concatenate([targets[1:], cycle.step(sensed)[None]]), []
        for i in range(ticks):
            reading = tick(setpoint(tuple(targets), (i + 1) / ticks))
            wrenches.append(reading.wrench)
