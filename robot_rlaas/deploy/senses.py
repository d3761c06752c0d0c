"""What a supervisor makes of the arm's sensors: whether they still speak, still change, and stay within limits."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

STALE_S, FUTURE_S = 0.15, 0.1  # stamps of what is measured now
LOST_S = 0.5  # a sensor silent for so long is lost, not late
FROZEN_S, FROZEN_TIMES = 0.04, 3  # for so long and so often the same bits, while the arm should move: no measurement
FROZEN_RAD = 0.005  # how far it should have moved
LAG_S = 0.04  # of an arm behind its setpoints
FOLLOW_RAD = 0.15  # further behind them than that, it does not follow
STUCK_S, STUCK_RAD, STUCK_SHARE = 0.15, 0.02, 0.1  # nor if it does not move so late, by so much, to so small a share,
FREE_N = 10.0  # and feels no more than that: nothing holds it
PEAK_S = 0.1  # so long a force or a torque may be too large before the stop is latched


class Trouble(NamedTuple):
    """Why the arm has to stand. `lasting_s`: it may go on for so long until somebody has to look.

    `cause`, `joint`, `value`, `limit`, `unit` and `text` are those of an Event.
    """

    cause: str
    text: str
    lasting_s: float = 0.0
    joint: str = ""
    value: float = float("nan")
    limit: float = float("nan")
    unit: str = ""


@dataclass
class Source:
    """One stream of messages: when it was last heard, when it last said something new, and whether it is stuck."""

    name: str
    heard_s: float = -np.inf
    changed_s: float = -np.inf
    sent_ns: int = 0
    content: tuple[float, ...] = ()
    repeated: int = 0
    frozen: bool = False
    wrong: str = ""

    def take(self, content: Sequence[float], now_s: float, age_s: float, sent_ns: int | None) -> bool:
        """Whether a message is a measurement of now."""
        values = tuple(content)
        if sent_ns is not None and sent_ns <= self.sent_ns and now_s - self.heard_s < LOST_S:
            self.wrong = "they repeat an old stamp"
        elif not -FUTURE_S <= age_s <= STALE_S:
            self.wrong = f"they are stamped {abs(age_s):.2f} s {'ago' if age_s > 0 else 'ahead'}"
        elif not all(map(math.isfinite, values)):
            self.wrong = "they are not finite"
        else:
            self.repeated += 1
            if values != self.content:
                self.content, self.changed_s, self.repeated, self.frozen = values, now_s, 0, False
            self.heard_s, self.sent_ns, self.wrong = now_s, sent_ns or 0, ""
            return True
        return False

    def excuse(self, gap_s: float) -> None:
        """Whoever listens was away for so long: what it did not hear then proves nothing."""
        self.heard_s, self.changed_s = self.heard_s + gap_s, self.changed_s + gap_s


class Senses:
    """The sensors of one arm.

    Args:
        joints: names, the order of every vector.
        force_N: wrist force that is too much.
        torque_Nm: (k,) joint torques that are too much; None where the arm does not tell them.
        quiet_s: a sensor silent for so long is too late to go on.
        feels: it measures a wrench at its wrist; else nobody waits for one.

    Attributes:
        measured: (k,) the joint angles heard last, rad.
        felt: (6,) the wrench heard last, against its zero, N and N m.
        torque_share: (k,) the torques heard last as shares of their limits, without sign; zeros where there are none.
        peak_force_N: the largest force so far.
    """

    def __init__(
        self, joints: tuple[str, ...], force_N: float, torque_Nm: np.ndarray | None, quiet_s: float, feels: bool = True
    ) -> None:
        self.measured, self.felt, self.torque_share = np.zeros(len(joints)), np.zeros(6), np.zeros(len(joints))
        self.peak_force_N = 0.0
        self._joints, self._force_N, self._torque_Nm, self._quiet_s = joints, force_N, torque_Nm, quiet_s
        self.states, self.wrench = Source("joint_states"), Source("wrench")
        self._sources = (self.states, self.wrench) if feels else (self.states,)
        self._zero, self._zero_count = np.zeros(6), 0
        self._force, self._torque = 0.0, np.zeros(len(joints))  # the worst since the last look
        self._path: deque[tuple[float, np.ndarray]] = deque(maxlen=500)
        self._track: deque[tuple[float, np.ndarray]] = deque(maxlen=300)
        self._felt_N = 0.0

    def measure(
        self,
        names: Sequence[str],
        position_rad: Sequence[float],
        now_s: float,
        torque_Nm: Sequence[float] = (),
        age_s: float = 0.0,
        sent_ns: int | None = None,
    ) -> None:
        """Take in measured joint angles and torques, in any order and with other joints among them."""
        at = {name: i for i, name in enumerate(names)}
        missing = [name for name in self._joints if name not in at]
        if missing or len(position_rad) != len(names):
            self.states.wrong = f"they lack {', '.join(missing) or 'positions'}"
            return
        order = [at[name] for name in self._joints]
        position = [position_rad[i] for i in order]
        if not self.states.take(position, now_s, age_s, sent_ns):
            return
        self.measured = np.array(position)
        if self._track and now_s - self._track[-1][0] > self._quiet_s:
            self._track.clear()  # what it did meanwhile nobody knows
        self._track.append((now_s, self.measured))
        if self._torque_Nm is not None and len(torque_Nm) == len(names):
            torque = np.abs([torque_Nm[i] for i in order])
            self._torque, self.torque_share = np.maximum(self._torque, torque), torque / self._torque_Nm

    def feel(
        self, wrench: Sequence[float], now_s: float, zeroing: bool, age_s: float = 0.0, sent_ns: int | None = None
    ) -> None:
        """Take in a wrist force, and torque, (3,) or (6,). While `zeroing`, the mean of what it reads is its zero."""
        felt = np.array([*wrench, 0.0, 0.0, 0.0][:6], dtype=float)
        if not self.wrench.take(wrench, now_s, age_s, sent_ns):
            self._force = self._force if all(map(math.isfinite, wrench)) else np.nan
        elif zeroing:
            self._zero_count += 1
            self._zero += (felt - self._zero) / self._zero_count
        else:
            self.felt = felt - self._zero
            size = self._felt_N = math.hypot(*self.felt[:3])
            self.peak_force_N, self._force = max(self.peak_force_N, size), max(self._force, size)

    def sent(self, now_s: float, setpoint: np.ndarray) -> None:
        """Take note of a setpoint."""
        self._path.append((now_s, setpoint))

    def begin(self) -> None:
        """The arm is about to move: what was sent and felt before says nothing about that."""
        self._path.clear()
        self._track.clear()
        self._look()

    def excuse(self, gap_s: float) -> None:
        """See `Source.excuse`."""
        for source in self._sources:
            source.excuse(gap_s)

    def ready(self, now_s: float) -> bool:
        """All sensors spoke lately, and none that froze still says the same."""
        return all(now_s - source.heard_s <= self._quiet_s and not source.frozen for source in self._sources)

    def trouble(self, now_s: float) -> Trouble | None:
        """What is wrong now: the first that is found, the gravest first."""
        found = self._too_much() or self.unsound(now_s)
        self._look()
        return found

    def unsound(self, now_s: float) -> Trouble | None:
        """Why what the sensors say is not where the arm is, or not where it was sent."""
        return self._frozen(now_s) or self._strayed(now_s) or self._quiet(now_s)

    def news_since(self, time_s: float) -> bool:
        """Every sensor has said something new since then: none repeats what it said before."""
        return all(source.changed_s >= time_s for source in self._sources)

    @property
    def force_share(self) -> float:
        """The force heard last as a share of what is too much."""
        return self._felt_N / self._force_N

    def _look(self) -> None:
        self._force, self._torque = 0.0, np.zeros(len(self._joints))

    def _too_much(self) -> Trouble | None:
        force = self._force
        if not force <= self._force_N:
            lasting_s = PEAK_S if np.isfinite(force) else 0.0
            return Trouble("force", "the wrist feels too much", lasting_s, "", force, self._force_N, "N")
        if self._torque_Nm is None or (self._torque <= self._torque_Nm).all():
            return None
        worst = int(np.argmax(np.nan_to_num(self._torque / self._torque_Nm, nan=np.inf)))
        amount = float(self._torque[worst]), float(self._torque_Nm[worst])
        return Trouble("torque", "the joint strains too much", PEAK_S, self._joints[worst], *amount, "N m")

    def _frozen(self, now_s: float) -> Trouble | None:
        for source in self._sources:
            same_s = now_s - source.changed_s
            if same_s >= FROZEN_S and source.repeated >= FROZEN_TIMES:
                moved = self._at(now_s - LAG_S) - self._at(source.changed_s)
                worst = int(np.argmax(np.abs(moved)))
                if abs(moved[worst]) > FROZEN_RAD:
                    source.frozen = True
                    text = f"{source.name} repeats the same numbers for {same_s:.2f} s while the arm is moved"
                    return Trouble(f"{source.name}_frozen", text, 0.0, self._joints[worst])
        return None

    def _strayed(self, now_s: float) -> Trouble | None:
        if not self._path or now_s - self.states.heard_s > self._quiet_s:
            return None  # nobody knows where it is: that is a trouble of its own
        behind = np.abs(self.measured - self._at(now_s - LAG_S))
        worst = int(np.argmax(behind))
        if behind[worst] > FOLLOW_RAD:
            text = "the arm is not where it was sent"
            return Trouble("not_following", text, 0.0, self._joints[worst], float(behind[worst]), FOLLOW_RAD, "rad")
        return self._stuck(now_s)

    def _stuck(self, now_s: float) -> Trouble | None:
        """Whether the arm stands, held by nothing, although it was sent elsewhere."""
        if self._felt_N > FREE_N or not self._track or self._track[0][0] > now_s - 2 * STUCK_S:
            return None
        sent = np.abs(self._at(now_s - STUCK_S) - self._at(now_s - 2 * STUCK_S))
        worst = int(np.argmax(sent))
        if sent[worst] <= STUCK_RAD:
            return None
        moved = np.ptp([q for at_s, q in self._track if at_s >= now_s - 2 * STUCK_S], axis=0)
        if moved[worst] > STUCK_SHARE * sent[worst]:
            return None
        text = "the arm does not move where it is sent: is its controller active?"
        amount = float(moved[worst]), float(sent[worst]), "rad"
        return Trouble("not_following", text, 0.0, self._joints[worst], *amount)

    def _quiet(self, now_s: float) -> Trouble | None:
        for source in self._sources:
            silent_s = now_s - source.heard_s
            if silent_s > self._quiet_s:
                text = f"no usable {source.name}" + (f": {source.wrong}" if source.wrong else "")
                return Trouble(f"{source.name}_quiet", text, LOST_S, "", silent_s, self._quiet_s, "s")
        return None

    def _at(self, time_s: float) -> np.ndarray:
        """The setpoint sent last before that time, or the first one that is known."""
        for sent_s, setpoint in reversed(self._path):
            if sent_s <= time_s:
                return setpoint
        return self._path[0][1] if self._path else self.measured
