"""Takes the policy's node through its lifecycle and tells how it goes, one line per event, on standard output.

Parameters: attempts, scored (a virtual arm counts), timeout_s, attended. Exit code 0: all attempts were made; 1: they
were not. If somebody attends, the page must be up before the policy is activated, and a stop ends nothing: whoever sits
there resets it, or ends the deployment.
"""

import argparse
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from robot_rlaas.deploy import names
from robot_rlaas.deploy.ros.process import LATCHED, RELIABLE, light_executor
from robot_rlaas.deploy.ui import VARIABLE

START_S, ANSWER_S, TRIES = 30.0, 5.0, 3
LEADS_TO = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
}


class Interrupted(Exception):
    """Somebody asked to stop."""


class Failed(Exception):
    """The deployment cannot go on; the message says why."""


class Conductor:
    """Drives one policy node. Use as a context manager: it always leaves the policy deactivated."""

    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params
        self._policy, self._score, self._supervisor, self._page = {}, {}, {}, {}
        self._waiting = False
        self._told, self._stopped, self._parent = 0, False, os.getppid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def __enter__(self) -> "Conductor":
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("rlaas_conductor")
        self._executor = light_executor()
        self._executor.add_node(self._node)
        topics = {
            names.POLICY: "_policy",
            names.SCORE: "_score",
            names.SUPERVISOR: "_supervisor",
            names.PAGE: "_page",
        }
        for topic, name in topics.items():
            self._node.create_subscription(String, topic, self._keep(name), LATCHED)
        self._node.create_subscription(String, names.EVENTS, self._tell_event, RELIABLE)
        self._node.create_subscription(String, names.PERCEPTION, self._tell_perception, LATCHED)
        self._change = self._node.create_client(ChangeState, f"{names.POLICY_NODE}/change_state")
        self._get = self._node.create_client(GetState, f"{names.POLICY_NODE}/get_state")
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = False
        try:
            if self._change.service_is_ready() and self._state() == State.PRIMARY_STATE_ACTIVE:
                self._transition(Transition.TRANSITION_DEACTIVATE)
                self._transition(Transition.TRANSITION_CLEANUP)
        except Failed as error:
            print(f"the policy was not deactivated: {error}", flush=True)
        self._executor.remove_node(self._node)
        self._node.destroy_node()
        rclpy.try_shutdown()

    def run(self) -> None:
        """Configure, activate, wait until all attempts are made.

        Raises:
            Failed: if a node does not come up, a transition fails, the supervisor stops the arm, or time runs out.
            Interrupted: on SIGINT or SIGTERM.
        """
        self._until(self._change.service_is_ready, START_S, "the policy's node does not come up")
        self._configure()
        if self._params["attended"]:
            self._until(lambda: bool(self._page), START_S, "the operator's page does not come up")
            print(f"the operator's page: {os.environ[VARIABLE]}", flush=True)
        if not self._transition(Transition.TRANSITION_ACTIVATE):
            raise Failed("the policy's node refuses to activate")
        print("the policy is active", flush=True)
        timeout_s = math.inf if self._params["attended"] else self._params["timeout_s"]
        self._until(self._finished, timeout_s, "the attempts take too long")

    def _configure(self) -> None:
        """The arm may still be starting: ask again until it answers, or time is up."""
        deadline = time.monotonic() + START_S
        while not self._transition(Transition.TRANSITION_CONFIGURE):
            if time.monotonic() > deadline:
                raise Failed(
                    f"the policy's node cannot be configured: {self._policy.get('problem', 'no reason given')}"
                )
            self._spin(1.0)

    def _finished(self) -> bool:
        attempts = self._score.get("attempts", []) if self._params["scored"] else self._policy.get("results", [])
        for i, attempt in enumerate(attempts[self._told :], start=self._told + 1):
            print(f"attempt {i} of {self._params['attempts']}: {_words(attempt)}", flush=True)
        self._told = len(attempts)
        latched = bool(self._supervisor.get("latched"))
        if latched and not self._waiting:
            text = f"the supervisor stopped the arm: {self._supervisor['why']}; to go on: {names.RESET}"
            if not self._params["attended"]:
                raise Failed(text)
            print(text, flush=True)
        self._waiting = latched
        return bool(self._policy.get("finished")) and len(attempts) >= self._params["attempts"]

    def _transition(self, number: int) -> bool:
        """Make a step of the lifecycle. An answer that is sent before its asker is known gets lost: ask again."""
        request = ChangeState.Request(transition=Transition(id=number))
        for _ in range(TRIES):
            answer = self._answer(self._change, request)
            if answer is not None:
                return answer.success
            if self._state() == LEADS_TO[number]:
                return True
        raise Failed("the policy's node does not answer change_state")

    def _state(self) -> int:
        for _ in range(TRIES):
            answer = self._answer(self._get, GetState.Request())
            if answer is not None:
                return answer.current_state.id
        raise Failed("the policy's node does not answer get_state")

    def _answer(self, client: Any, request: Any) -> Any:
        """None if there is none in time."""
        future, deadline = client.call_async(request), time.monotonic() + ANSWER_S
        while not future.done() and time.monotonic() < deadline:
            self._spin(0.1)
        return future.result() if future.done() else None

    def _until(self, condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                phase = self._policy.get("phase", "not started")
                raise Failed(f"{complaint} ({timeout_s:.0f} s; the policy is {phase})")
            self._spin(0.1)

    def _spin(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._stopped or os.getppid() != self._parent:
                raise Interrupted
            self._executor.spin_once(timeout_sec=min(left, 0.1))
            if seconds <= 0.1:
                return

    def _keep(self, name: str) -> Callable[[String], None]:
        return lambda message: setattr(self, name, json.loads(message.data))

    def _tell_event(self, message: String) -> None:
        event = json.loads(message.data)
        print(f"  {event['by']}: {event['line']}", flush=True)

    def _tell_perception(self, message: String) -> None:
        print(f"  camera: {json.loads(message.data)['text']}", flush=True)

    def _stop(self, *_: object) -> None:
        self._stopped = True


def _words(attempt: dict[str, Any]) -> str:
    if not attempt["success"]:
        return f"failed, peak force {attempt['peak_force_N']:.0f} N"
    return f"success in {attempt['cycle_time_s']:.1f} s, peak force {attempt['peak_force_N']:.0f} N"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--params", type=Path, required=True, help="JSON file with the parameters")
    params = json.loads(parser.parse_args().params.read_text())
    try:
        with Conductor(params) as conductor:
            conductor.run()
    except (Failed, Interrupted) as error:
        print(f"stopped: {error or 'interrupted'}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
