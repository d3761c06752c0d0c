"""How an arm took a fault, by its own states: when it came to rest, which limits it kept, what was named."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy.faults import Fault

STILL_RAD_S, STILL_S = 0.03, 0.10  # at rest: no joint faster, for so long


class State(NamedTuple):
    """What the arm said of itself: its stamp, and angles and speeds (k,), in the order of the limits."""

    time_s: float
    q_rad: np.ndarray
    velocity_rad_s: np.ndarray


class Told(NamedTuple):
    """How the arm took a fault.

    Attributes:
        fault: its name.
        stop_s: from the fault to the arm's rest; None where it did not come to rest.
        causes: what was named.
        speed_share: the fastest joint, as a share of its limit.
        acceleration_rad_s2: the largest of a joint over 20 ms.
        out_of_range_rad: how far a joint was out of its range; 0 if none was.
        keep_out: the tool was in a keep-out box.
        ok: it stopped in time where it has to, kept all limits, and the cause was named.
    """

    fault: str
    stop_s: float | None
    causes: tuple[str, ...]
    speed_share: float
    acceleration_rad_s2: float
    out_of_range_rad: float
    keep_out: bool
    ok: bool


def judge(
    fault: Fault, begin_s: float, states: Sequence[State], causes: tuple[str, ...], keep_out: bool, limits: Envelope
) -> Told:
    """How the arm took a fault.

    Args:
        fault: that was put in,
        begin_s: and when.
        states: of the arm since then.
        causes: that were named since then.
        keep_out: the tool was in a keep-out box.
        limits: of the arm.
    """
    t, q, v = (np.array(column) for column in zip(*states))
    t = t - begin_s
    change = np.abs(v[2:] - v[:-2]) / np.maximum(t[2:] - t[:-2], 1e-3)[:, None]
    told = Told(
        fault.name,
        _came_to_rest(t, np.abs(v).max(axis=1)),
        causes,
        float((np.abs(v) / limits.speed_rad_s).max()),
        float(change.max()),
        float(np.maximum(np.maximum(limits.lower_rad - q, q - limits.upper_rad), 0.0).max()),
        keep_out,
        ok=False,
    )
    named = not fault.causes or bool(set(fault.causes) & set(causes))
    stopped = not fault.stops or (told.stop_s is not None and told.stop_s <= fault.within_s)
    kept = told.speed_share <= 1.0 and told.out_of_range_rad <= 1e-3 and not told.keep_out
    return told._replace(ok=named and stopped and kept)


def line(told: Told) -> str:
    """One result in one line."""
    rest = "did not come to rest" if told.stop_s is None else f"at rest after {1000 * told.stop_s:.0f} ms"
    causes = ", ".join(told.causes) or "nothing named"
    return (
        f"{'ok  ' if told.ok else 'FAIL'} {told.fault}: {rest}; {causes}; top speed {told.speed_share:.0%} of the limit"
        f", {told.acceleration_rad_s2:.0f} rad/s^2"
    )


def _came_to_rest(t: np.ndarray, speed: np.ndarray) -> float | None:
    """When a speed (n,) at times t became so small that it stayed so for STILL_S."""
    slow = speed < STILL_RAD_S
    for i in range(len(t)):
        during = slow[(t >= t[i]) & (t <= t[i] + STILL_S)]
        if t[-1] - t[i] >= STILL_S and during.all():
            return float(t[i])
    return None
