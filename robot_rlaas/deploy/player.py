"""Plays joint targets as setpoints, one per tick, and brakes where that has to be at once."""

from collections import deque
from typing import NamedTuple

import numpy as np

from robot_rlaas.control.interpolate import braked, setpoint, velocity

STILL_RAD = 1e-6


class _Brake(NamedTuple):
    """Where and how fast the setpoint was when it began to brake, and how long that takes."""

    start_s: float
    position: np.ndarray
    velocity: np.ndarray
    lasts_s: float


class Player:
    """The setpoints of one arm. Without targets there is nothing to play.

    Args:
        acceleration_rad_s2: (k,) how hard joints brake, and their targets' limit.
        jerk_rad_s3: (k,) what the arm's maker allows; None where he does not say.
        tick_s: between two setpoints.

    Attributes:
        targets: (3, k) the last three targets, oldest first, or None.
        velocity_rad_s: (k,) of the setpoint played last.
        behind: the arm was held up, and no target was reached since.
    """

    def __init__(self, acceleration_rad_s2: np.ndarray, jerk_rad_s3: np.ndarray | None, tick_s: float) -> None:
        self.targets: np.ndarray | None = None
        self.velocity_rad_s = np.zeros_like(acceleration_rad_s2)
        self.behind = False
        self._a, self._tick_s = acceleration_rad_s2, tick_s
        self._step, self._length = 0, 1  # ticks played of the present period, and its length
        self._played_s = -np.inf
        self._brake: _Brake | None = None
        self._sent: deque[np.ndarray] = deque(maxlen=averaged(acceleration_rad_s2, jerk_rad_s3, tick_s))

    @property
    def at_rest(self) -> bool:
        """The setpoint does not move."""
        if self.targets is None:
            return True
        return self._brake is None and bool(np.ptp(self.targets, axis=0).max() < STILL_RAD)

    @property
    def braking(self) -> bool:
        """The setpoint is on its way to rest, whatever targets come."""
        return self._brake is not None

    @property
    def ticks_left(self) -> int:
        """Of the present period; none after its last one."""
        return (self._length - self._step) % self._length

    @property
    def boundary_s(self) -> float:
        """When the next period begins."""
        return self._played_s + (self.ticks_left + 1) * self._tick_s

    def stand(self, position_rad: np.ndarray) -> None:
        """Rest at joint angles (k,)."""
        self.targets = np.tile(position_rad, (3, 1))
        self._step, self._brake = 0, None
        self._sent.clear()

    def begin(self, target_rad: np.ndarray, ticks: int) -> None:
        """A new period of so many ticks, towards a target (k,)."""
        assert self.targets is not None
        self.targets = np.stack([*self.targets[1:], target_rad])
        self._step, self._length = 0, ticks

    def brake(self) -> None:
        """From the setpoint played last on, and from the time when that was."""
        if self.targets is None or self.at_rest or self._brake is not None:
            return
        position, speed = self._at(self._step or self._length)
        lasts_s = float((np.abs(speed) / self._a).max())
        self._brake, self.behind = _Brake(self._played_s, position, speed, lasts_s), True

    def play(self, now_s: float) -> np.ndarray:
        """The next setpoint (k,)."""
        if self._brake is not None:
            position = self._braking(self._brake, now_s)
        else:
            self._step += 1
            position, self.velocity_rad_s = self._at(self._step)
            self._step %= self._length
        self._played_s = now_s
        return self._smooth(position)

    def rest(self, now_s: float) -> np.ndarray:
        """The setpoint (k,) where it rests."""
        assert self.targets is not None
        self.velocity_rad_s, self._played_s = np.zeros_like(self.velocity_rad_s), now_s
        return self._smooth(self.targets[2])

    def _at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity after so many ticks of the present period."""
        assert self.targets is not None
        before, last, now = self.targets
        phase = step / self._length
        speed = velocity((before, last, now), phase) / (self._length * self._tick_s)
        return setpoint((before, last, now), phase), speed

    def _braking(self, brake: _Brake, now_s: float) -> np.ndarray:
        elapsed_s = now_s - brake.start_s
        position = braked(brake.position, brake.velocity, self._a, elapsed_s)
        slower = np.maximum(np.abs(brake.velocity) - self._a * elapsed_s, 0.0)
        self.velocity_rad_s = np.sign(brake.velocity) * slower
        if elapsed_s >= brake.lasts_s:
            self.targets, self._brake, self._step = np.tile(position, (3, 1)), None, 0
        return position

    def _smooth(self, position: np.ndarray) -> np.ndarray:
        """The mean over as many setpoints as the arm's jerk limit takes: one, as a rule, and nothing changes."""
        new = np.stack([position, self.velocity_rad_s])
        self._sent.extend([new] if self._sent else [new] * (self._sent.maxlen or 1))
        if len(self._sent) == 1:
            return position
        position, self.velocity_rad_s = np.mean(self._sent, axis=0)
        return position


def averaged(acceleration_rad_s2: np.ndarray, jerk_rad_s3: np.ndarray | None, tick_s: float) -> int:
    """Over how many setpoints the mean is taken, so that jerk, their third difference, stays within the arm's limit.

    It is at most the acceleration limit per tick, and of the mean of n > 1 setpoints at most twice that by n. The mean
    keeps all other limits and lags behind by half as many ticks.
    """
    if jerk_rad_s3 is None:
        return 1
    share = float((acceleration_rad_s2 / (jerk_rad_s3 * tick_s)).max())
    return 1 if share <= 1 else int(np.ceil(2 * share - 1e-9))
