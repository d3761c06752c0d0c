"""Chunks as the messages that a joint_trajectory_controller is sent, and back."""

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robot_rlaas.deploy.chunk import Chunk
from robot_rlaas.deploy.ros.process import doubles


def message_of(chunk: Chunk, joints: Sequence[str]) -> JointTrajectory:
    """A chunk as a message. Its stamp is zero: a controller plays it from when it comes, whatever its clock says."""
    points = []
    for seconds, position, velocity in zip(*chunk):
        ns = round(1e9 * seconds)
        due = Duration(sec=ns // 10**9, nanosec=ns % 10**9)
        points.append(
            JointTrajectoryPoint(positions=doubles(position), velocities=doubles(velocity), time_from_start=due)
        )
    return JointTrajectory(joint_names=list(joints), points=points)


def chunk_of(message: JointTrajectory, joints: Sequence[str]) -> Chunk | str:
    """The inverse, joints in this order; or why a joint_trajectory_controller refuses the message."""
    if set(message.joint_names) != set(joints) or len(message.joint_names) != len(joints):
        return f"its joints are {', '.join(message.joint_names)}"
    if not message.points:
        return "it has no points"
    fields = [[point.positions, point.velocities] for point in message.points]
    if any(len(values) != len(joints) for field in fields for values in field):
        return "a point lacks a joint's position or velocity"
    time_s = np.array([p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in message.points])
    order = [list(message.joint_names).index(name) for name in joints]
    position, velocity = np.array(fields)[:, :, order].swapaxes(0, 1)
    if not np.isfinite([position, velocity]).all():
        return "a value is no number"
    if (np.diff(time_s) <= 0).any():
        return "the times of its points do not increase"
    if np.abs(velocity[-1]).max() > np.finfo(np.float32).eps:
        return "it does not end at rest"
    return Chunk(time_s, position, velocity)
