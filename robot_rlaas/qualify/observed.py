"""What a policy saw, episode by episode."""

from collections.abc import Iterable

import numpy as np


class Observed:
    """Keeps the observations of the episodes with the lowest numbers.

    Args:
        most: of how many episodes, at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._first: int | None = None
        self._episodes: list[np.ndarray] = []
        self._observations: list[np.ndarray] = []

    def note(self, episodes: np.ndarray, observations: np.ndarray) -> None:
        """Take in the observations (k, n) of the present period of these episodes (k,)."""
        self._first = int(episodes.min()) if self._first is None else self._first
        wanted = episodes < self._first + self._most
        self._episodes.append(episodes[wanted])
        self._observations.append(observations[wanted])

    def of(self, episodes: Iterable[int]) -> list[np.ndarray]:
        """The observations (T, n) of these episodes, in order of time; nothing of an episode that was not kept."""
        if not self._episodes:
            return []
        numbers, rows = np.concatenate(self._episodes), np.concatenate(self._observations)
        order = np.argsort(numbers, kind="stable")
        kept, begins = np.unique(numbers[order], return_index=True)
        at = dict(zip(kept.tolist(), np.split(rows[order], begins[1:])))
        return [at[episode] for episode in episodes if episode in at]
