"""The camera of a handling cell, wherever the truth is simulated: late, biased, noisy, blind where the tool is."""

import numpy as np

from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.env.handling.account import Sighting
from robot_rlaas.env.handling.judge import Truth


class Camera:
    """Follows the parts of `count` episodes, by the cell's `sight`."""

    def __init__(self, task: HandlingTask, count: int, period_s: float) -> None:
        sight, parts = task.sight, len(task.parts)
        self._past = np.zeros((count, round(sight.latency_s / period_s) + 1, parts, 4))
        self._hidden_m = sight.hidden_mm / 1000
        self._noise = np.array([sight.noise_mm / 1000, sight.noise_mm / 1000, np.deg2rad(sight.noise_deg)])

    @property
    def memory(self) -> tuple[np.ndarray, ...]:
        """(count, ...) all that is kept of the episodes."""
        return (self._past,)

    def look(self, ids: np.ndarray, first: np.ndarray, now: Truth, bias: np.ndarray, noise: np.ndarray) -> Sighting:
        """Take a picture.

        Args:
            ids: (m,) whose.
            first: (m,) bool: of an episode that has just begun: nothing was seen before, and nothing is in the way.
            now: the truth, one row per id.
            bias: (m, parts, 3) of x, y in m and yaw in rad.
            noise: (m, parts, 3) standard normal.
        """
        taken = np.concatenate([now.base, now.yaw[..., None]], axis=-1)
        self._past[ids] = np.concatenate([self._past[ids, 1:], taken[:, None]], axis=1)
        self._past[ids[first]] = taken[first][:, None]
        late, off = self._past[ids, 0], bias + self._noise * noise
        xyz = late[..., :3] + np.concatenate([off[..., :2], 0.0 * off[..., :1]], axis=-1)
        in_sight = np.linalg.norm(now.base - now.tool.p[:, None], axis=-1) > self._hidden_m
        return Sighting(xyz, late[..., 3] + off[..., 2], in_sight | first[:, None])
