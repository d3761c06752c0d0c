"""Episodes that are too much alike, and states in which they differ too much."""

from collections.abc import Iterator

import numpy as np
from scipy.spatial import cKDTree

from robot_rlaas.data.quality.findings import Data, Finding, Severity, typical

POINTS = 32  # of an episode's course, whatever its length
SHARED = 0.5  # of the shorter episode's frames
MOST_FRAMES, NEIGHBOURS = 4000, 8
TORN = 3.0  # times as much disagreement as is usual between neighbours
LEAST_TORN = 0.02  # of all frames, to be worth a line


def duplicates(data: Data) -> Iterator[Finding]:
    """Episodes whose frames stand in an earlier one to the bit: noise makes that impossible."""
    owner: dict[bytes, int] = {}
    for index, episode in data.episodes.items():
        rows = [row.tobytes() for row in np.ascontiguousarray(episode.observation)]
        of = [owner[row] for row in rows if row in owner]
        first, count = np.unique(of, return_counts=True)
        if len(of) and count.max() >= SHARED * min(len(rows), len(data.episodes[int(first[count.argmax()])].action)):
            text = f"{count.max()} of its {len(rows)} frames stand in episode {first[count.argmax()]}, to the bit"
            advice = "leave one of the two out: what stands twice counts twice, and may be in training and test"
            yield Finding("duplicate", Severity.BAD, index, None, text, advice)
        for row in rows:
            owner.setdefault(row, index)


def alike(data: Data) -> Iterator[Finding]:
    """Episodes far nearer to another than episodes usually are to their nearest."""
    if len(data.episodes) < 3:
        return
    indices, course = list(data.episodes), np.array([_course(data, index) for index in data.episodes])
    course = (course - course.mean(axis=0)) / np.maximum(course.std(axis=0), 1e-9)
    distance, neighbour = cKDTree(course).query(course, k=2)
    near = np.log(np.maximum(distance[:, 1], 1e-9))
    middle, spread = typical(near)
    for row in np.flatnonzero((middle - near > max(6 * spread, np.log(4.0))) & (distance[:, 1] > 0.0)):
        other = indices[neighbour[row, 1]]
        if other < indices[row]:
            text = (
                f"nearly the same course as episode {other}: {np.exp(middle - near[row]):.0f} times nearer than usual"
            )
            yield Finding("near_duplicate", Severity.NOTE, indices[row], None, text, "it adds little; vary the starts")


def _course(data: Data, index: int) -> np.ndarray:
    """Observations at POINTS instants of the episode, in a row."""
    observation = data.episodes[index].observation
    at = np.linspace(0, len(observation) - 1, POINTS).round().astype(int)
    return observation[at].astype(float).ravel()


def disagreement(data: Data) -> Iterator[Finding]:
    """Similar states of different successes in which they act differently: an average of both does neither."""
    if len(data.successes) < 2:
        return
    frames = [(index, t) for index, e in data.successes.items() for t in range(len(e.action))]
    rng = np.random.default_rng(0)
    frames = [frames[i] for i in rng.permutation(len(frames))[:MOST_FRAMES]]
    owner = np.array([index for index, _ in frames])
    state, action = (
        np.array([getattr(data.episodes[i], part)[t] for i, t in frames], dtype=float)
        for part in ("observation", "action")
    )
    spread, close = _torn(state, action, owner)
    usual = float(np.median(spread[close].max(axis=1))) if close.any() else 0.0
    torn = close & (spread.max(axis=1) > max(TORN * usual, 0.1))
    share = torn.sum() / max(close.sum(), 1)
    if share > LEAST_TORN:
        axes = [axis for feature in data.opened.contract.action for axis in feature.axes]
        worst = axes[int(spread[torn].mean(axis=0).argmax())]
        when = [t / len(data.episodes[i].action) for (i, t), odd in zip(frames, torn) if odd]
        low, high = np.quantile(when, [0.25, 0.75])
        text = (
            f"in {share:.0%} of the states that several successes pass through they act differently, most in {worst}: "
        )
        text += f"a spread of {np.median(spread[torn].max(axis=1)):.2f} full steps, elsewhere {usual:.2f}; mostly from "
        text += f"{low:.0%} to {high:.0%} of an episode{_doing(data, frames, torn)}"
        advice = "decide on one way of doing it, or train a policy that can hold several (ACT, diffusion)"
        yield Finding("disagreement", Severity.NOTE, None, None, text, advice)


def _torn(state: np.ndarray, action: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much the actions of the nearest states of other episodes spread, per axis; and which states have near ones.

    Args:
        state: (n, size), action: (n, action_size), owner: (n,) the episode.
    """
    scale = state.std(axis=0)
    state = (state - state.mean(axis=0)) / np.where(scale > 1e-9, scale, 1.0)
    distance, near = cKDTree(state).query(state, k=min(4 * NEIGHBOURS, len(state)))
    spread, reach = np.zeros_like(action), np.full(len(state), np.inf)
    for i in range(len(state)):
        others = np.flatnonzero(owner[near[i]] != owner[i])[:NEIGHBOURS]
        if len(others) == NEIGHBOURS:
            spread[i], reach[i] = action[near[i, others]].std(axis=0), distance[i, others[-1]]
    known = np.isfinite(reach)
    return spread, known & (reach <= (np.median(reach[known]) if known.any() else 0.0))


def _doing(data: Data, frames: list[tuple[int, int]], torn: np.ndarray) -> str:
    """During what, where the observation tells."""
    feature = next((f for f in data.opened.contract.observation if f.name == "doing"), None)
    if feature is None:
        return ""
    verbs = np.sum([data.named(i)["doing"][t] for (i, t), odd in zip(frames, torn) if odd], axis=0)
    return f", mostly during '{feature.axes[int(verbs.argmax())]}'"
