"""What a supervisor did to the arm's motion, and why: one event for whatever goes on without a pause."""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

KEPT = 200  # events in memory and in supervisor.json
MERGE_S = 1.0  # the same again within so long is the same event; it is told again no more often than that


class Event(NamedTuple):
    """One intervention.

    Attributes:
        what: "refused", "limited", "blocked", "slowed", "braked", "held", "stopped", "eased", "resumed" or
            "reset".
        cause: a short name for why, the same in every language and log.
        joint: its name; empty where no single joint is meant.
        value, limit: how much there was and how much is allowed; nan where nothing was measured.
        unit: of both.
        text: why, for people.
        first_s, last_s: when, on the clock of the one who notes it.
        times: how often between the two.
    """

    what: str
    cause: str
    text: str
    joint: str = ""
    value: float = float("nan")
    limit: float = float("nan")
    unit: str = ""
    first_s: float = 0.0
    last_s: float = 0.0
    times: int = 1

    @property
    def line(self) -> str:
        """It in one line."""
        amount = f" ({self.value:.4g} {self.unit}, allowed {self.limit:.4g})" if self.value == self.value else ""
        joint = f" {self.joint}" if self.joint else ""
        times = f", {self.times} times" if self.times > 1 else ""
        return f"{self.what}{joint}: {self.text}{amount}{times}"

    def to_json(self, offset_s: float = 0.0) -> dict[str, Any]:
        """Plain content; `offset_s` is added to the times, nan becomes None."""
        content = self._asdict() | {"first_s": self.first_s + offset_s, "last_s": self.last_s + offset_s}
        return {key: None if value != value else value for key, value in content.items()} | {"line": self.line}


class Journal:
    """The last KEPT events, and those that nobody was told of yet."""

    def __init__(self) -> None:
        self.dropped = 0
        self._kept: deque[Event] = deque()
        self._told_s: dict[tuple[str, str, str], float] = {}
        self._untold: dict[tuple[str, str, str], None] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._kept)

    def note(self, event: Event, now_s: float) -> None:
        """Take in an event that happened now."""
        key = (event.what, event.cause, event.joint)
        same = next((i for i, old in enumerate(self._kept) if _key(old) == key and now_s - old.last_s < MERGE_S), None)
        if same is None:
            self._kept.append(event._replace(first_s=now_s, last_s=now_s))
            self._told_s.pop(key, None)
        else:
            old = self._kept[same]
            worse = old if abs(event.value - event.limit) <= abs(old.value - old.limit) else event
            self._kept[same] = worse._replace(first_s=old.first_s, last_s=now_s, times=old.times + 1)
        if len(self._kept) > KEPT:
            self._kept.popleft()
            self.dropped += 1
        self._untold[key] = None

    def untold(self, now_s: float) -> list[Event]:
        """The events that are new, and those that went on and were not told for MERGE_S."""
        due = [key for key in self._untold if now_s - self._told_s.get(key, -MERGE_S) >= MERGE_S]
        told = []
        for key in due:
            del self._untold[key]
            self._told_s[key] = now_s
            told += [event for event in reversed(self._kept) if _key(event) == key][:1]
        return told

    def to_json(self, offset_s: float = 0.0) -> list[dict[str, Any]]:
        """All that is kept, oldest first."""
        return [event.to_json(offset_s) for event in self._kept]


def _key(event: Event) -> tuple[str, str, str]:
    return event.what, event.cause, event.joint
