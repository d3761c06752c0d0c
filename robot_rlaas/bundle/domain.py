"""The operating domain: what a policy saw in episodes that it was qualified on, and how far from that something is.

What is seen on the way to a hole, in the search and in the hole are different things, and in each of them forces, leads
and heights go together in their own way. So the observations are divided into regions (k-means), each with a mean and a
covariance, and an observation is as far away as its nearest region says (Mahalanobis). The unit is the distance that
one in a thousand observations exceeds in other successful episodes than those that the regions were made from.
"""

import math
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError

FORMAT = 1
INSIDE = 0.999  # of the observations of other successful episodes score at most 1
BOUNDS = (0.0005, 0.5, 0.9995)  # quantiles of every number
LEAST_EPISODES = 20
REGIONS, PER_REGION = 32, 20  # at most; and that many observations in it for each number of an observation
FLOOR = 0.1  # of a number's deviation: what never varies in a region may still do so a little
CLUSTERED = 20_000  # observations that the regions are made from, at most
AT_ONCE = 4096  # observations that are scored together
ACTED = "last_action"  # what the policy did itself may well be the same for long
STILL = 5  # periods in a row without any change: in a number that never did that, a frozen sensor; others are flags


@dataclass(frozen=True)
class Domain:
    """What was seen, n numbers each time.

    Attributes:
        cell_hash, policy_sha256: of what was qualified.
        axes: (n) names of the numbers.
        bounds: (3, n) quantiles of each.
        maps: (n, m n) and
        offsets: (m n,): of an observation x, x maps - offsets are m vectors, one per region; the shortest one's length
            is the score.
        repeats: (n,) periods that each number stayed the very same, at most.
        episodes, observations: how many it was made from.
    """

    cell_hash: str
    policy_sha256: str
    axes: tuple[str, ...]
    bounds: np.ndarray
    maps: np.ndarray
    offsets: np.ndarray
    repeats: np.ndarray
    episodes: int
    observations: int

    @property
    def size(self) -> int:
        """Numbers in an observation."""
        return len(self.axes)

    @cached_property
    def frozen_after(self) -> np.ndarray:
        """(n,) periods in a row after which a number that stays the very same is a frozen sensor; infinite for those
        that may, and for what no sensor tells."""
        sensed = np.array([not axis.startswith(ACTED) for axis in self.axes])
        return np.where((self.repeats < STILL) & sensed, self.repeats + STILL, np.inf)

    def score(self, observation: np.ndarray) -> float:
        """How far an observation (n,) is from what was seen: up to 1 is inside; NaN, if one of its numbers is."""
        z = observation @ self.maps
        z -= self.offsets
        z *= z
        return math.sqrt(z.reshape(-1, self.size).sum(1).min())

    def scores(self, observations: np.ndarray) -> np.ndarray:
        """The same for many observations (N, n) at once -> (N,)."""
        parts = []
        for some in np.array_split(observations, math.ceil(len(observations) / AT_ONCE)):
            z = (some @ self.maps - self.offsets).reshape(len(some), -1, self.size)
            parts.append(np.sqrt((z**2).sum(2).min(1)))
        return np.concatenate(parts)

    def beyond(self, observation: np.ndarray) -> list[str]:
        """Which numbers of an observation (n,) are outside the bounds of what was seen. Often none: their combination
        is what is new."""
        low, _, high = self.bounds
        return [name for name, x, a, b in zip(self.axes, observation, low, high) if not a <= x <= b]

    def __str__(self) -> str:
        return f"{self.observations:,} observations of {self.episodes:,} successful episodes"

    def to_json(self) -> dict[str, Any]:
        """Plain content; `from_json` brings back the same bits."""
        arrays = {name: _plain(getattr(self, name)) for name in ("bounds", "maps", "offsets", "repeats")}
        told = {
            name: getattr(self, name) for name in ("cell_hash", "policy_sha256", "axes", "episodes", "observations")
        }
        return {"format": FORMAT, **told, **arrays}

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Domain":
        """The inverse of `to_json`.

        Raises:
            InputError: if a part is missing, or they do not fit together.
        """
        try:
            bounds, maps, offsets = (np.array(content[k], dtype=np.float32) for k in ("bounds", "maps", "offsets"))
            domain = Domain(
                cell_hash=str(content["cell_hash"]),
                policy_sha256=str(content["policy_sha256"]),
                axes=tuple(str(name) for name in content["axes"]),
                bounds=bounds,
                maps=maps,
                offsets=offsets,
                repeats=np.array(content["repeats"], dtype=np.int64),
                episodes=int(content["episodes"]),
                observations=int(content["observations"]),
            )
            n, m = domain.size, len(offsets) // max(domain.size, 1)
            shapes = (3, n), (n, m * n), (m * n,), (n,)
            found = bounds.shape, maps.shape, offsets.shape, domain.repeats.shape
            if content["format"] != FORMAT or m < 1 or found != shapes:
                raise ValueError(f"format {content['format']!r}, parts of sizes {found}")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"not an operating domain: {error}", fix="qualify the policy again") from error
        return domain


