"""Faults that can be put between the nodes of a deployment, to see what stops the arm. No ROS object in here.

A fault acts on the messages of some links, or on a process. Everything random comes from a generator that is given.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

WITHIN_S = 0.2
Change = Callable[[Any, np.random.Generator], None]  # of a message, in place


class Link(StrEnum):
    """What flows from whom to whom."""

    STATES_POLICY = "joint states to the policy"
    STATES_SUPERVISOR = "joint states to the supervisor"
    WRENCH_POLICY = "wrench to the policy"
    WRENCH_SUPERVISOR = "wrench to the supervisor"
    TARGET = "targets to the supervisor"
    SETPOINTS = "setpoints to the watchdog"
    COMMAND = "commands to the arm"


STATES = (Link.STATES_POLICY, Link.STATES_SUPERVISOR)
WRENCH = (Link.WRENCH_POLICY, Link.WRENCH_SUPERVISOR)


class Fault(NamedTuple):
    """Something that goes wrong.

    Attributes:
        name: of it.
        causes: what may be named as the cause; one of them has to be.
        links: where messages suffer from it, and
        delivery: how: "drop", "half" (every other one at random), "delay", "twice", "swap" (pairs) or "on time".
        change: what is done to each message, or None.
        lasts_s: how long; a peak is short.
        late_s: of "delay".
        process: the name of one that suffers instead, and
        blow: what befalls it: "kill", "stop" (SIGSTOP, until the fault is over), "full" (it can write no more).
        stops: whether the arm has to come to rest. What does not matter must not stop it, nor break a limit.
        fast: it is put in while the arm moves fast.
        within_s: how soon the arm has to be at rest.
        once_named: counted from when somebody noticed: before that nothing was wrong yet.
    """

    name: str
    causes: tuple[str, ...]
    links: tuple[Link, ...] = ()
    delivery: str = "on time"
    change: Change | None = None
    lasts_s: float = 1.0
    late_s: float = 0.0
    process: str = ""
    blow: str = ""
    stops: bool = True
    fast: bool = False
    within_s: float = WITHIN_S
    once_named: bool = False


@dataclass
class Injector:
    """What comes out of a link for what goes into it.

    Attributes:
        rng: of everything random.
        fault: the present one, or None.
    """

    rng: np.random.Generator
    fault: Fault | None = None
    _before: dict[Link, Any] = field(default_factory=dict)

    def begin(self, fault: Fault) -> None:
        """From now on."""
        self.fault, self._before = fault, {}

    def end(self) -> None:
        """No more."""
        self.fault = None

    def suffers(self, link: Link) -> bool:
        """Whether this link's messages have to go through `take`."""
        return self.fault is not None and link in self.fault.links

    def take(self, link: Link, message: Any) -> list[tuple[float, Any]]:
        """A message -> (delay in s, message) of each that comes out."""
        fault = self.fault
        if fault is None or link not in fault.links:
            return [(0.0, message)]
        if fault.change is not None:
            message = copy.deepcopy(message)
            if fault.change is frozen:
                _freeze(self._before.setdefault(link, message), message)
            else:
                fault.change(message, self.rng)
        if fault.delivery == "drop" or (fault.delivery == "half" and self.rng.random() < 0.5):
            return []
        if fault.delivery == "twice":
            return [(0.0, message), (0.004, message)]
        if fault.delivery == "swap":
            held = self._before.pop(link, None)
            if held is None:
                self._before[link] = message
                return []
            return [(0.0, message), (0.004, held)]
        return [(fault.late_s, message)]


def frozen(message: Any, rng: np.random.Generator) -> None:
    """Marks a fault whose messages repeat the numbers of the first one, under stamps of their own."""


def _freeze(first: Any, message: Any) -> None:
    for name in ("position", "velocity", "effort", "wrench", "data"):
        if hasattr(message, name):
            setattr(message, name, getattr(first, name))


def values(where: str, change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Change:
    """A change of a message's numbers: of joint states' "position" or "effort", of a target's "points", of "data"."""

    def changed(message: Any, rng: np.random.Generator) -> None:
        holder, name = (message.points[0], "positions") if where == "points" else (message, where)
        setattr(holder, name, change(np.array(getattr(holder, name), dtype=float), rng).tolist())

    return changed


def one(value: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """One number, any, becomes this."""

    def changed(numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.where(np.arange(len(numbers)) == rng.integers(len(numbers)), value, numbers)

    return changed


def every(value: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """All numbers become this."""
    return lambda numbers, rng: np.full_like(numbers, value)


def turned(places: int) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """The numbers, each so many places further."""
    return lambda numbers, rng: np.roll(numbers, places)


def added(amount: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """So much more."""
    return lambda numbers, rng: numbers + amount


def noise(spread: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """Uniform noise, different in each message."""
    return lambda numbers, rng: numbers + rng.uniform(-spread, spread, len(numbers))


def shorter(numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Without the last number."""
    return numbers[:-1]


def stamped(seconds: float) -> Change:
    """Stamps that are so much later, as after a jump of a clock."""

    def changed(message: Any, rng: np.random.Generator) -> None:
        message.header.stamp.sec += int(seconds)

    return changed


def named(change: Callable[[list[str]], list[str]]) -> Change:
    """Other names of the joints, for the same numbers."""

    def changed(message: Any, rng: np.random.Generator) -> None:
        name = "joint_names" if hasattr(message, "joint_names") else "name"
        setattr(message, name, change(list(getattr(message, name))))

    return changed


def points(count: int) -> Change:
    """So many points in a target."""

    def changed(message: Any, rng: np.random.Generator) -> None:
        message.points = [message.points[0]] * count

    return changed


def force(newton: float) -> Change:
    """A force along the wrist's z instead of what is felt."""

    def changed(message: Any, rng: np.random.Generator) -> None:
        message.wrench.force.z = newton

    return changed
