"""What a deployment is doing, in words, from what its processes say of themselves. No ROS object, no clock."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.deploy.easing import EASED

LOST_S = 1.6  # the supervisor speaks once per second, and whenever something changes
SILENT_S = 0.5  # without a target of an active policy
NOT_CURRENT = "Nothing below is current. If the arm moves, use its own emergency stop."


class Headline(NamedTuple):
    """The one thing to know. `tone`: "run", "wait", "hold", "stop", "lost" or "over"."""

    tone: str
    title: str
    text: str


class Now(NamedTuple):
    """What was measured lately.

    Attributes:
        at_rad: (k,) where the arm is; None where that was not heard lately.
        wanted_rad: (k,) the policy's last target; None where there is none of now.
        through_rad: (k,) the last setpoint that the supervisor let through; None where there is none of now.
    """

    at_rad: np.ndarray | None = None
    wanted_rad: np.ndarray | None = None
    through_rad: np.ndarray | None = None


class Situation:
    """Takes in what is said and tells what it means.

    Args:
        attempts: how many there shall be.
        scored: a virtual arm counts them; else the policy's side does.
        joints: names.
    """

    def __init__(self, attempts: int, scored: bool, joints: Sequence[str]) -> None:
        self.now = Now()
        self.notice = ""  # what became of the last wish, if it needs a word
        self._total, self._scored, self._joints = attempts, scored, tuple(joints)
        self._supervisor: dict[str, Any] = {}
        self._heard_s, self._target_s, self._active_s = -np.inf, -np.inf, -np.inf
        self._policy: dict[str, Any] = {}
        self._score: dict[str, Any] = {}
        self._last_stop: dict[str, Any] | None = None
        self._over = False

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """Those that were made."""
        made = self._score.get("attempts", []) if self._scored else self._policy.get("results", [])
        return made[: self._total]

    @property
    def finished(self) -> bool:
        """All of them were."""
        return bool(self._policy.get("finished")) and len(self.attempts) >= self._total

    def alive(self, now_s: float) -> bool:
        """The supervisor spoke lately."""
        return now_s - self._heard_s <= LOST_S

    def supervised(self, content: dict[str, Any], now_s: float) -> None:
        """Take in what the supervisor says."""
        self._supervisor, self._heard_s = content, now_s

    def acted(self, content: dict[str, Any], now_s: float) -> None:
        """Take in what the policy says."""
        if content["active"] and not self._policy.get("active"):
            self._active_s = now_s
        self._policy = content

    def scored(self, content: dict[str, Any]) -> None:
        """Take in what a virtual arm counted."""
        self._score = content

    def happened(self, event: dict[str, Any]) -> None:
        """Take in an event of supervisor or watchdog."""
        if event["what"] in ("stopped", "held"):
            self._last_stop = {key: event[key] for key in ("what", "cause", "line", "by", "last_s")}

    def wanted(self, now_s: float) -> None:
        """The policy's last target came then."""
        self._target_s = now_s

    def end(self) -> None:
        """The deployment is over."""
        self._over = True

    def headline(self, now_s: float) -> Headline:
        """The one thing to know: the gravest first."""
        stopped, held = self._supervisor.get("latched"), self._supervisor.get("held")
        why = _sentence(self._supervisor.get("why", ""))
        if self._over:
            return Headline(
                "over", self._result(), "The deployment has ended. This page does not follow the arm any more."
            )
        if not self.alive(now_s):
            heard = np.isfinite(self._heard_s)
            title = "No connection to the supervisor" if heard else "Waiting for the supervisor"
            return Headline("lost", title, NOT_CURRENT if heard else "It has not spoken yet.")
        if stopped:
            title = "Stopped by the operator" if stopped == "operator" else "Stopped"
            eased = " It may soon move back a little, to press no more." if stopped in EASED else ""
            return Headline("stop", title, f"{why} The arm stands until the stop is reset.{eased}")
        if held:
            return Headline("hold", "Held for a moment", f"{why} It goes on by itself when that is over.")
        if self.finished:
            return Headline("over", self._result(), "The arm is home and the command ends.")
        return self._working(now_s)

    def _working(self, now_s: float) -> Headline:
        policy = self._policy
        if policy.get("problem"):
            return Headline("wait", "Not ready", _sentence(policy["problem"]))
        if not policy.get("active"):
            if np.isfinite(self._active_s):
                return Headline("wait", "Paused", "Start goes on with the part, or tries it anew.")
            return Headline("wait", "Not started", "The policy is being prepared. Stay clear: it starts by itself.")
        if now_s - max(self._target_s, self._active_s) > SILENT_S:
            text = "It sends no targets, so the supervisor has brought the arm to rest. STOP keeps it there."
            return Headline("hold", "The policy is silent", text)
        title = f"Attempt {min(len(self.attempts) + 1, self._total)} of {self._total}"
        return Headline("run", title, f"The arm is {policy['phase']}.")

    def told(self, now_s: float) -> dict[str, Any]:
        """All of it as plain content, for a page."""
        alive, latched = self.alive(now_s), bool(self._supervisor.get("latched"))
        active, ended = bool(self._policy.get("active")), self.finished or self._over
        can_start = alive and not latched and not active and not ended and np.isfinite(self._active_s)
        return {
            **self.headline(now_s)._asdict(),
            "stage": "stopped" if latched else self._policy["phase"] if active else "not active",
            "made": len(self.attempts),
            "total": self._total,
            "succeeded": sum(bool(attempt["success"]) for attempt in self.attempts),
            "last_stop": self._last_stop,
            "interventions": self._supervisor.get("violations"),
            "left": bool((self._policy.get("domain") or {}).get("left")),
            "latched": latched,
            "notice": self.notice,
            "peak_force_N": self._supervisor.get("peak_force_N"),
            "ended": self._over,
            "joints": self._rows(),
            "can": {
                "stop": not self._over,
                "reset": alive and latched and not self._over,
                "start": bool(can_start),
                "pause": alive and active and not ended,
            },
        }

    def _rows(self) -> list[dict[str, Any]]:
        columns = (self.now.at_rad, self.now.wanted_rad, self.now.through_rad)
        return [
            {"name": name} | {key: _deg(column, i) for key, column in zip(("at", "wanted", "through"), columns)}
            for i, name in enumerate(self._joints)
        ]

    def _result(self) -> str:
        made, good = len(self.attempts), sum(bool(attempt["success"]) for attempt in self.attempts)
        if made >= self._total:
            return f"All {self._total} attempts are done: {good} succeeded"
        return f"Ended after {made} of {self._total} attempts: {good} succeeded"


def _deg(q_rad: np.ndarray | None, i: int) -> float | None:
    return None if q_rad is None else round(float(np.rad2deg(q_rad[i])), 2)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
