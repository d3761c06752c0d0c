"""The safety filter between a controller and an arm: the same code in the environment and in the supervisor.

It works on joint targets at the control rate. `interpolate.setpoint` carries its limits over to every faster rate.
"""

from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.control.arrays import namespace
from robot_rlaas.control.kinematics import Pose, SerialChain, forward, points, tool_pose

Array = Any
SETTLE_S = 0.2  # so long before the tool can be in a speed zone its commands are slow: the arm lags behind them
ZONE_SHARE = 0.95  # of a zone's speed is commanded: servos swing
OCTANTS = np.array([(x, y, z) for y in (0, 1) for x in (0, 1) for z in (0, 1)], dtype=bool)  # at which ends a corner is
TRIES = 8  # places on the way from braking to what is wanted, and again between two of them


class Envelope(NamedTuple):
    """What the filter enforces.

    Attributes:
        lower_rad, upper_rad: (k,) joint range.
        speed_rad_s: (k,) joint speed.
        acceleration_rad_s2: (k,) joint acceleration.
        keep_out_min_m, keep_out_max_m: (b, 3) corners of boxes in the base frame.
        guarded_m: (m, 3) points on the tool, in the tool frame, that must stay out of the boxes.
        force_N: contact force at which the supervisor stops the arm.
        zone_min_m, zone_max_m: (z, 3) corners of speed zones in the base frame.
        zone_speed_m_s: (z,) how fast a corner of the guarded points' bounding box may be in them.
    """

    lower_rad: np.ndarray
    upper_rad: np.ndarray
    speed_rad_s: np.ndarray
    acceleration_rad_s2: np.ndarray
    keep_out_min_m: np.ndarray
    keep_out_max_m: np.ndarray
    guarded_m: np.ndarray
    force_N: float
    zone_min_m: np.ndarray
    zone_max_m: np.ndarray
    zone_speed_m_s: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Plain lists, to travel in a bundle."""
        return {k: v if isinstance(v, float) else v.tolist() for k, v in self._asdict().items()}

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Envelope":
        """The inverse of `to_json`. Empty lists of boxes keep their (0, 3) shape; older content has no speed zones."""
        boxes = ("keep_out_min_m", "keep_out_max_m", "guarded_m", "zone_min_m", "zone_max_m")
        content = {"zone_min_m": [], "zone_max_m": [], "zone_speed_m_s": [], **content}
        fields = {k: np.asarray(v, dtype=float) for k, v in content.items() if k != "force_N"}
        fields |= {k: fields[k].reshape(-1, 3) for k in boxes}
        return Envelope(**fields, force_N=float(content["force_N"]))


class Filtered(NamedTuple):
    """A target that is safe to send, and what had to be changed.

    Attributes:
        target_rad: (n, k).
        limited: (n, k) bool: this joint's target was changed by a position, speed or acceleration limit.
        blocked: (n,) bool: the target was refused because the tool would have entered a keep-out box.
        slowed: (n,) bool: the target was brought nearer because the tool would have become too fast for a speed zone.
        tool: the tool's pose at the target, and
        J: (n, 6, k) its Jacobian there, as of `kinematics.forward`.
    """

    target_rad: Array
    limited: Array
    blocked: Array
    slowed: Array
    tool: Pose
    J: Array


def joint_range(chain: SerialChain, profile_rad: Array) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (k,) of the joints' ranges: the tighter of the model's and the profile's (k, 2)."""
    ends = np.asarray(profile_rad)
    return np.maximum(chain.lower_rad, ends[:, 0]), np.minimum(chain.upper_rad, ends[:, 1])


def inside_keep_out(envelope: Envelope, tool: Pose) -> Array:
    """Whether any guarded point of the tool, at these poses (n), is inside a keep-out box -> (n,) bool."""
    xp = namespace(tool.p)
    if len(envelope.keep_out_min_m) == 0:
        return xp.zeros(tool.p.shape[0], dtype=xp.bool)
    at = points(tool, xp.asarray(envelope.guarded_m))[:, :, None, :]
    low, high = xp.asarray(envelope.keep_out_min_m), xp.asarray(envelope.keep_out_max_m)
    return xp.any(xp.all((at > low) & (at < high), axis=-1), axis=(1, 2))


def tool_corners(envelope: Envelope, tool: Pose) -> Array:
    """The corners (n, 8, 3), base frame, of the guarded points' bounding box in the tool frame, at these poses (n)."""
    corners = np.where(OCTANTS, envelope.guarded_m.max(axis=0), envelope.guarded_m.min(axis=0))
    return points(tool, namespace(tool.p).asarray(corners))


def zone_use(envelope: Envelope, before: Array, after: Array, period_s: float, ahead_s: float = 0.0) -> Array:
    """The largest share of a speed zone's limit that the tool takes on its way between two poses, (...).

    It is in a zone where the box that its corners span along the base frame's axes reaches into it, at either end.

    Args:
        envelope: says where the zones are and how fast the tool may be there.
        before, after: (..., 8, 3) from `tool_corners`, one control period apart.
        period_s: the control period.
        ahead_s: every zone is taken for larger, on all sides, by what the tool does in so long at the speed allowed.
    """
    xp = namespace(before)
    corners = xp.empty((8, 3, 2, *before.shape[:-2]))  # rows of the batch run last, so that they are long
    corners[:, :, 0], corners[:, :, 1] = (xp.moveaxis(c, (-2, -1), (0, 1)) for c in (before, after))
    x, y, z = xp.moveaxis(corners[:, :, 1] - corners[:, :, 0], 1, 0)
    speed = xp.sqrt(xp.max(x * x + y * y + z * z, axis=0)) / period_s
    allowed = xp.asarray(envelope.zone_speed_m_s)
    wider = (ahead_s * allowed)[:, None]
    boxes = xp.asarray(envelope.zone_min_m) - wider, xp.asarray(envelope.zone_max_m) + wider
    low, high = (xp.reshape(corner.T, (3, 1, *[1] * speed.ndim, -1)) for corner in boxes)
    least, most = xp.min(corners, axis=0)[..., None], xp.max(corners, axis=0)[..., None]
    in_zone = xp.any(xp.all((least < high) & (most > low), axis=0), axis=0)
    return xp.max(xp.where(in_zone, speed[..., None] / allowed, 0.0), axis=-1)


