"""A contract as Gymnasium's spaces."""

import numpy as np
from gymnasium import spaces

from robot_rlaas.cell.contract import Contract


def contract_spaces(contract: Contract) -> tuple[spaces.Box, spaces.Box]:
    """Observation and action space of a contract."""
    sides = []
    for features in (contract.observation, contract.action):
        low = np.concatenate([np.full(len(f.axes), f.low, np.float32) for f in features])
        high = np.concatenate([np.full(len(f.axes), f.high, np.float32) for f in features])
        sides.append(spaces.Box(low, high, dtype=np.float32))
    return sides[0], sides[1]
