"""What an arm does for its own calibration instead of a policy: a joint target per control period, then it is over."""

from typing import Any, Protocol

import numpy as np

from robot_rlaas.deploy.cycle import Sensed


class Motion(Protocol):
    """Something to do, from a standstill to a standstill.

    Attributes:
        start_rad: (k,) where the arm has to stand when it begins.
        doing: what is being done, for the log; empty where the targets say it all.
        finished: the last target was given.
        trouble: why it could not be done, and what to do about it; empty if it could.
    """

    start_rad: np.ndarray
    doing: dict[str, Any]
    finished: bool
    trouble: str

    def step(self, sensed: Sensed) -> np.ndarray:
        """The joint target (k,) for the period that begins now."""
        ...

    def leave(self) -> None:
        """Somebody wants it to end: from the next step on it does so, as safely as it can."""
        ...


class Played:
    """Targets (N, k), rad, that are known beforehand."""

    def __init__(self, targets_rad: np.ndarray) -> None:
        self.start_rad, self.doing, self.finished, self.trouble = targets_rad[0], dict[str, Any](), False, ""
        self._targets, self._next = targets_rad, 0

    def step(self, sensed: Sensed) -> np.ndarray:
        """See `Motion.step`."""
        target = self._targets[self._next]
        self._next += 1
        self.finished = self._next == len(self._targets)
        return target

    def leave(self) -> None:
        """See `Motion.leave`. The arm comes to rest where it is when its targets cease."""
        self.finished = True
