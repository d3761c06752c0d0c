"""A demonstrator's line to the arm, in this process: where a policy has a node of its own, a person has this."""

import json
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robot_rlaas.deploy import names
from robot_rlaas.deploy.counts import LATE
from robot_rlaas.deploy.cycle import Sensed
from robot_rlaas.deploy.events import KEPT
from robot_rlaas.deploy.plan import Station, arm_processes
from robot_rlaas.deploy.ros.panel import on_domain
from robot_rlaas.deploy.ros.process import (
    LATCHED,
    RELIABLE,
    URGENT,
    doubles,
    from_time,
    light_executor,
    listen,
    to_time,
)
from robot_rlaas.deploy.run import DeploymentError, look_after, started
from robot_rlaas.deploy.sampling import Sampler
from robot_rlaas.deploy.senses import STALE_S

START_S = 40.0
ASK_AGAIN_S = 1.0
ENDS = ("resumed", "reset")  # events that take nothing from the arm


class HandNode(Node):
    """See `Wire`.

    Args:
        station: the arm.
        fed: it is a virtual one, with a feeder and a score.
        running, out: the processes that must live, and where they log.
    """

    def __init__(self, station: Station, fed: bool, running: Mapping[str, subprocess.Popen[bytes]], out: Path) -> None:
        super().__init__("rlaas_hand")
        profile, period_s = station.profile, station.cell.period_s
        topics, joints = profile.topics, station.chain.joints
        self._running, self._out, self._fed, self._patience_s = running, out, fed, 2 * period_s
        self._sampler = Sampler(joints, period_s, profile.state_rate_hz)
        self._sensed: Sensed | None = None
        self._supervisor: dict[str, Any] = {}
        self._ask_at_s = np.inf
        self._interventions: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self.score: dict[str, Any] | None = None
        self._point = JointTrajectoryPoint(time_from_start=Duration(nanosec=round(period_s * 1e9)))
        self._target = JointTrajectory(joint_names=list(joints), points=[self._point])
        self._targets = self.create_publisher(JointTrajectory, names.TARGET, RELIABLE)
        self.create_subscription(String, names.SUPERVISOR, self._supervised, LATCHED)
        self.create_subscription(String, names.EVENTS, self._happened, RELIABLE)
        self.create_subscription(String, names.SCORE, self._scored, LATCHED)
        listen(self, self._sampler, topics, self._measure)
        self._feeder = self.create_client(Trigger, names.NEXT_PART)
        self._resetter = self.create_client(Trigger, names.RESET)
        self._executor = light_executor()
        self._executor.add_node(self)

    def close(self) -> None:
        """Leave ROS."""
        self._executor.remove_node(self)
        self.destroy_node()

    def wait_for_arm(self) -> None:
        """Until everybody is there.

        Raises:
            InputError: if the arm's joint states are not what the hardware profile says, or do not come.
            DeploymentError: if a process ends, or somebody else is missing.
        """
        deadline = time.monotonic() + START_S
        while True:
            self._spin(0.2)
            look_after(self._running, self._out)
            ready = self._supervisor.get("ready") and self._targets.get_subscription_count() > 0
            fed = not self._fed or (self.score is not None and self._feeder.service_is_ready())
            if ready and fed:
                return self._sampler.check(time.time())
            if time.monotonic() > deadline:
                self._sampler.check(time.time())
                raise DeploymentError(f"the arm is not ready after {START_S:.0f} s; the supervisor: {self._supervisor}")

    @property
    def stopped(self) -> str:
        """See `Wire`. A machine that is late for a moment is none."""
        told = self._supervisor
        held = told.get("held")
        return told["why"] if told.get("latched") or (held is not None and held not in LATE) else ""

    @property
    def stepped_in(self) -> int:
        """See `Wire`."""
        return int(self._supervisor.get("violations", 0))

    def stepped_in_after(self, time_s: float) -> float:
        """See `Wire`."""
        return min(
            (max(first_s, time_s) for first_s, last_s in self._interventions if last_s >= time_s), default=np.inf
        )

    def listen(self) -> None:
        """See `Wire`."""
        look_after(self._running, self._out)
        deadline = time.monotonic() + self._patience_s
        while self._sensed is None and (left_s := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left_s)
        if time.monotonic() > self._ask_at_s:
            self.next_part()

    def take(self) -> Sensed | None:
        """See `Wire`."""
        sensed, self._sensed = self._sensed, None
        if sensed is not None and time.time() - sensed.time_s > STALE_S:
            self.get_logger().warning("joint states are too old to act upon", throttle_duration_sec=1.0)
            return None
        return sensed

    def send(self, target_rad: np.ndarray) -> None:
        """See `Wire`."""
        self._target.header.stamp = to_time(time.time_ns())
        self._point.positions = doubles(target_rad)
        self._targets.publish(self._target)

    def next_part(self) -> None:
        """See `Wire`. A camera says when one lies there."""
        self._sampler.plate, self._ask_at_s = None, np.inf
        if self._fed:
            self._feeder.call_async(Trigger.Request()).add_done_callback(self._part_answered)

    def clear(self) -> None:
        """See `Wire`."""
        self._resetter.call_async(Trigger.Request())

    def _spin(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left_s)

    def _part_answered(self, future: Future) -> None:
        answer = future.result()
        if answer is None or not answer.success:
            self._ask_at_s = time.monotonic() + ASK_AGAIN_S

    def _measure(self, message: JointState) -> None:
        stamp_s = from_time(message.header.stamp)
        sensed = self._sampler.measure(list(message.name), list(message.position), stamp_s)
        self._sensed = sensed or self._sensed

    def _supervised(self, message: String) -> None:
        self._supervisor = json.loads(message.data)

    def _happened(self, message: String) -> None:
        event = json.loads(message.data)
        if event["what"] not in ENDS:
            self._interventions.append((event["first_s"], event["last_s"]))

    def _scored(self, message: String) -> None:
        self.score = json.loads(message.data) if self._fed else None


@contextmanager
def hand(station: Station, out: Path, *, arm: str, plant: str, seed: int, domain_id: int | None) -> Iterator[HandNode]:
    """A line to an arm that is there, under its supervisor and its watchdog, while the block lasts.

    Args:
        out: gets the log, what the supervisor did, the virtual arm's score, and the processes' own logs.

    The other arguments are those of `arm_processes`.

    Raises:
        InputError: if an argument cannot be used, or the joint states are not what the hardware profile says.
        DeploymentError: if a process ends.
    """
    _ = station.profile.topics.felt  # what a demonstrator's arm feels is recorded
    processes = arm_processes(station, out, arm=arm, plant=plant, seed=seed, domain_id=domain_id)
    with started(processes, out) as running, on_domain(domain_id, URGENT):
        node = HandNode(station, arm == "virtual", running, out)
        try:
            node.wait_for_arm()
            yield node
        finally:
            node.close()
