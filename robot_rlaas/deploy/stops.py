"""Whether the arm has to stand: holds, which end by themselves, and stops, which end when somebody resets them."""

import math
from typing import NamedTuple

from robot_rlaas.deploy.counts import Counts
from robot_rlaas.deploy.events import Event, Journal
from robot_rlaas.deploy.senses import Trouble

HOLD_S = 0.3  # after the last sign of its cause: the arm has come to rest by then
PAUSE_S = 0.05  # without a sign of it, and the next one is another
AGAIN_S = {"force": 5.0, "torque": 5.0, "domain": 30.0}  # the same again so soon, or in the next try, is no accident


class _Hold(NamedTuple):
    """Why the arm stands, when that was first and last so without a pause, and until when it stands."""

    trouble: Trouble
    since_s: float
    last_s: float
    until_s: float


class Stops:
    """The state of one arm's stops.

    Attributes:
        latched: the cause of the stop that somebody has to reset, or None.
        why: what it or the hold is about, in one line; empty while the arm may move.
    """

    def __init__(self, counts: Counts, journal: Journal) -> None:
        self.latched: str | None = None
        self.why = ""
        self._counts, self._journal = counts, journal
        self._hold: _Hold | None = None
        self._peaked_s: dict[str, float] = {}

    @property
    def held(self) -> str | None:
        """The cause of the present hold, or None."""
        return self._hold.trouble.cause if self._hold else None

    @property
    def standing(self) -> bool:
        """The arm may not move."""
        return self.latched is not None or self._hold is not None

    def update(self, trouble: Trouble | None, now_s: float) -> bool:
        """Take in what is wrong now -> whether the arm has to stop that was free to move."""
        if self.latched is not None:
            return False
        was_free = self._hold is None
        if trouble is not None:
            self._stop(trouble, now_s)
        elif self._hold is not None and now_s >= self._hold.until_s:
            self._note("resumed", self._hold.trouble._replace(text="it is over", value=float("nan")), now_s)
            self._hold, self.why = None, ""
        return was_free and self.standing

    def reset(self, now_s: float) -> str:
        """Unlatch -> what was latched, or "nothing"."""
        was, self.latched = self.latched, None
        if was is not None:
            self._note("reset", Trouble(was, "somebody reset the stop"), now_s)
            self._hold, self.why = None, ""
            self._peaked_s.clear()
        return was or "nothing"

    def _stop(self, trouble: Trouble, now_s: float) -> None:
        """Hold, and latch what goes on for too long or comes back too soon."""
        hold, cause = self._hold, trouble.cause
        new = hold is None or hold.trouble.cause != cause
        begins = hold is None or new or now_s - hold.last_s > PAUSE_S
        since_s = now_s if begins or hold is None else hold.since_s
        again = begins and now_s - self._peaked_s.get(cause, -math.inf) < AGAIN_S.get(cause, 0.0)
        self._peaked_s[cause] = now_s
        self._hold = _Hold(trouble, since_s, now_s, now_s + HOLD_S)
        if again or now_s - since_s >= trouble.lasting_s:
            self._hold, self.latched = None, cause
            self._counts.stops[cause] += 1
            self._counts.holds[cause] -= not new  # it did not end by itself
            self.why = self._note("stopped", trouble, now_s)
        elif new:
            self._counts.holds[cause] += 1
            self.why = self._note("held", trouble, now_s)

    def _note(self, what: str, trouble: Trouble, now_s: float) -> str:
        told = trouble._asdict()
        del told["lasting_s"]
        event = Event(what, **told)
        self._journal.note(event, now_s)
        return event.line
