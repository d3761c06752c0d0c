"""From joint targets at the control rate to a setpoint at any rate.

A uniform quadratic B-spline over the last three targets. Position and velocity are continuous; the setpoint stays in
the convex hull of the targets, its speed never exceeds the targets' and its acceleration is their second difference.
So limits that hold for the targets hold for what the arm receives, and repeating the last target is a smooth stop.
It costs one and a half periods of lag.
"""

from typing import Any

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
