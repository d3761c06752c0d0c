"""What follows when a policy sees what it was not qualified on: the arm is slowed, then held.

The supervisor does not believe a score that the policy's process made: it is told what the policy sees, period by
period, and scores that itself, by the domain of the bundle. A target about which nothing is said counts as one from
outside, so a process that says nothing is no way round this. A limit is never widened: what is slowed is the way to a
target that every limit is then applied to as ever.
"""

import math

import numpy as np

from robot_rlaas.bundle.domain import Domain
from robot_rlaas.deploy.arrivals import FUTURE_S, STALE_PERIODS, STALE_S
from robot_rlaas.deploy.counts import Counts
from robot_rlaas.deploy.events import Event, Journal
from robot_rlaas.deploy.inside import LEFT_PERIODS, Scorer
from robot_rlaas.deploy.senses import Trouble

SLOW_SHARE = 0.02  # of the joints' speed limits: policies in contact take little more than that
RAMP_S = 0.3  # from full speed to that, and back
HOLD_S = 1.0  # outside for so long, and the arm is held
FAR = 2.0  # nor does it go on where the score is beyond that
LASTING_S = 2.0  # a hold goes on for so long until somebody has to look
UNIT = "radii"


class Outside:
    """Follows one arm's policy, as the supervisor hears of it.

    Args:
        domain: what the policy was qualified on.
        speed_rad_s: (k,) the joints' speed limits.
        period_s: between two targets.
        counts, journal: are told when the arm is slowed.
    """

    def __init__(
        self, domain: Domain, speed_rad_s: np.ndarray, period_s: float, counts: Counts, journal: Journal
    ) -> None:
        self._scorer, self._size = Scorer(domain), domain.size
        self._step_rad, self._period_s = speed_rad_s * period_s, period_s
        self._counts, self._journal = counts, journal
        self._heard_within_s = max(STALE_PERIODS * period_s, STALE_S)
        self._attempt = False
        self._share = 1.0
        self._stay()

    def see(self, seen: np.ndarray | None, age_s: float, now_s: float) -> None:
        """Take in what the policy sees, n numbers, or that it does not act: between attempts the cycle moves the arm.

        Args:
            seen: the observation (n,), or None; of another shape, it counts as not said.
            age_s: how old the stamp of its target is; what is too old, or too new, counts as not said.
            now_s: time of arrival.
        """
        if not -FUTURE_S <= age_s <= self._heard_within_s or (seen is not None and seen.shape != (self._size,)):
            return
        self._unsaid = 0
        if seen is None:
            self._attempt = False
            self._stay()
            return
        if not self._attempt:
            self._attempt = True
            self._scorer.begin()
        score = self._scorer.see(seen)
        if score <= 1.0:
            self._stay()
        else:
            self._leave(now_s, far=not score <= FAR)

    def target(self, now_s: float) -> None:
        """A target came. What the policy saw for it is said right after it, not later than the next one."""
        self._unsaid += 1
        if self._unsaid > 1:
            self._leave(now_s)

    def left(self, now_s: float) -> bool:
        """Whether the domain was left, and not just for a moment."""
        return self._periods >= LEFT_PERIODS and now_s - self._last_s <= self._heard_within_s

    def slower(self, last: np.ndarray, wanted: np.ndarray, now_s: float) -> np.ndarray:
        """The target (k,) to take instead of the wanted one, on the straight way to it; the same, if none has to be.

        Args:
            last: (k,) the target before, rad.
            wanted: (k,) the one of the coming period. To be called once in each.
            now_s: time.
        """
        change, left = (1.0 - SLOW_SHARE) * self._period_s / RAMP_S, self.left(now_s)
        self._share = max(self._share - change, SLOW_SHARE) if left else min(self._share + change, 1.0)
        most = float((np.abs(wanted - last) / self._step_rad).max())
        if self._share == 1.0 or most <= self._share:
            return wanted
        self._counts.cautious += 1
        if left:
            self._journal.note(Event("slowed", "domain", self.why, "", *self._amount), now_s)
        return last + (self._share / most) * (wanted - last)

    def trouble(self, now_s: float) -> Trouble | None:
        """Why the arm has to stand, if it has to."""
        if not self.left(now_s):
            return None
        frozen = bool(self._scorer.frozen) and self._unsaid <= 1
        if not frozen and self._far < LEFT_PERIODS and now_s - self._since_s < HOLD_S:
            return None
        return Trouble("domain", self.why, LASTING_S, "", *self._amount)

    @property
    def why(self) -> str:
        """What is outside, in words."""
        if self._unsaid > 1:
            return "the policy does not say what it sees"
        if self._scorer.frozen:
            return f"what the policy sees no longer changes: {', '.join(self._scorer.frozen)}"
        beyond = ", ".join(self._scorer.beyond) or "no number alone, but all together"
        return f"the policy sees what it was not qualified on: {beyond}"

    @property
    def _amount(self) -> tuple[float, float, str]:
        """The score, what is allowed, and their unit."""
        score = self._scorer.score
        return (score, 1.0, UNIT) if self._unsaid <= 1 and math.isfinite(score) else (math.nan, math.nan, "")

    def _stay(self) -> None:
        self._periods, self._far, self._unsaid = 0, 0, 0
        self._since_s = self._last_s = -math.inf

    def _leave(self, now_s: float, far: bool = False) -> None:
        if now_s - self._last_s > self._heard_within_s:
            self._periods, self._far, self._since_s = 0, 0, now_s
        self._periods, self._last_s = self._periods + 1, now_s
        self._far = self._far + 1 if far else 0
