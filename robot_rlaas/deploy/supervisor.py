"""The supervisor between a policy and the arm's controller: it checks every target, times it, and stops the arm.

It plays targets at its own clock. A control period is a whole number of ticks; the setpoints within it come from
`control.interpolate`, so the limits that `control.safety` enforces on targets hold for every setpoint. Without a new
target the last one is repeated, which is a smooth stop. It holds no ROS object and reads no clock: time is given to it.
"""

from collections import deque
from collections.abc import Sequence
from statistics import median

import numpy as np

from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope, filter_target
from robot_rlaas.deploy.counts import Counts

STALE_PERIODS = 3
FUTURE_S = 0.1
DEADMAN_PERIODS = 3
SENSOR_LOST_S = 0.5
MARGIN_S = (0.005, 0.020)  # how early before its period a target should arrive
STILL_RAD = 1e-6
FOREIGN_RAD = 0.05  # further than this from the last target, somebody else has moved the arm


class Supervisor:
    """Checks and times the joint targets of one arm.

    Args:
        chain: the arm's kinematics; its joint names are the order of every vector here.
        envelope: what the safety filter enforces, and the force that stops the arm.
        period_s: between two targets.
        tick_s: between two setpoints; call `tick` once per tick.
    """

    def __init__(self, chain: SerialChain, envelope: Envelope, period_s: float, tick_s: float) -> None:
        self.chain, self.envelope = chain, envelope
        self.period_s, self.tick_s = period_s, tick_s
        self.counts = Counts(chain.joints)
        self.latched: str | None = None
        self._measured = np.zeros(len(chain.joints))
        self._heard_s = {"joint_states": -np.inf, "wrench": -np.inf}
        self._zero_N, self._zero_count = np.zeros(3), 0
        self._targets: np.ndarray | None = None  # (3, k), oldest first
        self._pending: np.ndarray | None = None
        self._pending_s = 0.0
        self._ticks = max(1, round(period_s / tick_s))
        self._step, self._length = 0, self._ticks  # ticks played of the present period, and its length
        self._last_tick_s = 0.0
        self._streaming, self._moving, self._silent = False, False, 0
        self._margins_s: deque[float] = deque(maxlen=5)
        still = np.zeros((1, len(chain.joints)))
        filter_target(chain, envelope, period_s, still, still, still)  # its first call imports for a second

    def measure(self, names: Sequence[str], position_rad: Sequence[float], now_s: float) -> None:
        """Take in measured joint angles, in any order and with other joints among them."""
        at = dict(zip(names, position_rad))
        try:
            measured = np.array([at[name] for name in self.chain.joints])
        except KeyError:
            return
        if np.isfinite(measured).all():
            self._measured, self._heard_s["joint_states"] = measured, now_s

    def feel(self, force_N: Sequence[float], now_s: float) -> None:
        """Take in a wrist force (3,). The mean of what it read before the first target is its zero."""
        self._heard_s["wrench"] = now_s
        if self._targets is None:
            self._zero_count += 1
            self._zero_N += (np.asarray(force_N) - self._zero_N) / self._zero_count
            return
        force = float(np.linalg.norm(np.asarray(force_N) - self._zero_N))
        self.counts.peak_force_N = max(self.counts.peak_force_N, force)
        if not force <= self.envelope.force_N:  # a NaN stops the arm too
            self._latch("force_stop")

    def receive(self, names: Sequence[str], position_rad: Sequence[float], age_s: float, now_s: float) -> str | None:
        """Take in a target.

        Args:
            names: of the joints, in the order of `position_rad`; any order will do.
            position_rad: where they shall be at the end of the coming period.
            age_s: how old its stamp is on arrival.
            now_s: time of arrival, on the clock of `tick`.

        Returns:
            Why it was not taken, one of counts.REJECTIONS or "latched", or None if it was.
        """
        self.counts.targets += 1
        if self.latched:
            self.counts.ignored_while_latched += 1
            return "latched"
        reason = self._reason(names, position_rad, age_s, now_s)
        if reason:
            self.counts.rejected[reason] += 1
            return reason
        self.counts.worst_latency_s = max(self.counts.worst_latency_s, age_s)
        if self._targets is None or (self._resting and np.abs(self._targets[2] - self._measured).max() > FOREIGN_RAD):
            self._targets = np.tile(self._measured, (3, 1))
        if self._streaming:
            self._margins_s.append(self._margin(now_s))
        before = self._targets[2]
        if self._pending is not None:
            before, self.counts.superseded = self._pending, self.counts.superseded + 1
        at = dict(zip(names, position_rad))
        self._pending, self._pending_s = np.array([at[name] for name in self.chain.joints], dtype=float), now_s
        self._moving = bool(np.abs(self._pending - before).max() > STILL_RAD)  # the same target again is a hold
        return None

    def tick(self, now_s: float) -> np.ndarray | None:
        """The setpoint (k,) to send at `now_s`, or None as long as there was no target."""
        if self._targets is None:
            return None
        self._last_tick_s = now_s
        if self._streaming and now_s - min(self._heard_s.values()) > SENSOR_LOST_S:
            self._latch("sensor_lost")
        if self._step == 0:
            if self._resting and not self._due(now_s):
                return self._targets[2]
            self._next_period()
        self._step += 1
        before, last, now = self._targets
        result = setpoint((before, last, now), self._step / self._length)
        self._step %= self._length
        return result

    def reset(self) -> str:
        """Unlatch a stop -> what was latched, or "nothing". The zero of the force is kept."""
        was, self.latched = self.latched, None
        return was or "nothing"

    @property
    def _resting(self) -> bool:
        """Nothing streams and the setpoint has come to rest: a period may begin at any tick."""
        if self._streaming or self._targets is None:
            return False
        return bool(np.ptp(self._targets, axis=0).max() < STILL_RAD)

    def _due(self, now_s: float) -> bool:
        return self._pending is not None and now_s - self._pending_s >= MARGIN_S[0]

    def _margin(self, now_s: float) -> float:
        """Time from an arrival to the next period, wrapped to half a period either way: negative is late."""
        played = self._step or self._length
        boundary_s = self._last_tick_s + (self._length - played + 1) * self.tick_s
        return (boundary_s - now_s + self.period_s / 2) % self.period_s - self.period_s / 2

    def _reason(self, names: Sequence[str], position_rad: Sequence[float], age_s: float, now_s: float) -> str | None:
        if len(names) != len(position_rad) or len(names) != len(self.chain.joints):
            return "shape"
        if set(names) != set(self.chain.joints):
            return "names"
        if not np.isfinite(position_rad).all():
            return "not_finite"
        if not age_s <= STALE_PERIODS * self.period_s:
            return "stale"
        if age_s < -FUTURE_S:
            return "future"
        if now_s - min(self._heard_s.values()) > SENSOR_LOST_S:
            return "not_ready"
        return None

    def _next_period(self) -> None:
        """Choose the target of the coming period, make it safe, and set the period's length."""
        assert self._targets is not None
        last, step = self._targets[2], self._targets[2] - self._targets[1]
        wanted, self._pending = self._pending, None
        self._length = self._ticks
        if wanted is None:
            self._silence()
        else:
            self.counts.missed_periods += self._silent
            self._silent, self._streaming = 0, True
            self._follow_clock()
        self.counts.periods += self._streaming
        aim = last if wanted is None else wanted
        safe = filter_target(self.chain, self.envelope, self.period_s, last[None], step[None], aim[None])
        if wanted is not None and safe.limited[0].any():
            self.counts.limit(safe.limited[0], safe.target_rad[0] - wanted)
        if wanted is not None and safe.blocked[0]:
            self.counts.blocked += 1
        self._targets = np.concatenate([self._targets[1:], safe.target_rad])

    def _silence(self) -> None:
        """A period without a target. Targets that cease at rest are an end, in motion a fault."""
        if not self._streaming:
            return
        self._silent += 1
        if self._silent < DEADMAN_PERIODS:
            return
        if self._moving:
            self.counts.deadman += 1
            self.counts.missed_periods += self._silent
        self._end_stream()

    def _follow_clock(self) -> None:
        """Shift by one tick when targets keep arriving too close to their period, or, at rest, too early for it."""
        if len(self._margins_s) < (self._margins_s.maxlen or 0):
            return
        middle = median(self._margins_s)
        if middle < MARGIN_S[0]:
            self._length = self._ticks + 1
        elif middle > MARGIN_S[1] and not self._moving and self._ticks > 1:
            self._length = self._ticks - 1
        else:
            return
        self.counts.clock_shifts += 1
        self._margins_s.clear()

    def _latch(self, reason: str) -> None:
        if self.latched is None:
            self.latched = reason
            self.counts.stops[reason] += 1
            self._end_stream()

    def _end_stream(self) -> None:
        self._pending, self._silent = None, 0
        self._streaming = self._moving = False
        self._margins_s.clear()
