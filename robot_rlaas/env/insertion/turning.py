"""From the hole's nominal frame into the one that somebody saw, as matrices: so a network can do it, too."""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.contract import Contract, Feature, components

VECTORS = ("tool_position", "lead_position", "lead_rotation", "force", "torque", "last_action")
PLATE = ("x", "y", "yaw")  # a plate's pose against its nominal one: m, m, rad


class Turning(NamedTuple):
    """How vectors v (n, size) change with a plate's pose (n, 3) as in PLATE, whose cosine and sine are c and s (n, 1).

    u = v + pose @ shift, and what comes out is u @ still + c * (u @ cosine) + s * (u @ sine).

    Attributes:
        shift: (3, size).
        still, cosine, sine: (size, size).
    """

    shift: np.ndarray
    still: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray

    def __call__(self, v: np.ndarray, plate: np.ndarray) -> np.ndarray:
        """Vectors (n, size) for plates (n, 3) -> (n, size)."""
        u, yaw = v + plate @ self.shift, plate[:, 2:]
        return u @ self.still + np.cos(yaw) * (u @ self.cosine) + np.sin(yaw) * (u @ self.sine)


def into_hole(contract: Contract) -> Turning:
    """An observation in the nominal frame -> in the frame of the hole of such a plate, as `Told` does it.

    Of the tool's rotation only the turn about z changes: a tilt of 0.01 rad then is wrong by 0.001 at most.
    """
    turning = _turning(contract.observation, VECTORS, -1.0)
    names = components(contract.observation)
    for axis, name in zip(PLATE, ("tool_position.x", "tool_position.y", "tool_rotation.z")):
        turning.shift[PLATE.index(axis), names.index(name)] = -1.0
    return turning


def out_of_hole(contract: Contract) -> Turning:
    """An action in the frame of the hole of such a plate -> in the nominal frame. It is not shortened to bounds."""
    return _turning(contract.action, ("tool_step",), 1.0)


def _turning(side: tuple[Feature, ...], vectors: tuple[str, ...], way: float) -> Turning:
    names = components(side)
    size = len(names)
    turning = Turning(np.zeros((3, size)), np.eye(size), np.zeros((size, size)), np.zeros((size, size)))
    for vector in vectors:
        x, y = names.index(f"{vector}.x"), names.index(f"{vector}.y")
        turning.still[[x, y], [x, y]] = 0.0
        turning.cosine[[x, y], [x, y]] = 1.0
        turning.sine[x, y], turning.sine[y, x] = way, -way
    return turning
