"""Where randomness comes from: one generator per episode, from seed spaces that cannot overlap."""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np


class Space(IntEnum):
    """What an episode is drawn for. Episodes of different spaces never share a generator."""

    DEMONSTRATE = 1
    TRAIN = 2
    VALIDATE = 3
    QUALIFY = 4
    DEPLOY = 5
    SHOW = 6
    HELD_OUT = 7
    COMPARE = 8
    AUGMENT = 9
    SWEEP = 10


class Seeds(NamedTuple):
    """An unending sequence of episodes.

    Attributes:
        seed: the user's.
        space: what the episodes are for.
        key: words that keep this sequence apart from others of the same seed and space. Qualification uses
            `key_of` the policy: its episodes do not exist before the policy does, so it cannot have seen them.
    """

    seed: int
    space: Space
    key: tuple[int, ...] = ()

    def generator(self, episode: int, apart: tuple[int, ...] = ()) -> np.random.Generator:
        """The generator of one episode, or of something `apart` in it: the same whatever runs beside it."""
        path = (int(self.space), episode, *self.key, *apart)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=path)))


def key_of(*sha256: str) -> tuple[int, ...]:
    """Words for `Seeds.key` from hexadecimal digests, the same in whatever order they come."""
    return tuple(int(digest[i : i + 8], 16) for digest in sorted(sha256) for i in (0, 8))


def sequence_json(seeds: Seeds) -> dict[str, Any]:
    """How a sequence stands in files: in a report, and in the provenance of what learned from it."""
    return {"seed": seeds.seed, "space": seeds.space.name, "key": list(seeds.key)}
