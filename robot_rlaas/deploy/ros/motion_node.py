"""Gives the supervisor the targets of a motion of the arm's own, on the beat of the joint states, until it is over.

Whoever runs it names the motion: see `excite_node` and `press_node`. Parameters besides the motion's: joints, period_s,
state_rate_hz, topics, log_file. One line per event on standard output. Exit code 0: the motion was made to its end; 1:
it was not.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Duration
from mcap.exceptions import McapError
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robot_rlaas.cell.hardware import Topics
from robot_rlaas.deploy import names
from robot_rlaas.deploy.motion import Motion
from robot_rlaas.deploy.ros.process import LATCHED, RELIABLE, doubles, from_time, light_executor, listen, to_time
from robot_rlaas.deploy.sampling import Sampler

START_S = 30.0
STALLED_S = 2.0
LEAVE_S = 4.0  # less than whoever interrupts it waits before killing it
AT_START_RAD = 0.05
PAUSE_S = 0.5  # at rest before and after the motion


class Failed(Exception):
    """The motion cannot be made; the message says why."""


class MotionNode(Node):
    """One target per control period, from the first to the last."""

    def __init__(self, params: dict[str, Any], motion: Motion) -> None:
        super().__init__("rlaas_motion")
        topics = Topics(**params["topics"])
        self.motion = motion
        feels = topics.wrench is not None
        self._sampler = Sampler(tuple(params["joints"]), params["period_s"], params["state_rate_hz"], feels)
        self._holding, self.moving = False, False
        self._beat_s = time.monotonic()
        self._q: np.ndarray | None = None
        self._said: dict[str, Any] = {}
        self._latched: str | None = None
        self._point = JointTrajectoryPoint(time_from_start=Duration(nanosec=round(params["period_s"] * 1e9)))
        self._target = JointTrajectory(joint_names=params["joints"], points=[self._point])
        self._publisher = self.create_publisher(JointTrajectory, names.TARGET, RELIABLE)
        self._say = self.create_publisher(String, names.MOTION, LATCHED).publish
        self.create_subscription(String, names.SUPERVISOR, self._supervised, LATCHED)
        listen(self, self._sampler, topics, self._measure)

    def hold(self) -> None:
        """Ask the arm, from the next beat on, to stand where the motion starts.

        Raises:
            Failed: if it stands elsewhere.
        """
        if self._q is None:
            return
        away = float(np.abs(self._q - self.motion.start_rad).max())
        if away > AT_START_RAD:
            raise Failed(f"the arm stands {away:.2f} rad from where the motion starts: move it home first")
        self._holding = True

    def start(self) -> None:
        """Move from the next beat on."""
        self.moving = True

    def check(self) -> None:
        """Raise Failed if the motion is not taken any more."""
        if self._latched:
            raise Failed(f"the supervisor stopped the arm: {self._latched}; to go on: {names.RESET}")
        if time.monotonic() - self._beat_s > STALLED_S:
            raise Failed(f"no joint states or no wrench for {STALLED_S:.0f} s")

    def _measure(self, message: JointState) -> None:
        stamp_s = from_time(message.header.stamp)
        sensed = self._sampler.measure(list(message.name), list(message.position), stamp_s)
        if sensed is None:
            return
        self._q, self._beat_s = sensed.q_rad, time.monotonic()
        if not self._holding or self.motion.finished:
            return
        target_rad = self.motion.step(sensed) if self.moving else self.motion.start_rad
        self._target.header.stamp = to_time(time.time_ns())
        self._point.positions = doubles(target_rad)
        self._publisher.publish(self._target)
        if self.motion.doing != self._said:
            self._said = self.motion.doing
            self._say(String(data=json.dumps(self._said)))

    def _supervised(self, message: String) -> None:
        state = json.loads(message.data)
        self._latched = state["why"] if state["latched"] else None


def recorded_topics(log_file: Path) -> set[str]:
    """The topics that have messages in an MCAP file that is still being written."""
    topics: set[str] = set()
    channels: dict[int, str] = {}
    with contextlib.suppress(OSError, McapError), log_file.open("rb") as file:
        for record in StreamReader(file).records:
            if isinstance(record, Channel):
                channels[record.id] = record.topic
            elif isinstance(record, Message):
                topics.add(channels[record.channel_id])
    return topics


def play(node: MotionNode, log_file: Path, recorded: set[str], spin: Callable[[], None]) -> None:
    """Hold the arm until the recorder writes what it shall, move, wait for the arm to come to rest.

    The recorder says that it hears the arm's sensors, and before that the supervisor takes no target. That it hears the
    commands that follow, and this node, only the file tells: discovery takes seconds on a busy machine.

    Args:
        node: moves.
        log_file: what the recorder writes.
        recorded: the topics that must be in it before the motion begins.
        spin: runs callbacks for a moment.

    Raises:
        Failed: if the arm does not come up, stands elsewhere, is stopped or falls silent, or cannot make the motion.
    """
    deadline = time.monotonic() + START_S
    while missing := recorded - recorded_topics(log_file):
        if time.monotonic() > deadline:
            raise Failed(f"nothing is recorded of {', '.join(sorted(missing))} after {START_S:.0f} s")
        node.hold()
        _spin_for(PAUSE_S, spin)
    node.start()
    print("the motion begins", flush=True)
    while not node.motion.finished:
        spin()
        node.check()
    _spin_for(PAUSE_S, spin)
    node.check()
    if node.motion.trouble:
        raise Failed(node.motion.trouble)
    print("the motion is over", flush=True)


def leave(node: MotionNode, spin: Callable[[], None]) -> None:
    """Let a motion that has begun end as it can, but not for longer than LEAVE_S."""
    node.motion.leave()
    deadline = time.monotonic() + LEAVE_S
    while node.moving and not node.motion.finished and time.monotonic() < deadline:
        spin()


def _spin_for(seconds: float, spin: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        spin()


def main(motion_of: Callable[[dict[str, Any]], Motion]) -> None:
    """Make the motion that the parameters describe."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--params", type=Path, required=True, help="JSON file with the parameters")
    own, ros = parser.parse_known_args()
    params = json.loads(own.params.read_text())
    stopped, parent = False, os.getppid()

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    rclpy.init(args=ros, signal_handler_options=SignalHandlerOptions.NO)
    node, executor = MotionNode(params, motion_of(params)), light_executor()
    executor.add_node(node)

    def spin() -> None:
        executor.spin_once(timeout_sec=0.1)

    def spin_on() -> None:
        if stopped or os.getppid() != parent:
            leave(node, spin)
            raise Failed("interrupted")
        spin()

    try:
        topics = Topics(**params["topics"])
        own = names.MOTION if node.motion.doing else None
        recorded = {topics.joint_states, topics.command, topics.wrench, own} - {None}
        play(node, Path(params["log_file"]), recorded, spin_on)
    except Failed as error:
        print(f"stopped: {error}", flush=True)
        sys.exit(1)
    finally:
        executor.remove_node(node)
        node.destroy_node()
        rclpy.try_shutdown()
