"""Whether a target that arrives is one for this arm, now."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robot_rlaas.deploy.events import Event

STALE_PERIODS, STALE_S = 3, 0.1  # so many, and no sooner than that
FUTURE_S = 0.1
NAN = float("nan")
JUMP_S = 0.15  # a target that top speed does not reach in so long is not meant for this arm where it is


class Arrival(NamedTuple):
    """A target as it came.

    Attributes:
        names: of the joints, in the order of `position_rad`.
        position_rad: their angles.
        age_s: how old its stamp is.
        sent_ns: that stamp, where it is known.
        since_ns: the stamp of the target before it.
    """

    names: Sequence[str]
    position_rad: Sequence[float]
    age_s: float
    sent_ns: int | None
    since_ns: int

    def ordered(self, joints: Sequence[str]) -> list[float]:
        """The angles of these joints."""
        at = dict(zip(self.names, self.position_rad))
        return [at[name] for name in joints]


def refusal(
    arrival: Arrival, joints: Sequence[str], base: np.ndarray, speed_rad_s: np.ndarray, period_s: float, ready: bool
) -> Event | None:
    """Why a target is refused, or None if it is not.

    Args:
        arrival: the target.
        joints: of the arm.
        base: (k,) where it comes from.
        speed_rad_s: (k,) what the joints may do.
        period_s: between two targets.
        ready: all sensors speak, and somebody takes the setpoints.
    """
    names, positions = arrival.names, arrival.position_rad
    if len(names) != len(positions) or len(names) != len(joints):
        text = f"a target of {len(positions)} angles for {len(names)} names, and the arm has {len(joints)} joints"
        return _refused("shape", text)
    if set(names) != set(joints):
        text = f"a target without {', '.join(sorted(set(joints) - set(names)))}"
        return _refused("names", text)
    target = np.array(arrival.ordered(joints), dtype=float)
    if not np.isfinite(target).all():
        return _refused("not_finite", "a target that is no number", joints[int(np.argmin(np.isfinite(target)))])
    stale_s = max(STALE_PERIODS * period_s, STALE_S)
    if not arrival.age_s <= stale_s:
        return _refused("stale", "an old target", "", arrival.age_s, stale_s, "s")
    if arrival.age_s < -FUTURE_S:
        return _refused("future", "a target stamped ahead of time", "", -arrival.age_s, FUTURE_S, "s")
    if arrival.sent_ns is not None and arrival.sent_ns <= arrival.since_ns:
        return _refused("out_of_order", "a target that is no newer than the one before it")
    if not ready:
        return _refused(
            "not_ready", "a target while a sensor is silent or frozen, or no controller or recorder listens"
        )
    away = np.abs(target - base) / speed_rad_s
    worst = int(np.argmax(away))
    if away[worst] > JUMP_S:
        distance, limit = abs(float(target[worst] - base[worst])), float(speed_rad_s[worst]) * JUMP_S
        return _refused("jump", "a target far from where the arm is", joints[worst], distance, limit, "rad")
    return None


def _refused(cause: str, text: str, joint: str = "", value: float = NAN, limit: float = NAN, unit: str = "") -> Event:
    return Event("refused", cause, text, joint, value, limit, unit)
