"""What a controller of ros2_control makes of what it is sent, for an arm that is commanded in positions."""

from typing import Protocol

import numpy as np

from robot_rlaas.deploy.chunk import Chunk
from robot_rlaas.deploy.virtual_arm.arm import Reading


class Controller(Protocol):
    """Commands for an arm, one per tick."""

    def command(self, reading: Reading) -> np.ndarray | None:
        """The joint positions (k,) for the tick that begins now, or None while nothing was sent yet."""
        ...


class ForwardCommandController:
    """Holds the positions that it was sent last."""

    def __init__(self) -> None:
        self._sent: np.ndarray | None = None

    def take(self, position_rad: np.ndarray) -> None:
        """Take in positions (k,)."""
        self._sent = position_rad

    def command(self, reading: Reading) -> np.ndarray | None:
        """See `Controller.command`."""
        return self._sent


class JointTrajectoryController:
    """Plays the trajectory that it was sent last, from the next tick on, and holds its last point.

    As the real one does, it begins where the arm was measured if the first point is not due at once, and commands in
    each tick what is due at its end.

    Args:
        tick_s: between two commands.
    """

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._sent: Chunk | None = None
        self._active: Chunk | None = None
        self._played_s = 0.0

    def take(self, trajectory: Chunk) -> None:
        """Take in a trajectory that replaces the one before it."""
        self._sent = trajectory

    def command(self, reading: Reading) -> np.ndarray | None:
        """See `Controller.command`."""
        if self._sent is not None:
            self._active, self._sent, self._played_s = self._from_measured(self._sent, reading), None, 0.0
        if self._active is None:
            return None
        self._played_s += self._tick_s
        return self._active.at(self._played_s)[0]

    @staticmethod
    def _from_measured(trajectory: Chunk, reading: Reading) -> Chunk:
        if trajectory.time_s[0] == 0:
            return trajectory
        return Chunk(
            np.concatenate([[0.0], trajectory.time_s]),
            np.vstack([reading.q_rad, trajectory.position_rad]),
            np.vstack([reading.velocity_rad_s, trajectory.velocity_rad_s]),
        )
