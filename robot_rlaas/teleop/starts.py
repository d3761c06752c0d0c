"""Which starts the kept demonstrations cover, which they lack, and which one comes next."""

from collections import deque
from collections.abc import Iterable

import numpy as np

from robot_rlaas.cell.seeds import Seeds
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.data.episode import Episode, start_axes, start_of
from robot_rlaas.data.quality.coverage import Axis, axes_named
from robot_rlaas.sim.variation import draw

POPULATION, POOL = 256, 16


class Starts:
    """The starts that a sequence draws, measured in shares of what they vary.

    Args:
        cell: for its variation.
        seeds: the sequence; the first of its starts say how far an axis reaches of which the cell does not.
        kept: episodes that there are already.
        first: numbers that come before all others.
    """

    def __init__(self, cell: CellSpec, seeds: Seeds, kept: Iterable[Episode] = (), first: Iterable[int] = ()) -> None:
        self._cell, self._seeds, names = cell, seeds, start_axes(cell)
        self._axes = axes_named(cell, names, self._drawn(np.arange(POPULATION)))
        self._low, self._extent = np.zeros(len(names)), np.zeros(len(names))
        for axis in self._axes:
            self._low[axis.column] = axis.low / axis.scale
            self._extent[axis.column] = (axis.high - axis.low) / axis.scale
        self._done: list[np.ndarray] = []
        self._used: set[int] = set()
        self._first = deque(first)
        for episode in kept:
            self.add(episode)

    def add(self, episode: Episode) -> None:
        """One more is kept."""
        if episode.seeds == self._seeds:
            self._used.add(episode.number)
        if episode.success and len(episode.start) == len(self._low):
            self._done.append(episode.start)

    def next(self, after: int) -> int:
        """Of the coming numbers that no kept episode has, the one whose start is furthest from all that are done."""
        while self._first:
            if (number := self._first.popleft()) not in self._used:
                return number
        pool: list[int] = []
        while len(pool) < POOL:
            after += 1
            if after not in self._used:
                pool.append(after)
        if not self._done:
            return pool[0]
        to = np.array([self._share(start) for start in self._done])
        away = np.linalg.norm(self._share(self._drawn(np.array(pool)))[:, None] - to, axis=-1).min(axis=1)
        return pool[int(away.argmax())]

    def lacking(self) -> list[str]:
        """The thirds of each axis that no success began in, such as "plate x -30 to -10 mm"."""
        done = np.array([self._share(start) for start in self._done]).reshape(len(self._done), len(self._low))
        third = np.clip((3 * done).astype(int), 0, 2)
        return [_third(axis, i) for axis in self._axes for i in range(3) if i not in third[:, axis.column]]

    def _drawn(self, numbers: np.ndarray) -> np.ndarray:
        return start_of(draw(self._cell, self._seeds, numbers), self._cell)

    def _share(self, start: np.ndarray) -> np.ndarray:
        """(..., axes) from 0 to 1 over what is drawn; 0 on an axis that does not vary."""
        return (start - self._low) / np.where(self._extent > 0, self._extent, np.inf)


def _third(axis: Axis, number: int) -> str:
    low, high = (axis.low + (axis.high - axis.low) * i / 3 for i in (number, number + 1))
    return f"{axis.name} {low:.3g} to {high:.3g} {axis.unit}".rstrip()


class AsTheyCome:
    """The starts of an arm, which nobody draws: parts lie where they were put. They are numbered from `first` on."""

    def __init__(self, first: int) -> None:
        self._first = first

    def add(self, episode: Episode) -> None:
        """See `Starts.add`."""

    def next(self, after: int) -> int:
        """See `Starts.next`."""
        return max(after + 1, self._first)

    def lacking(self) -> None:
        """See `Starts.lacking`. Nobody knows."""
