"""The shape of an arm as capsules on its links, and how near they come to each other, to boxes and to the table."""

from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.control.kinematics import SerialChain

SAMPLES = 5  # points along a capsule that are compared with a box


class Capsules(NamedTuple):
    """All points of an arm lie in one of them.

    Attributes:
        link: (c,) int: the joint whose frame it moves with; -1 for the base.
        start_m, end_m: (c, 3) the ends of its axis in that frame.
        radius_m: (c,).
        body: (c,) the name of the link that it is a part of.
        pairs: (m, 2) int: which of them could meet.
        above_table: (c,) bool: it must stay above the table.
        table_m: the height of the table in the base frame.
    """

    link: np.ndarray
    start_m: np.ndarray
    end_m: np.ndarray
    radius_m: np.ndarray
    body: tuple[str, ...]
    pairs: np.ndarray
    above_table: np.ndarray
    table_m: float

    def to_json(self) -> dict[str, Any]:
        """Plain lists, to travel in a bundle."""
        return {
            key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in self._asdict().items()
        }

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Capsules":
        """The inverse of `to_json`."""
        kinds = {"link": int, "pairs": int, "above_table": bool}
        lists = ("link", "start_m", "end_m", "radius_m", "pairs", "above_table")
        arrays = {key: np.asarray(content[key], dtype=kinds.get(key, float)) for key in lists}
        arrays["pairs"] = arrays["pairs"].reshape(-1, 2)
        return Capsules(**arrays, body=tuple(content["body"]), table_m=float(content["table_m"]))


def link_frames(chain: SerialChain, q_rad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (k + 1, n, 3, 3) and origins (k + 1, n, 3) of the joints' frames at q (n, k). The last is the base."""
    n, k = q_rad.shape
    R, p = np.empty((k + 1, n, 3, 3)), np.empty((k + 1, n, 3))
    R[k], p[k] = np.eye(3), 0.0
    c, s = np.cos(q_rad)[:, None], np.sin(q_rad)[:, None]
    for i in range(k):
        p[i] = p[i - 1] + R[i - 1] @ chain.p[i]
        to = R[i - 1] @ chain.R[i]
        R[i, :, :, 0] = to[:, :, 0] * c[:, :, i] + to[:, :, 1] * s[:, :, i]
        R[i, :, :, 1] = to[:, :, 1] * c[:, :, i] - to[:, :, 0] * s[:, :, i]
        R[i, :, :, 2] = to[:, :, 2]
    return R, p


def axes_of(capsules: Capsules, chain: SerialChain, q_rad: np.ndarray) -> np.ndarray:
    """Both ends of every capsule's axis, (n, c, 2, 3), in the base frame, at joint angles q (n, k)."""
    R, p = link_frames(chain, q_rad)
    ends = np.stack([capsules.start_m, capsules.end_m], axis=2)  # (c, 3, 2)
    at = R[capsules.link].transpose(1, 0, 2, 3) @ ends + p[capsules.link].transpose(1, 0, 2)[..., None]
    return at.transpose(0, 1, 3, 2)


def distances(capsules: Capsules, axes_m: np.ndarray, box_min_m: np.ndarray, box_max_m: np.ndarray) -> np.ndarray:
    """Of all that could meet, in the order of `encounters`: (n, d), m, negative where they overlap.

    Args:
        capsules: of the arm.
        axes_m: (n, c, 2, 3) from `axes_of`.
        box_min_m, box_max_m: (b, 3) corners of boxes in the base frame.
    """
    first, second = capsules.pairs.T
    between = segment_distance(axes_m[:, first], axes_m[:, second])
    links = between - capsules.radius_m[first] - capsules.radius_m[second]
    above, moving = np.flatnonzero(capsules.above_table), np.flatnonzero(capsules.link >= 0)
    table = axes_m[:, above][..., 2].min(axis=-1) - capsules.radius_m[above] - capsules.table_m
    share, ends = np.linspace(0, 1, SAMPLES)[:, None], axes_m[:, moving]
    at = (ends[:, :, :1] * (1 - share) + ends[:, :, 1:] * share)[:, :, :, None]  # (n, c, SAMPLES, 1, 3)
    outside = np.maximum(np.maximum(box_min_m - at, at - box_max_m), 0.0)
    boxes = np.sqrt((outside**2).sum(-1)).min(axis=2) - capsules.radius_m[moving, None]  # (n, c, b)
    return np.concatenate([links, table, boxes.reshape(len(boxes), -1)], axis=1)


def encounters(capsules: Capsules, boxes: int) -> list[tuple[str, str]]:
    """Who could meet whom, by name: two links, a link and the table, a link and a keep-out box."""
    body = capsules.body
    links = [(body[i], body[j]) for i, j in capsules.pairs]
    table = [(body[i], "the table") for i in np.flatnonzero(capsules.above_table)]
    moving = np.flatnonzero(capsules.link >= 0)
    return [*links, *table, *((body[i], f"keep-out box {b + 1}") for i in moving for b in range(boxes))]


def segment_distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances (...) between segments, each given by its ends (..., 2, 3).

    Ericson, Real-Time Collision Detection, 5.1.9, without branches: the best of the inner solution and of the four that
    lie at an end of one of the two.
    """
    p, d = one[..., 0, :], one[..., 1, :] - one[..., 0, :]
    q, e = other[..., 0, :], other[..., 1, :] - other[..., 0, :]
    r = p - q
    a, b, f = _dot(d, d), _dot(d, e), _dot(e, e)
    c, g = _dot(d, r), _dot(e, r)
    tiny = 1e-12
    inner = np.clip((b * g - c * f) / np.maximum(a * f - b * b, tiny), 0.0, 1.0)
    best = np.full(np.shape(a), np.inf)
    for s in (inner, np.zeros_like(a), np.ones_like(a)):
        t = np.clip((b * s + g) / np.maximum(f, tiny), 0.0, 1.0)
        s = np.clip((b * t - c) / np.maximum(a, tiny), 0.0, 1.0)
        gap = r + s[..., None] * d - t[..., None] * e
        best = np.minimum(best, _dot(gap, gap))
    return np.sqrt(best)


def _dot(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u * v).sum(-1)
