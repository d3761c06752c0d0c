"""What a check says, and what it is given to look at."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.data.episode import Episode
from robot_rlaas.data.opened import Opened

SPREADS = 6.0  # robust standard deviations beyond which a value is none of the others' kind
NORMAL = 1.4826  # a normal distribution's standard deviation over its median absolute deviation


class Severity(StrEnum):
    """What follows from a finding.

    Attributes:
        BAD: nothing should learn from this episode.
        TRIM: nothing should learn from these frames; the rest is good.
        NOTE: worth knowing; nothing is wrong with it.
    """

    BAD = "bad"
    TRIM = "trim"
    NOTE = "note"


class Finding(NamedTuple):
    """One thing that was found.

    Attributes:
        check: the name of the check.
        severity: what follows from it.
        episode: its index in the dataset; None for what concerns all.
        frames: the first and the last frame that it concerns; None for the whole episode.
        text: what was found, with its figures.
        advice: what to do.
    """

    check: str
    severity: Severity
    episode: int | None
    frames: tuple[int, int] | None
    text: str
    advice: str

    def to_json(self) -> dict[str, Any]:
        """As it stands in inspection.json."""
        return {**self._asdict(), "severity": str(self.severity), "frames": self.frames and list(self.frames)}


class Data:
    """A dataset to look at. Whatever is computed from an episode is computed once.

    Attributes:
        opened: the dataset as it was found.
        spec: the cell that it was recorded in.
        episodes: those without a value that is not finite, by their index.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened, self.spec = opened, opened.lineage.spec
        self.episodes = {i: e for i, e in opened.episodes.items() if len(e.action) > 1 and _finite(e)}
        self._named: dict[int, Mapping[str, np.ndarray]] = {}

    @cached_property
    def successes(self) -> dict[int, Episode]:
        """Those that succeeded, as the dataset says."""
        return {i: e for i, e in self.episodes.items() if e.success}

    def named(self, index: int) -> Mapping[str, np.ndarray]:
        """The observation's features of an episode, (T, size) each, float64."""
        if index not in self._named:
            observation = self.episodes[index].observation.astype(np.float64)
            self._named[index] = self.opened.contract.unpack(observation)
        return self._named[index]

    def has(self, *features: str) -> bool:
        """Whether the contract has these features of an observation."""
        return set(features) <= {f.name for f in self.opened.contract.observation}

    def axis(self, feature: str, axis: str) -> int | None:
        """The column of an axis within a feature; None where the contract has no such thing."""
        found = next((f for f in self.opened.contract.observation if f.name == feature), None)
        return found.axes.index(axis) if found and axis in found.axes else None

    def same_stage(self, index: int) -> np.ndarray:
        """(T - 1,) bool: between two frames the robot went on with what it was doing.

        Where it turns to something else, the frame that positions are given in jumps.
        """
        named = self.named(index)
        same = np.ones(len(self.episodes[index].action) - 1, dtype=bool)
        if "doing" in named:
            same &= (named["doing"][1:] == named["doing"][:-1]).all(axis=1)
        column = self.axis("clock", "in_stage")
        if column is not None:
            clock = named["clock"][:, column]
            same &= clock[1:] >= clock[:-1]
        return same


Check = Callable[[Data], Iterator[Finding]]


def _finite(episode: Episode) -> bool:
    return all(np.isfinite(part).all() for part in (episode.observation, episode.action, episode.executed))


def typical(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Median and robust standard deviation: up to half of the values may be anything."""
    data = np.asarray(values, dtype=float)
    middle = float(np.median(data))
    return middle, NORMAL * float(np.median(np.abs(data - middle)))


def outlying(values: Sequence[float] | np.ndarray, least: float) -> np.ndarray:
    """(n,) bool: far above what is typical, and by at least `least`."""
    middle, spread = typical(values)
    return np.asarray(values, dtype=float) - middle > max(SPREADS * spread, least)


def longest_run(flags: np.ndarray) -> tuple[int, int]:
    """Begin and length of the longest stretch of True; the first of several."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    if not len(begins):
        return 0, 0
    which = int((ends - begins).argmax())
    return int(begins[which]), int(ends[which] - begins[which])


def counted(number: int, word: str) -> str:
    """1 frame, 2 frames."""
    return f"{number} {word}{'' if number == 1 else 's'}"
