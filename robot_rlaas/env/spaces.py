"""A contract as Gymnasium's spaces."""

from collections.abc import Mapping

import numpy as np
from gymnasium import spaces

from robot_rlaas.cell.cameras import STATE, CameraSpec
from robot_rlaas.cell.contract import Contract, Feature, bounds


def observation_space(contract: Contract, cameras: Mapping[str, CameraSpec]) -> spaces.Box | spaces.Dict:
    """The observation vector; with cameras, a dict of it, under "state", and of their pictures."""
    state = _box(contract.observation)
    if not cameras:
        return state
    pictures = {name: spaces.Box(0, 255, (*c.resolution_px[::-1], 3), np.uint8) for name, c in cameras.items()}
    return spaces.Dict({STATE: state, **pictures})


def action_space(contract: Contract) -> spaces.Box:
    """The action vector."""
    return _box(contract.action)


def _box(features: tuple[Feature, ...]) -> spaces.Box:
    low, high = bounds(features)
    return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
