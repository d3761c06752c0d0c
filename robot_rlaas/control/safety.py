"""The safety filter between a controller and an arm: the same code in the environment and in the supervisor.

It works on joint targets at the control rate. `interpolate.setpoint` carries its limits over to every faster rate.
"""

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from robot_rlaas.control.kinematics import Pose, SerialChain, forward, points

Array = Any


class Envelope(NamedTuple):
    """What the filter enforces.

    Attributes:
        lower_rad, upper_rad: (k,) joint range.
        speed_rad_s: (k,) joint speed.
        acceleration_rad_s2: (k,) joint acceleration.
        keep_out_min_m, keep_out_max_m: (b, 3) corners of boxes in the base frame.
        guarded_m: (m, 3) points on the tool, in the tool frame, that must stay out of the boxes.
        force_N: contact force at which the supervisor stops the arm.
    """

    lower_rad: np.ndarray
    upper_rad: np.ndarray
    speed_rad_s: np.ndarray
    acceleration_rad_s2: np.ndarray
    keep_out_min_m: np.ndarray
    keep_out_max_m: np.ndarray
    guarded_m: np.ndarray
    force_N: float

    def to_json(self) -> dict[str, Any]:
        """Plain lists, to travel in a bundle."""
        return {k: v if isinstance(v, float) else v.tolist() for k, v in self._asdict().items()}

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Envelope":
        """The inverse of `to_json`. Empty lists of boxes keep their (0, 3) shape."""
        boxes = ("keep_out_min_m", "keep_out_max_m", "guarded_m")
        fields = {k: np.asarray(v, dtype=float) for k, v in content.items() if k != "force_N"}
        fields |= {k: fields[k].reshape(-1, 3) for k in boxes}
        return Envelope(**fields, force_N=float(content["force_N"]))


class Filtered(NamedTuple):
    """A target that is safe to send, and what had to be changed.

    Attributes:
        target_rad: (n, k).
        limited: (n, k) bool: this joint's target was changed by a position, speed or acceleration limit.
        blocked: (n,) bool: the target was refused because the tool would have entered a keep-out box.
        tool: the tool's pose at the target, and
        J: (n, 6, k) its Jacobian there, as of `kinematics.forward`.
    """

    target_rad: Array
    limited: Array
    blocked: Array
    tool: Pose
    J: Array


def inside_keep_out(envelope: Envelope, tool: Pose) -> Array:
    """Whether any guarded point of the tool, at these poses (n), is inside a keep-out box -> (n,) bool."""
    xp = array_namespace(tool.p)
    if len(envelope.keep_out_min_m) == 0:
        return xp.zeros(tool.p.shape[0], dtype=xp.bool)
    at = points(tool, xp.asarray(envelope.guarded_m))[:, :, None, :]
    low, high = xp.asarray(envelope.keep_out_min_m), xp.asarray(envelope.keep_out_max_m)
    return xp.any(xp.all((at > low) & (at < high), axis=-1), axis=(1, 2))


def filter_target(
    chain: SerialChain, envelope: Envelope, period_s: float, last: Array, step: Array, wanted: Array
) -> Filtered:
    """The nearest target to `wanted` that respects the envelope.

    A joint never moves so fast towards its limit that it could not brake in time: from a distance d, a step x is
    allowed while x + x^2 / 2a <= d, where a is the largest change of step. That condition can always be kept from one
    period to the next.

    Args:
        last: (n, k) the target sent last, rad.
        step: (n, k) last minus the one before it, rad.
        wanted: (n, k) rad. A value that is not finite becomes a braking step.
    """
    xp = array_namespace(last)
    a = xp.asarray(envelope.acceleration_rad_s2) * period_s**2
    v = xp.asarray(envelope.speed_rad_s) * period_s
    wanted = xp.where(xp.isfinite(wanted), wanted, last)
    room_up = xp.maximum(xp.asarray(envelope.upper_rad) - last, 0.0 * last)
    room_down = xp.maximum(last - xp.asarray(envelope.lower_rad), 0.0 * last)
    up = xp.minimum(a * (xp.sqrt(1.0 + 2.0 * room_up / a) - 1.0), v)
    down = xp.minimum(a * (xp.sqrt(1.0 + 2.0 * room_down / a) - 1.0), v)
    move = _between(xp, wanted - last, -down, up)
    move = _between(xp, move, step - a, step + a)
    limited = xp.abs(last + move - wanted) > 1e-9
    target = last + move
    tool, J = forward(chain, target)
    blocked = inside_keep_out(envelope, tool)
    if xp.any(blocked):
        brake = _between(xp, 0.0 * last, step - a, step + a)
        target = xp.where(blocked[:, None], last + brake, target)
        tool, J = forward(chain, target)
    return Filtered(target, limited, blocked, tool, J)


def _between(xp: Any, x: Array, low: Array, high: Array) -> Array:
    return xp.minimum(xp.maximum(x, low), high)
