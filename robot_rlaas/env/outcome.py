"""What episodes come to: so far, while they go on, and in the end."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np


class Outcome(NamedTuple):
    """How one episode ended.

    Attributes:
        episode: its number in its seed space.
        success: the task's own predicate held before the timeout.
        cycle_time_s: from start to success; infinite without success.
        peak_force_N: largest contact force.
        keep_out: the tool entered a keep-out box.
        stage: the furthest stage, an index into the task's stages.
        steps: control periods.
        reward: sum of rewards.
        stage_s: when each of the task's stages but the first was first reached; infinite for a stage that never was.
        peak_at_s: end of the control period with the largest contact force; zero without contact.
        figures: what the cell's further limits are about, by their `figure`; see `cell.limits`.
    """

    episode: int
    success: bool
    cycle_time_s: float
    peak_force_N: float
    keep_out: bool
    stage: int
    steps: int
    reward: float
    stage_s: tuple[float, ...]
    peak_at_s: float
    figures: Mapping[str, float] = MappingProxyType({})

    @property
    def flat(self) -> dict[str, Any]:
        """All of it by name, the figures beside the other fields."""
        content = self._asdict()
        return content | content.pop("figures")


class Tally:
    """What the present episodes of a batch have come to so far, (count,) each.

    Attributes:
        episode: their numbers.
        steps: control periods since the start.
        stage: the furthest, an index into the task's stages.
        stage_s: (count, stages - 1) as of `Outcome`.
        keep_out: as of `Outcome`.
        peak_N: largest contact force, and
        peak_at_s: when that was.
        reward: their sum.
    """

    def __init__(self, count: int, stages: int, period_s: float) -> None:
        self.episode, self.steps, self.stage = (np.zeros(count, dtype=np.int64) for _ in range(3))
        self.stage_s, self.keep_out = np.full((count, stages - 1), np.inf), np.zeros(count, dtype=bool)
        self.peak_N, self.peak_at_s, self.reward = np.zeros(count), np.zeros(count), np.zeros(count)
        self._period_s = period_s

    @property
    def memory(self) -> tuple[np.ndarray, ...]:
        """(count, ...) each: all of it."""
        counts = self.episode, self.steps, self.stage, self.stage_s
        return *counts, self.keep_out, self.peak_N, self.peak_at_s, self.reward

    def begin(self, ids: np.ndarray, episode: np.ndarray) -> None:
        """Episodes of these numbers start in the rows `ids`."""
        self.episode[ids] = episode
        self.steps[ids], self.stage[ids], self.keep_out[ids] = 0, 0, False
        self.peak_N[ids] = self.peak_at_s[ids] = self.reward[ids] = 0.0
        self.stage_s[ids] = np.inf

    def note(self, stage: np.ndarray, keep_out: np.ndarray, peak_N: np.ndarray, reward: np.ndarray) -> None:
        """Take in the end of a period, whose step has been counted; (count,) each, `peak_N` of the episode so far."""
        time_s = self.steps * self._period_s
        self.peak_at_s = np.where(peak_N > self.peak_N, time_s, self.peak_at_s)
        self.peak_N = peak_N
        self.keep_out |= keep_out
        self.stage = np.maximum(self.stage, stage)
        reached = self.stage[:, None] > np.arange(self.stage_s.shape[1])
        self.stage_s = np.where(reached, np.minimum(self.stage_s, time_s[:, None]), self.stage_s)
        self.reward += reward

    def outcome(self, row: int, success: bool, figures: Mapping[str, float]) -> Outcome:
        """How the episode in this row has ended; `figures` as of `Outcome`."""
        steps = int(self.steps[row])
        return Outcome(
            episode=int(self.episode[row]),
            success=success,
            cycle_time_s=steps * self._period_s if success else float("inf"),
            peak_force_N=float(self.peak_N[row]),
            keep_out=bool(self.keep_out[row]),
            stage=int(self.stage[row]),
            steps=steps,
            reward=float(self.reward[row]),
            stage_s=tuple(self.stage_s[row].tolist()),
            peak_at_s=float(self.peak_at_s[row]),
            figures=figures,
        )
