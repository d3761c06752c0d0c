"""From joint targets at the control rate to a setpoint at any rate.

A uniform quadratic B-spline over the last three targets. Position and velocity are continuous; the setpoint stays in
the convex hull of the targets, its speed never exceeds the targets' and its acceleration is their second difference.
So limits that hold for the targets hold for what the arm receives, and repeating the last target is a smooth stop.
It costs one and a half periods of lag. Its acceleration is constant within a period and jumps between two, by up to
twice its limit: jerk, as the third difference of setpoints, is at most the acceleration limit per tick.
"""

from typing import Any

from robot_rlaas.control.arrays import namespace

Array = Any


def setpoint(targets: tuple[Array, Array, Array], phase: Any) -> Array:
    """The setpoint `phase` of the way through the present period.

    Args:
        targets: the last three targets, oldest first, (..., k) each, rad.
        phase: in [0, 1], a scalar or an array that broadcasts against the targets.
    """
    before, last, now = targets
    u = phase
    return 0.5 * ((1 - u) ** 2 * before + (1 + 2 * u - 2 * u * u) * last + u * u * now)


def velocity(targets: tuple[Array, Array, Array], phase: Any) -> Array:
    """How fast the setpoint moves there, rad per period. Arguments as of `setpoint`."""
    before, last, now = targets
    return (1 - phase) * (last - before) + phase * (now - last)


def braked(position_rad: Array, velocity_rad_s: Array, acceleration_rad_s2: Array, seconds: float) -> Array:
    """Where joints are so long after they began to brake as hard as they may: at rest in the end, each in its own time.

    From any setpoint of a stream that the safety filter made, they come to rest within the joints' ranges.
    """
    xp = namespace(position_rad)
    speed = xp.abs(velocity_rad_s)
    t = xp.minimum(xp.asarray(seconds), speed / acceleration_rad_s2)
    return position_rad + xp.sign(velocity_rad_s) * (speed * t - acceleration_rad_s2 * t * t / 2)
