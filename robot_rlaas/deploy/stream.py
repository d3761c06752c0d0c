"""The stream of a sender's targets: which one the coming period gets, how long that is, and when the stream has ended.

A target may come at any time of a period and is played in the next one. Where targets keep coming too close to its
beginning, a period becomes a tick longer; where they come too early, and the arm rests, a tick shorter.
"""

import math
from collections import deque
from statistics import median

import numpy as np

from robot_rlaas.deploy.counts import Counts
from robot_rlaas.deploy.events import Event, Journal
from robot_rlaas.deploy.player import STILL_RAD, Player

DEADMAN_PERIODS, DEADMAN_S = 3, 0.1  # so many, and no sooner than that
MARGIN_S = (0.005, 0.020)  # how early before its period a target should arrive
SHIFT_SHARE = 0.15  # of the acceleration limit is left over where a period becomes longer by a tick


class Stream:
    """The targets for one arm, while they come.

    Args:
        player: plays them.
        acceleration_rad_s2: (k,) limits.
        period_s: between two targets.
        tick_s: between two setpoints.
        counts, journal: are told of periods, and of targets that cease in motion.

    Attributes:
        running: targets come.
        moving: the last one asked for a motion.
    """

    def __init__(
        self,
        player: Player,
        acceleration_rad_s2: np.ndarray,
        period_s: float,
        tick_s: float,
        counts: Counts,
        journal: Journal,
    ) -> None:
        self.running, self.moving = False, False
        self._player, self._a, self._period_s, self._tick_s = player, acceleration_rad_s2, period_s, tick_s
        self._counts, self._journal = counts, journal
        self._ticks = max(1, round(period_s / tick_s))
        self._patience = max(DEADMAN_PERIODS, math.ceil(DEADMAN_S / period_s))
        self._waiting: np.ndarray | None = None
        self._came_s, self._sent_ns, self._silent, self._refused = 0.0, 0, 0, ""
        self._margins_s: deque[float] = deque(maxlen=5)

    @property
    def leads(self) -> bool:
        """A period is one tick: each target makes a tick of its own as soon as it is there."""
        return self._ticks == 1

    @property
    def since_ns(self) -> int:
        """The stamp of the last target of this stream."""
        return self._sent_ns if self.running else 0

    def due(self, now_s: float) -> bool:
        """A target waits that a stream may begin with."""
        return self._waiting is not None and (self.leads or now_s - self._came_s >= MARGIN_S[0])

    def take(self, target: np.ndarray, now_s: float, sent_ns: int | None) -> None:
        """Take in a target (k,) for the coming period."""
        assert self._player.targets is not None
        if self.running:
            early_s = self._player.boundary_s - now_s  # wrapped to half a period either way: negative is late
            self._margins_s.append((early_s + self._period_s / 2) % self._period_s - self._period_s / 2)
        before = self._player.targets[2]
        if self._waiting is not None:
            before, self._counts.superseded = self._waiting, self._counts.superseded + 1
        self._waiting, self._came_s, self._sent_ns, self._refused = target, now_s, sent_ns or 0, ""
        self.moving = bool(np.abs(target - before).max() > STILL_RAD)  # the same target again is a hold

    def refuse(self, cause: str) -> None:
        """Take note of a target that was refused."""
        self._refused = cause

    def next(self, now_s: float) -> tuple[np.ndarray | None, int]:
        """The target (k,) of the period that begins now, or None, and how many ticks the period has."""
        wanted, self._waiting = self._waiting, None
        ticks = self._ticks
        if wanted is None:
            self._silence(now_s)
        else:
            self._counts.missed_periods += self._silent
            self._silent, self.running = 0, True
            ticks = self._following(wanted)
        self._counts.periods += self.running
        return wanted, ticks

    def end(self) -> None:
        """Forget what came: the next target is the first one of another stream."""
        self._waiting, self._silent, self._refused = None, 0, ""
        self.running = self.moving = False
        self._margins_s.clear()

    def _silence(self, now_s: float) -> None:
        """A period without a target. Targets that cease at rest are an end, in motion a fault."""
        if not self.running:
            return
        self._silent, self._player.behind = self._silent + 1, True
        if self._silent < self._patience:
            return
        if self.moving:
            self._counts.deadman += 1
            self._counts.missed_periods += self._silent
            text = f"every target is refused: {self._refused}" if self._refused else "the policy is silent in motion"
            silent_s, allowed_s = self._silent * self._period_s, (self._patience - 1) * self._period_s
            self._journal.note(Event("braked", "deadman", text, "", silent_s, allowed_s, "s"), now_s)
        self.end()

    def _following(self, wanted: np.ndarray) -> int:
        """The period's ticks: one more when targets keep coming too close to it; one less, at rest, when too early.

        Where periods are not equally long, the speed jumps: it waits until the arm is slow, before and after.
        """
        assert self._player.targets is not None
        if self.leads:
            return self._ticks
        middle = median(self._margins_s) if len(self._margins_s) == self._margins_s.maxlen else MARGIN_S[0]
        shift = 1 if middle < MARGIN_S[0] else -1 if middle > MARGIN_S[1] else 0
        slow_rad_s = SHIFT_SHARE * self._a * self._tick_s * (self._ticks + 1)
        coming_rad_s = (wanted - self._player.targets[2]) / self._period_s
        slow = (np.abs([self._player.velocity_rad_s, coming_rad_s]) <= slow_rad_s).all()
        may = slow if shift > 0 else self._player.at_rest and not self.moving
        if not shift or not may:
            return self._ticks
        self._counts.clock_shifts += 1
        self._margins_s.clear()
        return self._ticks + shift