def keeps_zones(chain: SerialChain, envelope: Envelope, period_s: float, last: Array, target: Array) -> Array:
    """(n,) bool: neither on the way from `last` to `target` nor braking from there is the tool too fast in a zone."""
    xp = namespace(last)
    path, step, a = [last, target], target - last, xp.asarray(envelope.acceleration_rad_s2) * period_s**2
    for _ in range(int(np.ceil((envelope.speed_rad_s / envelope.acceleration_rad_s2).max() / period_s))):
        step = step - _between(xp, step, -a, a)
        path.append(path[-1] + step)
    tool = tool_pose(chain, xp.concat(path))
    corners = xp.reshape(tool_corners(envelope, tool), (len(path), last.shape[0], 8, 3))
    use = zone_use(envelope, corners[:-1], corners[1:], period_s, SETTLE_S)
    return xp.all(use <= ZONE_SHARE + 1e-9, axis=0)


def limit_joints(envelope: Envelope, period_s: float, last: Array, step: Array, wanted: Array) -> tuple[Array, Array]:
    """The nearest target (n, k) to `wanted` that respects the joints' limits, and which joints were changed (n, k).

    A joint never moves so fast towards its limit that it could not brake in time: from a distance d, a step x is
    allowed while x + x^2 / 2a <= d, where a is the largest change of step. That condition can always be kept from one
    period to the next. Arguments are as of `filter_target`.
    """
    xp = namespace(last)
    a = xp.asarray(envelope.acceleration_rad_s2) * period_s**2
    v = xp.asarray(envelope.speed_rad_s) * period_s
    wanted = xp.where(xp.isfinite(wanted), wanted, last)
    room_up = xp.maximum(xp.asarray(envelope.upper_rad) - last, 0.0)
    room_down = xp.maximum(last - xp.asarray(envelope.lower_rad), 0.0)
    up = xp.minimum(a * (xp.sqrt(1.0 + 2.0 * room_up / a) - 1.0), v)
    down = xp.minimum(a * (xp.sqrt(1.0 + 2.0 * room_down / a) - 1.0), v)
    move = _between(xp, wanted - last, -down, up)
    move = _between(xp, move, step - a, step + a)
    return last + move, xp.abs(last + move - wanted) > 1e-9


def filter_target(
    chain: SerialChain, envelope: Envelope, period_s: float, last: Array, step: Array, wanted: Array
) -> Filtered:
    """The nearest target to `wanted` that respects the envelope.

    Args:
        last: (n, k) the target sent last, rad.
        step: (n, k) last minus the one before it, rad.
        wanted: (n, k) rad. A value that is not finite becomes a braking step.
    """
    xp = namespace(last)
    target, limited = limit_joints(envelope, period_s, last, step, wanted)
    slowed = xp.zeros(last.shape[0], dtype=xp.bool)
    if len(envelope.zone_speed_m_s):
        target, slowed = _slowed(chain, envelope, period_s, last, step, target)
    tool, J = forward(chain, target)
    blocked = inside_keep_out(envelope, tool)
    if xp.any(blocked):
        a = xp.asarray(envelope.acceleration_rad_s2) * period_s**2
        brake = _between(xp, 0.0 * last, step - a, step + a)
        target = xp.where(blocked[:, None], last + brake, target)
        tool, J = forward(chain, target)
    return Filtered(target, limited, blocked, slowed, tool, J)


def _slowed(
    chain: SerialChain, envelope: Envelope, period_s: float, last: Array, step: Array, target: Array
) -> tuple[Array, Array]:
    """The farthest targets (n, k) on the way from braking to `target` that keep the speed zones; which are changed.

    A target is taken only if the arm, braking as hard as it may from there on, would not be too fast in any zone. Then
    braking can be chosen again in the next period, and so on: from rest, no sequence of wishes breaks a zone's limit.
    """
    xp = namespace(last)
    a = xp.asarray(envelope.acceleration_rad_s2) * period_s**2
    slowed = ~keeps_zones(chain, envelope, period_s, last, target)
    if xp.any(slowed):
        last, step, wanted = last[slowed], step[slowed], target[slowed]
        safe = last + _between(xp, 0.0 * last, step - a, step + a)
        way, number = wanted - safe, xp.arange(TRIES)[:, None]
        for size in (1 / TRIES, 1 / TRIES**2):
            tries = safe + size * number[..., None] * way
            keeps = keeps_zones(chain, envelope, period_s, xp.tile(last, (TRIES, 1)), xp.concat([*tries]))
            farthest = xp.argmax(number * xp.reshape(keeps, (TRIES, -1)), axis=0)
            safe = tries[farthest, xp.arange(len(last))]
        target[slowed] = safe
    return target, slowed


def _between(xp: Any, x: Array, low: Array, high: Array) -> Array:
    return xp.minimum(xp.maximum(x, low), high)
