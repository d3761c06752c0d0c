"""Puts faults between the nodes of a virtual arm's deployment, one after the other, and watches what the arm does.

Between the nodes stands a node of this process: it hands every message on, until a fault says otherwise. What is judged
is the arm's own state, as it publishes it, and what supervisor and watchdog say about the cause.
"""

import heapq
import itertools
import json
import os
import resource
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np
from geometry_msgs.msg import WrenchStamped
from lifecycle_msgs.msg import Transition
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from robot_rlaas.bundle import Bundle
from robot_rlaas.bundle.contents import NETWORK
from robot_rlaas.deploy import names
from robot_rlaas.deploy.faults import Fault, Injector, Link
from robot_rlaas.deploy.judged import State, Told, judge, line
from robot_rlaas.deploy.plan import Process, Station, plan
from robot_rlaas.deploy.ros.definitions import message_class
from robot_rlaas.deploy.ros.panel import Panel, on_domain
from robot_rlaas.deploy.ros.process import RELIABLE, every, stamp_ns
from robot_rlaas.deploy.run import started

MOVING_RAD_S, FAST_RAD_S = 0.10, 0.30
READY_S, AFTER_S = 60.0, 0.3
PHASE_S = 0.2  # a fault begins at random within so long after the arm was seen moving
UNLIMITED = resource.RLIM_INFINITY, resource.RLIM_INFINITY
TORQUE_Nm = (150.0, 150.0, 150.0, 28.0, 28.0, 28.0)  # of a UR5e, by its ROS description; its driver reports currents


class Drill(Panel):
    """One deployment on a virtual arm with a node of this process between its nodes. Use `drill` to get one."""

    def __init__(self, running: dict[str, Popen[bytes]], station: Station, seed: int) -> None:
        super().__init__("drill", (names.SUPERVISOR, names.POLICY, names.SCORE))
        self._running, self._limits = running, station.limits.envelope
        self._order = [station.profile.joints.index(name) for name in station.chain.joints]
        self._rng = np.random.default_rng(seed)
        self._injector = Injector(np.random.default_rng(self._rng.integers(2**32)))
        self._states: deque[State] = deque(maxlen=2000)
        self._events: list[tuple[float, str]] = []
        self._waiting: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._number = itertools.count()
        self._outs = list[Publisher]()
        self._links(station)
        self.node.create_subscription(String, names.EVENTS, self._note, RELIABLE)
        every(self.node, 0.005, self._release)

    def start(self) -> None:
        """See `Panel`: once everybody hears what is handed on."""
        self.until(self._is_heard, "a node does not listen to the drill")
        super().start()

    def refuses(self, fault: str, word: str) -> Told:
        """Try to configure a policy that must not run: it says why, with this word, and the arm stands."""
        refused = not self.transition(Transition.TRANSITION_CONFIGURE)
        self.until(lambda: bool(self._states), "the arm says nothing")
        begin_s = time.time()
        self.spin(1.0)
        problem = str(self.heard.get(names.POLICY, {}).get("problem", ""))
        told = self._judge(Fault(fault, (), stops=True), begin_s)
        return told._replace(causes=(problem,), ok=told.ok and refused and word in problem)

    def survive(self, fault: Fault) -> Told:
        """Wait until the arm moves, put the fault in, watch, take it out, and reset what was latched.

        Raises:
            TimeoutError: if the arm does not move, or does not move again.
        """
        self._until_moving(FAST_RAD_S if fault.fast else MOVING_RAD_S)
        self.spin(float(self._rng.uniform(0.0, PHASE_S)))
        self._until_moving(FAST_RAD_S if fault.fast else MOVING_RAD_S)
        begin_s = time.time()
        self._begin(fault)
        self.spin(fault.lasts_s)
        self._end(fault)
        self.spin(max(AFTER_S, 1.0 - fault.lasts_s))
        told = self._judge(fault, begin_s)
        if self._alive:
            self.reset()
        return told

    def reset(self) -> None:
        """What somebody does who has seen to the cause."""
        self.spin(0.3)
        for service in (names.WATCHDOG_RESET, names.RESET):
            self.call(Trigger, service, Trigger.Request())

    @property
    def _alive(self) -> bool:
        return all(process.poll() is None for process in self._running.values())

    def _is_heard(self) -> bool:
        return all(publisher.get_subscription_count() for publisher in self._outs)

    def _links(self, station: Station) -> None:
        topics = station.profile.topics
        sensor, reliable = qos_profile_sensor_data, RELIABLE
        for source, kind, qos, links in (
            (topics.joint_states, JointState, sensor, (Link.STATES_POLICY, Link.STATES_SUPERVISOR)),
            (topics.felt, WrenchStamped, sensor, (Link.WRENCH_POLICY, Link.WRENCH_SUPERVISOR)),
            (names.TARGET, JointTrajectory, reliable, (Link.TARGET,)),
            (names.SETPOINTS, Float64MultiArray, reliable, (Link.SETPOINTS,)),
            (topics.command, message_class(station.profile.command_type), reliable, (Link.COMMAND,)),
        ):
            made = [self.node.create_publisher(kind, _beyond(link), qos) for link in links]
            self._outs += made
            outs = {link: publisher.publish for link, publisher in zip(links, made)}
            self.node.create_subscription(kind, source, self._hand_on(kind, outs), qos, raw=True)

    def _hand_on(self, kind: Any, outs: dict[Link, Callable[[Any], None]]) -> Callable[[Any], None]:
        def take(raw: Any) -> None:
            message = deserialize_message(raw, kind) if kind is JointState else None
            if message is not None:
                self._see(message)
            for link, publish in outs.items():
                if not self._injector.suffers(link):
                    publish(raw)
                    continue
                for delay_s, changed in self._injector.take(link, deserialize_message(raw, kind)):
                    entry = (time.monotonic() + delay_s, next(self._number), publish, serialize_message(changed))
                    heapq.heappush(self._waiting, entry)
            self._release()

        return take

    def _release(self) -> None:
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, _, publish, message = heapq.heappop(self._waiting)
            publish(message)

    def _see(self, message: JointState) -> None:
        stamp_s = stamp_ns(message.header.stamp) * 1e-9
        order = self._order
        self._states.append(State(stamp_s, np.array(message.position)[order], np.array(message.velocity)[order]))

    def _note(self, message: String) -> None:
        event = json.loads(message.data)
        self._events.append((event["last_s"], event["cause"]))

    def _until_moving(self, speed_rad_s: float) -> None:
        def moving() -> bool:
            recent = [v for t, _, v in list(self._states)[-8:] if time.time() - t < 0.15]
            supervisor = self.heard.get(names.SUPERVISOR, {})
            free = not supervisor.get("latched") and not supervisor.get("held")
            return free and len(recent) > 3 and bool(np.abs(recent).max(axis=1).min() > speed_rad_s)

        self.until(moving, "the arm does not move", READY_S)

    def _begin(self, fault: Fault) -> None:
        if fault.links:
            self._injector.begin(fault)
            return
        pid = self._running[fault.process].pid
        if fault.blow == "full":
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        else:
            os.kill(pid, signal.SIGKILL if fault.blow == "kill" else signal.SIGSTOP)

    def _end(self, fault: Fault) -> None:
        self._injector.end()
        if fault.blow == "stop":
            os.kill(self._running[fault.process].pid, signal.SIGCONT)
        elif fault.blow == "full":
            resource.prlimit(self._running[fault.process].pid, resource.RLIMIT_FSIZE, UNLIMITED)

    def _judge(self, fault: Fault, begin_s: float) -> Told:
        if fault.once_named:
            begin_s = min((at for at, cause in self._events if at > begin_s and cause in fault.causes), default=begin_s)
        moved = [state for state in self._states if state[0] > begin_s]
        causes = tuple(dict.fromkeys(cause for at, cause in self._events if at >= begin_s))
        keep_out = bool(self.heard.get(names.SCORE, {}).get("current", {}).get("keep_out"))
        return judge(fault, begin_s, moved, causes, keep_out, self._limits)


