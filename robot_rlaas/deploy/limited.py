"""Targets within all limits, and a word for every one that had to be changed."""

import numpy as np

from robot_rlaas.control.capsules import Capsules
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope, filter_target, limit_joints
from robot_rlaas.deploy.clearance import Clearance
from robot_rlaas.deploy.counts import Counts
from robot_rlaas.deploy.events import Event, Journal

ROUNDING = 1e-9


class Limiter:
    """The safety filter of one arm, with a clearance that looks further ahead than the filter's keep-out boxes.

    Args:
        chain: the arm's kinematics.
        envelope: its limits.
        period_s: between two targets.
        capsules: its shape, or None.
        counts, journal: are told what was changed.
    """

    def __init__(
        self,
        chain: SerialChain,
        envelope: Envelope,
        period_s: float,
        capsules: Capsules | None,
        counts: Counts,
        journal: Journal,
    ) -> None:
        self._chain, self._envelope, self._period_s = chain, envelope, period_s
        self._clearance = Clearance(chain, envelope, period_s, capsules)
        self._counts, self._journal = counts, journal
        self.rest(np.zeros(len(chain.joints)), np.zeros(len(chain.joints)))  # its first call imports for a second

    def rest(self, last: np.ndarray, step: np.ndarray) -> np.ndarray:
        """The target (k,) that brakes best. Arguments as of `safe`."""
        return limit_joints(self._envelope, self._period_s, last[None], step[None], last[None])[0][0]

    def safe(
        self, last: np.ndarray, step: np.ndarray, wanted: np.ndarray, catching_up: bool, now_s: float
    ) -> tuple[np.ndarray, bool]:
        """The target (k,) to take instead of the wanted one, and whether a joint's limit changed it.

        Args:
            last: (k,) the target before, rad.
            step: (k,) how that one differed from the one before it.
            wanted: (k,) the target that was asked for.
            catching_up: the arm was held up: that a limit holds it back is no fault of the target.
            now_s: time.
        """
        rows = last[None], step[None], wanted[None]
        targets, limited = limit_joints(self._envelope, self._period_s, *rows)
        target, limited = targets[0], limited[0]
        if limited.any() and catching_up:
            self._counts.caught_up += 1
        elif limited.any():
            self._counts.limit(limited, target - wanted)
            for i in np.flatnonzero(limited):
                event = limit_event(self._chain.joints[i], i, self._envelope, self._period_s, last, step, wanted)
                self._journal.note(event, now_s)
        if len(self._envelope.zone_speed_m_s):
            safe = filter_target(self._chain, self._envelope, self._period_s, *rows)
            target = safe.target_rad[0]
            if safe.slowed[0]:
                self._counts.slowed += 1
                self._journal.note(Event("slowed", "speed_zone", "the tool would be too fast in a speed zone"), now_s)
        in_the_way = self._clearance.blocks(last, target)
        if in_the_way is not None:
            self._counts.blocked += 1
            self._journal.note(in_the_way, now_s)
            target = self.rest(last, step)
        return target, bool(limited.any())


def limit_event(
    joint: str, i: int, envelope: Envelope, period_s: float, last: np.ndarray, step: np.ndarray, wanted: np.ndarray
) -> Event:
    """Which limit of joint number `i` a target breaks, what it was asked for and what it is allowed."""
    at, speed = float(wanted[i]), float(wanted[i] - last[i]) / period_s
    acceleration = (speed - float(step[i]) / period_s) / period_s
    low, high = float(envelope.lower_rad[i]), float(envelope.upper_rad[i])
    if not low - ROUNDING <= at <= high + ROUNDING:
        return _limited(joint, "position", "a target beyond its range", at, low if at < low else high, "rad")
    if abs(speed) > envelope.speed_rad_s[i] + ROUNDING:
        return _limited(joint, "speed", "too fast", abs(speed), float(envelope.speed_rad_s[i]), "rad/s")
    if abs(acceleration) > envelope.acceleration_rad_s2[i] + ROUNDING / period_s**2:
        allowed = float(envelope.acceleration_rad_s2[i])
        return _limited(joint, "acceleration", "too sudden", abs(acceleration), allowed, "rad/s^2")
    room = (high - at) if speed > 0 else (at - low)
    could = float(np.sqrt(2 * envelope.acceleration_rad_s2[i] * max(room, 0.0)))
    return _limited(joint, "position", "too fast so near the end of its range", abs(speed), could, "rad/s")


def _limited(joint: str, cause: str, text: str, value: float, limit: float, unit: str) -> Event:
    return Event("limited", cause, text, joint, value, limit, unit)