def fit(episodes: list[np.ndarray], contract: Contract, cell_hash: str, policy_sha256: str) -> Domain | None:
    """The operating domain of successful episodes, (T, n) observations each; None for fewer than LEAST_EPISODES.

    Every other episode makes the regions, the rest their unit: nothing is judged by what it was made from.
    """
    if len(episodes) < LEAST_EPISODES:
        return None
    made, judged = (np.concatenate(part).astype(np.float64) for part in (episodes[::2], episodes[1::2]))
    maps, offsets = _regions(made)
    everything = np.concatenate([made, judged])
    domain = Domain(
        cell_hash=cell_hash,
        policy_sha256=policy_sha256,
        axes=tuple(f"{f.name} {axis}" for f in contract.observation for axis in f.axes),
        bounds=np.quantile(everything, BOUNDS, axis=0).astype(np.float32),
        maps=maps,
        offsets=offsets,
        repeats=np.max([_longest_repeats(episode) for episode in episodes], axis=0),
        episodes=len(episodes),
        observations=len(everything),
    )
    nearest = np.sort(domain.scores(judged))
    unit = nearest[min(math.ceil(INSIDE * (len(judged) + 1)), len(judged)) - 1]
    return replace(domain, maps=(maps / unit).astype(np.float32), offsets=(offsets / unit).astype(np.float32))


def _regions(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps and offsets of the regions of observations (N, n), without a unit."""
    from scipy.cluster.vq import kmeans2

    n, mean = observations.shape[1], observations.mean(0)
    deviation = np.maximum(observations.std(0), np.finfo(np.float32).eps)
    z = (observations - mean) / deviation
    some = z[:: math.ceil(len(z) / CLUSTERED)]
    count = int(np.clip(len(some) // (PER_REGION * n), 1, REGIONS))
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of regions that nothing is in
        _, region = kmeans2(some, count, minit="++", rng=0)
    members = [some[region == i] for i in range(count) if np.any(region == i)]
    within = sum((len(m) - 1) * np.cov(m.T) for m in members if len(m) > 1) / len(some)
    maps, offsets = [], []
    for m in members:
        spread = (m - m.mean(0)).T @ (m - m.mean(0))
        covariance = (spread + n * within) / (len(m) + n) + FLOOR**2 * np.eye(n)  # a small region leans on the others
        variance, axes = np.linalg.eigh(covariance)
        maps.append(axes / np.sqrt(variance) / deviation[:, None])
        offsets.append((m.mean(0) + mean / deviation) @ (axes / np.sqrt(variance)))
    return np.concatenate(maps, axis=1), np.concatenate(offsets)


def _longest_repeats(episode: np.ndarray) -> np.ndarray:
    """For each number of an episode (T, n), how many periods in a row it kept the value of the period before."""
    longest = run = np.zeros(episode.shape[1], dtype=np.int64)
    for same in episode[1:] == episode[:-1]:
        run = np.where(same, run + 1, 0)
        longest = np.maximum(longest, run)
    return longest


def _plain(array: np.ndarray) -> list[Any]:
    """The shortest decimals that give the same float32 again."""
    if array.ndim > 1:
        return [_plain(row) for row in array]
    return [float(str(value)) for value in array] if array.dtype.kind == "f" else array.tolist()
