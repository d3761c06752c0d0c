"""What every node's process has in common: parameters, executor, signals, messages."""

import argparse
import contextlib
import gc
import json
import os
import signal
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PRIORITY = -10  # where the system allows it: other work on the machine must not delay what drives an arm
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class Closable(Protocol):
    """A node that has something to do before it goes."""

    def close(self) -> None:
        """Say the last word and write what must be written; the ROS context is still valid."""
        ...


def main(make: Callable[[dict[str, Any]], Any], executor_of: Callable[[], Executor] | None = None) -> None:
    """Run the node that `make` builds from the parameter file, until SIGINT, SIGTERM or the end of the parent."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--params", type=Path, required=True, help="JSON file with the node's parameters")
    params = json.loads(parser.parse_args().params.read_text())
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    parent = os.getppid()
    with contextlib.suppress(PermissionError):
        os.nice(PRIORITY)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = make(params)
    executor = (executor_of or light_executor)()
    executor.add_node(node)
    gc.collect()
    gc.freeze()  # what lives now lives on: later collections stay short
    try:
        while not stopped and os.getppid() == parent:
            executor.spin_once(timeout_sec=0.2)
    finally:
        node.close()
        executor.remove_node(node)
        node.destroy_node()
        rclpy.try_shutdown()


def light_executor() -> Executor:
    """rclpy's events executor, which takes half the time of the plain one, where this version has it."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def every(node: Node, period_s: float, callback: Callable[[], None]) -> None:
    """Call back on the steady clock."""
    node.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


def to_time(seconds_ns: int) -> Time:
    """Nanoseconds since the epoch -> a stamp."""
    return Time(sec=seconds_ns // 10**9, nanosec=seconds_ns % 10**9)


def from_time(stamp: Time) -> float:
    """A stamp -> seconds since the epoch."""
    return stamp.sec + stamp.nanosec * 1e-9


def wall_offset_ns() -> int:
    """What to add to the monotonic clock to get the wall clock."""
    return time.time_ns() - time.monotonic_ns()


def doubles(values: np.ndarray) -> array:
    """For a float64[] field: the type that its setter takes without looking at every element."""
    return array("d", values.tolist())
