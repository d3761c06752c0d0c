"""A supervisor in simulated time, with sensors that speak before every tick and an arm that follows a little later."""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.spec import load_cell
from robot_rlaas.deploy.events import Event
from robot_rlaas.deploy.supervisor import UNKNOWN, Arm, Supervisor
from robot_rlaas.sim.model import build

CELL = load_cell("peg_insertion")
WORKCELL = build(CELL)
CHAIN, ENVELOPE = WORKCELL.chain, WORKCELL.envelope
HOME = np.deg2rad(np.array(CELL.robot.home_deg))
PERIOD_S, TICK_S = 0.05, 0.01
AGE_S, NOISE = 0.002, 1e-9


class Sent(NamedTuple):
    time_s: float
    setpoint: np.ndarray


class Bench:
    """A supervisor, its ticks, and its arm.

    Attributes:
        force: what the wrist feels, N.
        speaks: which sensors do.
        frozen: which of them repeat themselves.
        torque_Nm: what the joints tell, if anything.
        follows: to what share the arm goes where it is sent,
        lag_ticks: and how much later.
    """

    def __init__(self, arm: Arm = UNKNOWN, envelope=ENVELOPE, period_s: float = PERIOD_S) -> None:
        self.supervisor = Supervisor(CHAIN, envelope, period_s, TICK_S, arm)
        self.now_s, self.sent, self.rng = 0.0, list[Sent](), np.random.default_rng(0)
        self.force, self.torque_Nm = (0.0, 0.0, 5.0), ()
        self.speaks, self.frozen, self.follows = {"joint_states", "wrench"}, set[str](), 1.0
        self.lag_ticks = 3
        self._last = {"joint_states": HOME, "wrench": np.zeros(3)}
        self.run(0.1)

    def run(self, seconds: float, arrivals: list[tuple[float, np.ndarray]] | None = None) -> None:
        """Tick on; each target of `arrivals` (time, joints) is received when its time has come."""
        queue = sorted(arrivals or [], key=lambda a: a[0])
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            while queue and queue[0][0] < self.now_s:
                time_s, target = queue.pop(0)
                self.supervisor.receive(CHAIN.joints, list(target), AGE_S, time_s)
            self._sense()
            sent = self.supervisor.tick(self.now_s)
            if sent is not None:
                self.sent.append(Sent(self.now_s, sent))

    def give(self, target: np.ndarray, names=CHAIN.joints, age_s: float = AGE_S, sent_ns=None) -> str | None:
        return self.supervisor.receive(names, list(target), age_s, self.now_s + 0.001, sent_ns)

    def _sense(self) -> None:
        at = HOME
        if len(self.sent) >= self.lag_ticks:
            at = HOME + self.follows * (self.sent[-self.lag_ticks].setpoint - HOME)
        new = {"joint_states": at + NOISE * self.rng.normal(size=6)}
        new["wrench"] = np.array(self.force) + NOISE * self.rng.normal(size=3)
        for name in ("joint_states", "wrench"):
            if name not in self.frozen:
                self._last[name] = new[name]
        if "wrench" in self.speaks:
            self.supervisor.feel(self._last["wrench"], self.now_s)
        if "joint_states" in self.speaks:
            self.supervisor.measure(CHAIN.joints, list(self._last["joint_states"]), self.now_s, self.torque_Nm)

    @property
    def counts(self):
        return self.supervisor.counts

    @property
    def path(self) -> np.ndarray:
        return np.array([s.setpoint for s in self.sent])

    @property
    def measured(self) -> np.ndarray:
        """What the joints told last."""
        return self._last["joint_states"]

    @property
    def moving(self) -> bool:
        return bool(np.abs(self.path[-1] - self.path[-2]).max() > 1e-9)

    def events(self) -> list[Event]:
        """All of the journal."""
        return list(self.supervisor.journal)

    def noted(self) -> set[tuple[str, str, str]]:
        """What, cause and joint of all of the journal."""
        return {(event.what, event.cause, event.joint) for event in self.events()}


def sway(count: int, amplitude: float = 0.05) -> np.ndarray:
    """Targets that start and end at rest at home."""
    s = np.minimum(np.arange(1, count + 1) / (count - 2), 1.0)
    return HOME + amplitude * np.sin(np.pi * s)[:, None] ** 2 * np.array([1, -1, 0.5, 0.3, 0.2, -1])


def steady(count: int, speed_rad_s: float = 0.4, joint: int = 5) -> np.ndarray:
    """Targets of one joint that turns at one speed."""
    return HOME + np.arange(1, count + 1)[:, None] * PERIOD_S * speed_rad_s * np.eye(6)[joint]


def on_time(targets: np.ndarray, start_s: float, period_s: float = PERIOD_S) -> list[tuple[float, np.ndarray]]:
    return [(start_s + i * period_s, target) for i, target in enumerate(targets)]


def acceleration(path: np.ndarray) -> float:
    """The largest part of the acceleration limit that a path of setpoints takes."""
    return float((np.abs(np.diff(path, 2, axis=0)) / TICK_S**2 / ENVELOPE.acceleration_rad_s2).max())
