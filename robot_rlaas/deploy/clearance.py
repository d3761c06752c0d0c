"""Whether arm and tool keep clear of boxes, of the table and of themselves, as far as they cannot brake in time."""

import numpy as np

from robot_rlaas.control.capsules import Capsules, axes_of, distances, encounters
from robot_rlaas.control.kinematics import SerialChain, points, tool_pose
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy.events import Event

MARGIN_M = 0.010  # to be kept: setpoints cut the corners of their targets, and the arm lags behind them
STRIDE_M = 0.010  # nothing moves further than this from one look along the way to the next


class Clearance:
    """Looks along the way on which the arm would come to rest, if it braked from a target on as hard as it may.

    A target from which no such way is clear is never taken, so the arm can always be braked clear of everything. From
    where it is already too near to something it may only move away.

    Args:
        chain: the arm's kinematics.
        envelope: keep-out boxes, the tool's guarded points, and how hard joints may brake.
        period_s: between two targets.
        capsules: of the arm; None looks at the tool's guarded points and the boxes alone.
    """

    def __init__(self, chain: SerialChain, envelope: Envelope, period_s: float, capsules: Capsules | None) -> None:
        self._chain, self._envelope, self._capsules = chain, envelope, capsules
        self._change_rad = envelope.acceleration_rad_s2 * period_s**2
        boxes = len(envelope.keep_out_min_m)
        self._who = [("the tool", f"keep-out box {b + 1}") for _ in envelope.guarded_m for b in range(boxes)]
        if capsules is not None:
            self._who += encounters(capsules, boxes)
        self._reach_m = _reach(chain, envelope, capsules)
        self._looked_at, self._room_m = np.zeros(len(chain.joints)), -np.inf if self._who else np.inf

    def blocks(self, last: np.ndarray, target: np.ndarray) -> Event | None:
        """What is in the way of a target (k,), coming from the last one (k,), rad; None if nothing is."""
        path, step = [target], target - last
        while np.any(step):
            step = step - np.clip(step, -self._change_rad, self._change_rad)
            path.append(path[-1] + step)
        way = np.array(path)
        if (np.abs(way - self._looked_at) @ self._reach_m < self._room_m).all():
            return None  # nothing can have come near since the last look
        corners = np.concatenate([last[None], way])
        found = self._distances(corners) - MARGIN_M
        room_m, moved_m = found.min(axis=1), np.abs(np.diff(corners, axis=0)) @ self._reach_m
        self._looked_at, self._room_m = last, float(room_m[0])
        if (np.minimum(room_m[:-1], room_m[1:]) > moved_m / 2).all():
            return None  # nor between the corners
        least = (self._distances(_strides(corners, moved_m)) - MARGIN_M).min(axis=0)
        wrong = (least < 0) & (least < found[0] - 1e-9)
        if not wrong.any():
            return None
        worst = int(np.argmin(np.where(wrong, least, np.inf)))
        text = f"{' would come too near to '.join(self._who[worst])}"
        cause = "keep_out" if "box" in self._who[worst][1] else "collision"
        return Event("blocked", cause, text, "", float(least[worst]) + MARGIN_M, MARGIN_M, "m")

    def _distances(self, q_rad: np.ndarray) -> np.ndarray:
        """Of all that could meet, (n, d), m."""
        low, high = self._envelope.keep_out_min_m, self._envelope.keep_out_max_m
        found = []
        if len(low):
            at = points(tool_pose(self._chain, q_rad), self._envelope.guarded_m)[:, :, None, :]
            outside = np.maximum(low - at, at - high).max(axis=-1)  # negative inside; no more than the distance
            found.append(outside.reshape(len(q_rad), -1))
        if self._capsules is not None:
            found.append(distances(self._capsules, axes_of(self._capsules, self._chain, q_rad), low, high))
        return np.concatenate(found, axis=1)


def _strides(corners: np.ndarray, moved_m: np.ndarray) -> np.ndarray:
    """Postures (n, k) along a way with these corners (m + 1, k), between which nothing moves further than (m,)."""
    counts = np.maximum(np.ceil(moved_m / STRIDE_M), 1).astype(int)
    ends = zip(corners[:-1], corners[1:], counts)
    return np.concatenate([a + np.linspace(0, 1, n + 1)[1:, None] * (b - a) for a, b, n in ends])


def _reach(chain: SerialChain, envelope: Envelope, capsules: Capsules | None) -> np.ndarray:
    """(k,) how far from each joint's axis anything that it moves can be at most, m."""
    k = len(chain.joints)
    tool = float(np.linalg.norm(chain.p_tool) + np.linalg.norm(envelope.guarded_m, axis=1).max())
    out = [(k - 1, tool)]
    if capsules is not None:
        ends = np.linalg.norm(np.stack([capsules.start_m, capsules.end_m]), axis=-1).max(axis=0) + capsules.radius_m
        out += list(zip(capsules.link.tolist(), ends.tolist()))
    along = np.cumsum(np.linalg.norm(chain.p, axis=1))
    return np.array([max(along[link] - along[i] + length for link, length in out if link >= i) for i in range(k)])
