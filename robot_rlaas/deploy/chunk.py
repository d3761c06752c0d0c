"""Setpoints for a joint_trajectory_controller: each is the beginning of a short trajectory that ends at rest.

Such a controller plays what it was sent last to its end. So every setpoint comes with the way to it and with the way on
to rest, braked by the watchdog's rule. While setpoints come, only the first tick of each trajectory is played; when
they cease, whoever has died, the controller itself brakes the arm, and it stands where the last point is.
"""

from typing import NamedTuple

import numpy as np

from robot_rlaas.control.interpolate import braked

GRID_S = 0.001  # points of a controller's trajectory are not closer together than its own ticks may be


class Chunk(NamedTuple):
    """A trajectory of k joints.

    Attributes:
        time_s: (n,) of the points, from the start, increasing.
        position_rad, velocity_rad_s: (n, k).
    """

    time_s: np.ndarray
    position_rad: np.ndarray
    velocity_rad_s: np.ndarray

    def at(self, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity (k,) so long after the start: cubic between points, the last point after it."""
        time_s, q, v = self
        if seconds >= time_s[-1]:
            return q[-1], v[-1]
        i = max(int(np.searchsorted(time_s, seconds, side="right")) - 1, 0)
        lasts_s = time_s[i + 1] - time_s[i]
        s, way, before, after = (seconds - time_s[i]) / lasts_s, q[i + 1] - q[i], v[i] * lasts_s, v[i + 1] * lasts_s
        square, cube = 3 * way - 2 * before - after, before + after - 2 * way
        position = q[i] + s * (before + s * (square + s * cube))
        return position, (before + s * (2 * square + 3 * s * cube)) / lasts_s


class Chunks:
    """One arm's setpoints as chunks.

    Args:
        acceleration_rad_s2: (k,) how hard joints brake, in the order of the setpoints.
        tick_s: between two setpoints.
    """

    def __init__(self, acceleration_rad_s2: np.ndarray, tick_s: float) -> None:
        self._a, self._tick_s = acceleration_rad_s2, tick_s
        self._last: Chunk | None = None
        self._sent_s = -np.inf

    def begin(self) -> None:
        """The next setpoint is a first one: the arm may have been moved by somebody else."""
        self._last = None

    def of(self, position_rad: np.ndarray, velocity_rad_s: np.ndarray, now_s: float) -> Chunk:
        """The chunk that leads to a setpoint (k,) within a tick, from where the controller is by the last chunk."""
        q, v = position_rad, velocity_rad_s
        from_q, from_v = (q, np.zeros_like(v)) if self._last is None else self._last.at(now_s - self._sent_s)
        stops_s = np.ceil(np.abs(v) / self._a / GRID_S) * GRID_S
        rests_s = np.unique(stops_s[stops_s > 0])
        ahead = [(braked(q, v, self._a, s), np.sign(v) * np.maximum(np.abs(v) - self._a * s, 0.0)) for s in rests_s]
        positions, velocities = zip((from_q, from_v), (q, v), *ahead)
        time_s = np.concatenate([[0.0, self._tick_s], self._tick_s + rests_s])
        self._last, self._sent_s = Chunk(time_s, np.array(positions), np.array(velocities)), now_s
        return self._last
