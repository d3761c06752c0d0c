"""Episodes out of what a policy's node said on `/rlaas/observation` while it drove an arm."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.data.episode import Episode


class Logged(NamedTuple):
    """One attempt of a deployment.

    Attributes:
        stamp_ns: (T,) of the joint states that the observations were made from.
        observation, action: (T, n) and (T, m) what the policy saw and did.
        result: as the policy's node measured it; None for an attempt that a stop broke off.
    """

    stamp_ns: np.ndarray
    observation: np.ndarray
    action: np.ndarray
    result: dict[str, Any] | None

    def episode(self, number: int, period_s: float, scored: dict[str, Any], operator: str) -> Episode:
        """It as an episode, with this outcome: `success` and `peak_force_N`."""
        steps, stamp_s = len(self.stamp_ns), (self.stamp_ns - self.stamp_ns[0]) * 1e-9
        begun = datetime.fromtimestamp(self.stamp_ns[0] * 1e-9, UTC)
        return Episode(
            number=number,
            observation=self.observation,
            action=self.action,
            executed=self.action,
            reward=np.zeros(steps, np.float32),
            success=bool(scored["success"]),
            peak_force_N=float(scored["peak_force_N"]),
            start=np.zeros(0, np.float32),
            stamp_s=stamp_s,
            late=np.concatenate([[False], np.diff(stamp_s) > 1.5 * period_s]),
            corrected=np.zeros(steps, dtype=bool),
            operator=operator,
            recorded_at=begun.isoformat(timespec="seconds"),
        )


def attempts_of(said: Iterable[dict[str, Any]]) -> Iterator[Logged]:
    """The attempts among what was said, {sensed_ns, seen, action, result} each, in the order of time."""
    frames: list[dict[str, Any]] = []
    for one in said:
        if one["seen"] is not None:
            frames.append(one)
        elif frames:
            yield _logged(frames, one["result"])
            frames = []
    if frames:
        yield _logged(frames, None)


def _logged(frames: list[dict[str, Any]], result: dict[str, Any] | None) -> Logged:
    stamp_ns = np.array([frame["sensed_ns"] for frame in frames], dtype=np.int64)
    observation, action = (np.array([f[key] for f in frames], dtype=np.float32) for key in ("seen", "action"))
    return Logged(stamp_ns, observation, action, result)
