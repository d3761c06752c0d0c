"""Slow motions from rest to rest, in joint space."""

import numpy as np

from robot_rlaas.control.controller import ToolController
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope, keeps_zones

HOME_SPEED_RAD_S = 0.8
HOME_ACCELERATION_RAD_S2 = 2.0
SLOWER = 1.25  # from one try to the next


class JointPath:
    """A straight line in joint space in minimum-jerk time, from rest to rest, as targets one period apart."""

    def __init__(self, start: np.ndarray, end: np.ndarray, period_s: float, slower: float = 1.0) -> None:
        distance = float(np.abs(end - start).max())
        seconds = max(1.875 * distance / HOME_SPEED_RAD_S, np.sqrt(5.774 * distance / HOME_ACCELERATION_RAD_S2))
        self._start, self._end = start, end
        self._count, self._index = max(1, int(np.ceil(slower * seconds / period_s))), 0

    def next(self) -> np.ndarray | None:
        """The next target, or None after the last one."""
        self._index += 1
        if self._index > self._count:
            return None
        return self._at(self._index / self._count)

    @property
    def targets(self) -> np.ndarray:
        """(N, k) all of them, the start first."""
        return np.array([self._at(i / self._count) for i in range(self._count + 1)])

    def _at(self, s: float) -> np.ndarray:
        return self._start + (self._end - self._start) * (10 * s**3 - 15 * s**4 + 6 * s**5)


def path_to(controller: ToolController, goal_rad: np.ndarray) -> JointPath:
    """From the last target to a goal (k,): see `path_between`."""
    start_rad = controller.targets[2, 0]
    return path_between(controller.chain, controller.envelope, controller.period_s, start_rad, goal_rad)


def path_between(
    chain: SerialChain, envelope: Envelope, period_s: float, start_rad: np.ndarray, goal_rad: np.ndarray
) -> JointPath:
    """From joint angles (k,) to others, so slowly that the filter has nothing to slow down in any speed zone."""
    slower = 1.0
    while True:
        path = JointPath(start_rad, goal_rad, period_s, slower)
        targets = path.targets
        if not len(envelope.zone_speed_m_s) or keeps_zones(chain, envelope, period_s, targets[:-1], targets[1:]).all():
            return path
        slower *= SLOWER
