"""The policy's lifecycle node.

Parameters: bundle, bundle_sha256, origin, envelope, attempts, joints, period_s, state_rate_hz, topics, next_part, task
and gripper of a handling cell, stats_file.
configure: load and verify the bundle, look at the arm's joint states, ask the supervisor, warm up. activate: run.
deactivate: hold.
"""

import json
import time
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robot_rlaas.bundle import load_bundle
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import Topics
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy import names
from robot_rlaas.deploy.counts import LATE
from robot_rlaas.deploy.cycle import Cycle, Phase, cycle_of
from robot_rlaas.deploy.inside import Inside
from robot_rlaas.deploy.ros.handling import CellTalk
from robot_rlaas.deploy.ros.process import LATCHED, RELIABLE, doubles, from_time, listen, main, stamp_ns, to_time
from robot_rlaas.deploy.sampling import Sampler
from robot_rlaas.deploy.senses import STALE_S
from robot_rlaas.files import write_json

ASK_AGAIN_S = 1.0
LATENCIES = 20_000  # that many are kept: memory stays as it is in a production run


class PolicyNode(LifecycleNode):
    """One joint target per control period, on the beat of the joint states."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__(names.POLICY_NODE)
        topics = Topics(**params["topics"])
        self._params, self._stats_file = params, Path(params["stats_file"])
        self._cell = CellTalk(self, params["task"], params["gripper"]) if params["task"] else None
        around = self._cell.around if self._cell else None
        feels = topics.wrench is not None
        self._sampler = Sampler(tuple(params["joints"]), params["period_s"], params["state_rate_hz"], feels, around)
        self._cycle: Cycle | None = None
        self._inside: Inside | None = None
        self._active, self._ask_at_s = False, float("inf")
        self._phase: Phase | None = None
        self._left = False
        self._latency_s: deque[float] = deque(maxlen=LATENCIES)
        self._stats: dict[str, Any] = {"results": [], "latency": {}, "domain": None}
        period = Duration(sec=0, nanosec=round(params["period_s"] * 1e9))
        self._target = JointTrajectory(joint_names=params["joints"])
        self._point = JointTrajectoryPoint(time_from_start=period)
        self._target.points = [self._point]
        self._send_target = self.create_publisher(JointTrajectory, names.TARGET, RELIABLE).publish
        self._send_seen = self.create_publisher(String, names.OBSERVATION, RELIABLE).publish
        self._send_status = self.create_publisher(String, names.POLICY, LATCHED).publish
        self._stopped, self._ready, self._told, self._sensed_ns = False, False, 0, 0
        self.create_subscription(String, names.SUPERVISOR, self._supervised, LATCHED)
        listen(self, self._sampler, topics, self._measure)
        self._feeder = self.create_client(Trigger, params["next_part"]) if params["next_part"] else None

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See the lifecycle."""
        try:
            self._configure()
        except Exception as error:  # rclpy would swallow it
            self.get_logger().error(f"{type(error).__name__}: {error}")
            self._tell(str(error))
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See the lifecycle."""
        self._active = True
        self._tell()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See the lifecycle. The last thing on the wire is the last target once more: a hold."""
        self._hold()
        self._tell()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See the lifecycle."""
        self._cycle = None
        return super().on_cleanup(state)

    def close(self) -> None:
        """Hold, if it still runs, and write what was measured."""
        self._hold()
        write_json(self._stats_file, self._stats)

    def _configure(self) -> None:
        bundle = load_bundle(self._params["bundle"])
        if bundle.sha256 != self._params["bundle_sha256"]:  # whoever started this has asked who vouches for that one
            raise InputError("the bundle was exchanged after it was checked", file=bundle.path, fix="deploy it again")
        self._sampler.check(time.time())
        if not self._ready:
            text = (
                "the supervisor or the recorder does not hear the arm's sensors yet, or its controller does not listen"
            )
            raise InputError(text, fix="start the arm's driver and its controller; check topics and domain")
        bundle = replace(bundle, envelope=Envelope.from_json(self._params["envelope"]))  # as the supervisor has it
        inside = self._inside = Inside(bundle.domain) if bundle.domain else None
        watched = (inside.watching,) if inside else ()
        self._cycle = cycle_of(bundle, self._params["attempts"], self._ask_for_part, *watched)

    def _measure(self, message: JointState) -> None:
        stamp_s = from_time(message.header.stamp)
        sensed = self._sampler.measure(list(message.name), list(message.position), stamp_s)
        if sensed is None or not self._active or self._cycle is None or self._stopped:
            return
        if time.time() - stamp_s > STALE_S:
            self.get_logger().warning(f"joint states are {time.time() - stamp_s:.2f} s old", throttle_duration_sec=1.0)
            return
        self._sensed_ns = stamp_ns(message.header.stamp)
        self._publish(self._cycle.step(sensed))
        self._latency_s.append(time.time() - stamp_s)
        left = self._inside is not None and self._inside.left
        if self._cycle.phase is not self._phase or left is not self._left:
            self._phase, self._left = self._cycle.phase, left
            self._tell()
        if stamp_s > self._ask_at_s:
            self._ask_for_part()

    def _supervised(self, message: String) -> None:
        """A stop of the arm leaves off what was begun: what becomes of it is the cycle's business."""
        told = json.loads(message.data)
        self._ready = told["ready"]
        self._stopped = bool(told["latched"]) or (told["held"] is not None and told["held"] not in LATE)
        if self._stopped and self._cycle is not None:
            self._cycle.stop()

    def _publish(self, target_rad: np.ndarray) -> None:
        self._target.header.stamp = to_time(time.time_ns())
        self._point.positions = doubles(target_rad)
        self._send_target(self._target)
        if self._cell is not None and self._cycle is not None:
            self._cell.tell(self._target.header.stamp, self._cycle.grip, self._cycle.machines)
        acted = self._cycle.acted if self._cycle else None
        seen, action = (acted.seen.tolist(), acted.action.tolist()) if acted else (None, None)
        sent_ns = stamp_ns(self._target.header.stamp)
        said = {"stamp_ns": sent_ns, "sensed_ns": self._sensed_ns, "seen": seen, "action": action}
        results = self._cycle.results if self._cycle else []
        said["result"] = results[-1]._asdict() if len(results) > self._told else None
        self._told = len(results)
        self._send_seen(String(data=json.dumps(said)))

    def _hold(self) -> None:
        if self._active and self._cycle is not None and self._cycle.target is not None:
            last = self._cycle.target
            self._cycle.stop()
            self._publish(last)
        self._active = False

    def _ask_for_part(self) -> None:
        self._ask_at_s = float("inf")
        self._sampler.forget()
        if self._feeder is None:
            return  # a camera will say when the next part lies there
        if not self._feeder.service_is_ready():
            self._ask_at_s = time.time() + ASK_AGAIN_S
            return
        self._feeder.call_async(Trigger.Request()).add_done_callback(self._part_answered)

    def _part_answered(self, future: Future) -> None:
        answer = future.result()
        if answer is None or not answer.success:
            self.get_logger().warning(f"no next part: {answer.message if answer else 'no answer'}")
            self._ask_at_s = time.time() + ASK_AGAIN_S
            return
        self._sampler.expect()

    def _tell(self, problem: str = "") -> None:
        """Publish and keep where the cycle stands."""
        results = self._cycle.results if self._cycle else []
        self._stats = {
            "results": [r._asdict() for r in results],
            "latency": _latency(self._latency_s),
            "domain": self._inside.told() if self._inside else None,
        }
        phase = str(self._phase) if self._phase else "not started"
        finished = self._cycle is not None and self._cycle.finished
        vouched = {"sha256": self._params["bundle_sha256"], "origin": self._params["origin"]}
        status = {"phase": phase, "finished": finished, "active": self._active, "problem": problem, "bundle": vouched}
        self._send_status(String(data=json.dumps(status | self._stats)))


def _latency(values_s: Collection[float]) -> dict[str, float]:
    """From the stamp of a joint state to the target computed from it."""
    if not values_s:
        return {}
    p50, p99, worst = np.percentile(np.array(values_s), [50, 99, 100])
    return {"count": len(values_s), "p50_s": p50, "p99_s": p99, "max_s": worst}


if __name__ == "__main__":
    main(PolicyNode)
