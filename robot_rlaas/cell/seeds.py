"""Where randomness comes from: one generator per episode, from seed spaces that cannot overlap."""

from enum import IntEnum

import numpy as np


class Space(IntEnum):
    """What an episode is drawn for. Episodes of different spaces never share a generator."""

    DEMONSTRATE = 1
    TRAIN = 2
    VALIDATE = 3
    QUALIFY = 4
    DEPLOY = 5
    SHOW = 6


def episode_generator(seed: int, space: Space, episode: int) -> np.random.Generator:
    """The generator of one episode: the same whatever runs beside it."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, int(space), episode])))