def _beyond(link: Link) -> str:
    return "/drill/" + link.name.lower()


def _remapped(process: Process, station: Station) -> Process:
    """A process that listens to what comes out of the drill's node."""
    topics = station.profile.topics
    own = {
        "policy": {topics.joint_states: Link.STATES_POLICY, topics.felt: Link.WRENCH_POLICY},
        "supervisor": {
            topics.joint_states: Link.STATES_SUPERVISOR,
            topics.felt: Link.WRENCH_SUPERVISOR,
            names.TARGET: Link.TARGET,
        },
        "watchdog": {names.SETPOINTS: Link.SETPOINTS},
        "virtual_arm": {topics.command: Link.COMMAND},
    }.get(process.name, {})
    ros_args = [word for topic, link in own.items() for word in ("-r", f"{topic}:={_beyond(link)}")]
    return process._replace(ros_args=tuple(ros_args))


@contextmanager
def drill(bundle: Bundle, out: Path, *, seed: int, domain_id: int, plant: str = "ur5e_worn") -> Iterator[Drill]:
    """A deployment of a bundle on a virtual arm that faults can be put into, from start to end.

    Args:
        bundle: loaded with a Trust.
        out: where the processes' files go.
        seed: of the virtual arm's parts and of everything random in the faults.
        domain_id: of ROS.
        plant: how the virtual arm differs from the nominal one.
    """
    shutil.rmtree(out, ignore_errors=True)
    station = Station(bundle.cell, bundle.chain, bundle.envelope, capsules=bundle.capsules)
    asked = {"attempts": 10**6, "arm": "virtual", "plant": plant, "seed": seed, "domain_id": domain_id}
    planned = plan(bundle, out, **asked, domain="tell")  # each fault is judged by what else stops the arm
    processes = [_remapped(process, station) for process in planned if process.name != "conductor"]
    next(p for p in processes if p.name == "supervisor").params["arm"]["torque_Nm"] = list(TORQUE_Nm)
    with started(processes, out) as running, on_domain(domain_id):
        one = Drill(running, station, seed)
        try:
            yield one
        finally:
            one.close()


def survive_all(
    bundle: Bundle,
    faults: Sequence[Fault],
    out: Path,
    *,
    seed: int,
    domain_id: int,
    tell: Callable[[str], None] = print,
) -> list[Told]:
    """One fault after the other; after one that a process did not survive, everything starts anew."""
    results: list[Told] = []
    while len(results) < len(faults):
        with drill(bundle, out, seed=seed + len(results), domain_id=domain_id) as one:
            one.start()
            for fault in faults[len(results) :]:
                results.append(one.survive(fault))
                tell(line(results[-1]))
                if fault.blow in ("kill", "full"):
                    break
    return results


def tampered(bundle: Bundle, out: Path, *, seed: int, domain_id: int) -> Told:
    """A byte of the bundle changes after it was checked and before the policy's node loads it."""
    shutil.rmtree(copy := out.with_name("tampered"), ignore_errors=True)
    shutil.copytree(bundle.path, copy)
    with drill(replace(bundle, path=copy), out, seed=seed, domain_id=domain_id) as one:
        content = bytearray((copy / NETWORK).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / NETWORK).write_bytes(content)
        return one.refuses("bundle: a byte changed", NETWORK)
