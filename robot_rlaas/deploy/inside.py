"""Whether what a policy sees is what it was qualified on, period by period and in total."""

from typing import Any

import numpy as np

from robot_rlaas.bundle.domain import Domain
from robot_rlaas.cell.contract import Policy

LEFT_PERIODS = 3  # in a row outside: one alone is what one in a thousand is


class Scorer:
    """Scores the observations of one attempt after the other.

    Attributes:
        score: of the last observation: up to 1 is inside the operating domain; infinite where a sensor is frozen.
        since: how many periods in a row have been outside, up to now.
        frozen: names of the numbers that no longer change.
    """

    def __init__(self, domain: Domain) -> None:
        self.score, self.since, self.frozen = 0.0, 0, list[str]()
        self._domain = domain
        self._same = np.zeros(domain.size, dtype=np.int64)
        self._before: np.ndarray | None = None

    def begin(self) -> None:
        """A new attempt."""
        self.score, self.since, self.frozen, self._before = 0.0, 0, [], None
        self._same[:] = 0

    def see(self, observation: np.ndarray) -> float:
        """Take in an observation (n,) -> its score."""
        domain = self._domain
        if self._before is not None:
            self._same = np.where(observation == self._before, self._same + 1, 0)
        self._before = observation
        frozen = self._same >= domain.frozen_after
        self.frozen = [name for name, still in zip(domain.axes, frozen) if still]
        self.score = float("inf") if self.frozen else domain.score(observation)
        self.since = 0 if self.score <= 1.0 else self.since + 1  # a NaN is outside
        return self.score

    @property
    def left(self) -> bool:
        """Whether the operating domain was left, and not just for a moment."""
        return self.since >= LEFT_PERIODS

    @property
    def beyond(self) -> list[str]:
        """Names of the numbers of the last observation that are outside the bounds of what was seen."""
        return [] if self._before is None else self._domain.beyond(self._before)


class Inside(Scorer):
    """Scores every observation of one arm's policy, and keeps the books of its attempts."""

    def __init__(self, domain: Domain) -> None:
        super().__init__(domain)
        self._attempts: list[dict[str, Any]] = []

    def watching(self, policy: Policy) -> Policy:
        """The policy, seen at work."""
        return _Watched(policy, self)

    def begin(self) -> None:
        """See `Scorer.begin`."""
        super().begin()
        nothing = {"periods": 0, "outside": 0, "longest": 0, "worst": 0.0, "beyond": [], "frozen": []}
        self._attempts.append(nothing)

    def see(self, observation: np.ndarray) -> float:
        """See `Scorer.see`."""
        score, now = super().see(observation), self._attempts[-1]
        now["periods"] += 1
        now["longest"] = max(now["longest"], self.since)
        if self.since:
            now["outside"] += 1
            _add(now["beyond"], self.beyond)
            _add(now["frozen"], self.frozen)
        if np.isfinite(score):
            now["worst"] = max(now["worst"], score)
        return score

    def told(self) -> dict[str, Any]:
        """Plain content: the last score, None where it is not finite; whether the operating domain is left now, and in
        how many attempts it was; and for each attempt

        - periods, and how many of them were outside; the longest run of those, and the worst finite score;
        - beyond: numbers that were outside the bounds of what was seen; frozen: those that no longer changed.
        """
        score = self.score if np.isfinite(self.score) else None
        often = sum(attempt["longest"] >= LEFT_PERIODS for attempt in self._attempts)
        return {"score": score, "left": self.left, "attempts_left": often, "attempts": self._attempts}


class _Watched:
    """A policy of one row."""

    def __init__(self, policy: Policy, inside: Inside) -> None:
        self._policy, self._inside = policy, inside

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""
        self._inside.begin()
        self._policy.reset(ids)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        self._inside.see(observation[0])
        return self._policy.act(observation)


def _add(names: list[str], more: list[str]) -> None:
    names += [name for name in more if name not in names]
