"""Plays a recorded motion to the supervisor, on the beat of the joint states, and ends.

Parameters: targets_rad (N, k), joints, period_s, state_rate_hz, topics, log_file. One line per event on standard
output. Exit code 0: the whole motion was played; 1: it was not.
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
from geometry_msgs.msg import WrenchStamped
from mcap.exceptions import McapError
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robot_rlaas.cell.hardware import Topics
from robot_rlaas.deploy import names
from robot_rlaas.deploy.ros.process import LATCHED, RELIABLE, doubles, from_time, light_executor, to_time
from robot_rlaas.deploy.sampling import Sampler

START_S = 30.0
STALLED_S = 2.0
AT_START_RAD = 0.05
PAUSE_S = 0.5  # at rest before and after the motion


class Failed(Exception):
    """The motion cannot be played; the message says why."""


class ExciteNode(Node):
    """One target per control period, from the first to the last."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__("rlaas_excite")
        topics = Topics(**params["topics"])
        self._targets = np.array(params["targets_rad"])
        self._sampler = Sampler(tuple(params["joints"]), params["period_s"], params["state_rate_hz"])
        self._next: int | None = None
        self._moving = False
        self._beat_s = time.monotonic()
        self._q: np.ndarray | None = None
        self._latched: str | None = None
        self._point = JointTrajectoryPoint(time_from_start=Duration(nanosec=round(params["period_s"] * 1e9)))
        self._target = JointTrajectory(joint_names=params["joints"], points=[self._point])
        self._publisher = self.create_publisher(JointTrajectory, names.TARGET, RELIABLE)
        self.create_subscription(String, names.SUPERVISOR, self._supervised, LATCHED)
        self.create_subscription(WrenchStamped, topics.felt, self._feel, qos_profile_sensor_data)
        self.create_subscription(JointState, topics.joint_states, self._measure, qos_profile_sensor_data)

    @property
    def finished(self) -> bool:
        """The last target is out."""
        return self._next == len(self._targets)

    def hold(self) -> None:
        """Ask the arm, from the next beat on, to stand where the motion starts.

        Raises:
            Failed: if it stands elsewhere.
        """
        if self._q is None:
            return
        away = float(np.abs(self._q - self._targets[0]).max())
        if away > AT_START_RAD:
            raise Failed(f"the arm stands {away:.2f} rad from where the motion starts: move it home first")
        self._next = 0

    def start(self) -> None:
        """Play from the next beat on."""
        self._moving = True

    def check(self) -> None:
        """Raise Failed if the motion is not taken any more."""
        if self._latched:
            raise Failed(f"the supervisor stopped the arm: {self._latched}")
        if time.monotonic() - self._beat_s > STALLED_S:
            raise Failed(f"no joint states or no wrench for {STALLED_S:.0f} s")

    def _measure(self, message: JointState) -> None:
        stamp_s = from_time(message.header.stamp)
        sensed = self._sampler.measure(list(message.name), list(message.position), stamp_s)
        if sensed is None:
            return
        self._q, self._beat_s = sensed.q_rad, time.monotonic()
        if self._next is None or self.finished:
            return
        self._target.header.stamp = to_time(time.time_ns())
        self._point.positions = doubles(self._targets[self._next])
        self._publisher.publish(self._target)
        self._next += self._moving

    def _feel(self, message: WrenchStamped) -> None:
        force, torque = message.wrench.force, message.wrench.torque
        self._sampler.feel((force.x, force.y, force.z, torque.x, torque.y, torque.z))

    def _supervised(self, message: String) -> None:
        self._latched = json.loads(message.data)["latched"]


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


def play(node: ExciteNode, log_file: Path, recorded: set[str], spin: Callable[[], None]) -> None:
    """Hold the arm until the recorder writes what it shall, play, wait for the arm to come to rest.

    Discovery takes seconds on a busy machine, and nobody but the file can tell that the recorder hears everybody.

    Args:
        node: plays.
        log_file: what the recorder writes.
        recorded: the topics that must be in it before the motion begins.
        spin: runs callbacks for a moment.

    Raises:
        Failed: if the arm does not come up, stands elsewhere, is stopped, or falls silent.
    """
    deadline = time.monotonic() + START_S
    while missing := recorded - recorded_topics(log_file):
        if time.monotonic() > deadline:
            raise Failed(f"nothing is recorded of {', '.join(sorted(missing))} after {START_S:.0f} s")
        node.hold()
        _spin_for(PAUSE_S, spin)
    node.start()
    print("the motion begins", flush=True)
    while not node.finished:
        spin()
        node.check()
    _spin_for(PAUSE_S, spin)
    node.check()
    print("the motion is over", flush=True)


def _spin_for(seconds: float, spin: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        spin()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--params", type=Path, required=True, help="JSON file with the parameters")
    params = json.loads(parser.parse_args().params.read_text())
    stopped, parent = False, os.getppid()

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node, executor = ExciteNode(params), light_executor()
    executor.add_node(node)

    def spin() -> None:
        if stopped or os.getppid() != parent:
            raise Failed("interrupted")
        executor.spin_once(timeout_sec=0.1)

    try:
        topics = Topics(**params["topics"])
        play(node, Path(params["log_file"]), {topics.joint_states, topics.command}, spin)
    except Failed as error:
        print(f"stopped: {error}", flush=True)
        sys.exit(1)
    finally:
        executor.remove_node(node)
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
