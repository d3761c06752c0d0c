"""Simulated episodes again, from their starts and the actions that were executed: the same bits, or what differs."""

from collections.abc import Callable, Iterator
from itertools import batched, groupby
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.contract import components
from robot_rlaas.data.episode import Episode
from robot_rlaas.data.quality.findings import Data, Finding, Severity, counted

ROWS = 50  # episodes side by side
DIVERGED = 0.005  # of a column's usual range; on the machine that recorded it, nothing differs at all


class Again(NamedTuple):
    """How an episode went this time.

    Attributes:
        observation: (T, observation_size), with NaN after its end.
        reward: (T,), with NaN after its end.
        success: by the task's own predicate.
        peak_force_N: largest contact force; NaN where it had not ended.
        steps: periods until it ended; None where it had not ended after all recorded actions.
    """

    observation: np.ndarray
    reward: np.ndarray
    success: bool
    peak_force_N: float
    steps: int | None


def simulate(
    episodes: dict[int, Episode], env_of: Callable[[list[Episode]], Any], on_episode: Callable[[int], None]
) -> dict[int, Again]:
    """Run them again.

    Args:
        episodes: those with seeds.
        env_of: a BatchEnv with one row per episode, without restarts, that has begun exactly those.
        on_episode: called with how many are done.
    """
    order = sorted(episodes, key=lambda i: (str(episodes[i].seeds), len(episodes[i].action)))
    found: dict[int, Again] = {}
    for _, same in groupby(order, key=lambda i: episodes[i].seeds):
        for some in batched(same, ROWS):
            again = _run(env_of([episodes[i] for i in some]), [episodes[i] for i in some])
            found.update(zip(some, again))
            on_episode(len(found))
    return found


def _run(env: Any, episodes: list[Episode]) -> list[Again]:
    longest = max(len(e.executed) for e in episodes)
    seen = np.full((len(episodes), longest, env.contract.observation_size), np.nan, dtype=np.float32)
    reward = np.full((len(episodes), longest), np.nan, dtype=np.float32)
    ended: list[tuple[bool, float, int | None]] = [(False, np.nan, None)] * len(episodes)
    observation = env.observation
    for t in range(min(longest, env.cell.horizon)):
        action = np.zeros((len(episodes), env.contract.action_size), dtype=np.float32)
        for row, episode in enumerate(episodes):
            if t < len(episode.executed) and ended[row][-1] is None:
                seen[row, t], action[row] = observation[row], episode.executed[t]
        step = env.step(action)
        for row, episode in enumerate(episodes):
            if t < len(episode.executed) and ended[row][-1] is None:
                reward[row, t] = step.reward[row]
        observation = step.observation
        for row, outcome in zip(step.rows, step.outcomes):
            if ended[row][-1] is None and t < len(episodes[row].executed):
                ended[row] = outcome.success, outcome.peak_force_N, t + 1
    frames = [slice(len(e.executed)) for e in episodes]
    return [Again(seen[row, those], reward[row, those], *ended[row]) for row, those in enumerate(frames)]


def compare(data: Data, again: dict[int, Again]) -> Iterator[Finding]:
    """Episodes that went another way, or ended otherwise, than they did when they were simulated again.

    Where most of them do, it is the simulation that has changed, not they.
    """
    yield from _of_arms(data)
    scale = _scale(data)
    apart = {index: _apart(run, data.opened.episodes[index], scale) for index, run in again.items()}
    changed = sum(len(frames) > 0 for frames in apart.values())
    if changed > max(1, len(again) / 2):
        text = f"{changed} of {len(again)} episodes go another way when they are simulated again"
        advice = (
            "the simulation is not the one that recorded them (another version or cell): no episode is blamed for it"
        )
        yield Finding("replay", Severity.NOTE, None, None, text, advice)
        return
    for index, run in again.items():
        episode, frames = data.opened.episodes[index], apart[index]
        if run.steps is not None and run.steps < len(episode.action):
            more = len(episode.action) - run.steps
            text = f"simulated again, it ends after {run.steps} frames; {counted(more, 'frame')} more are recorded"
            advice = "cut them off: they are not of the attempt"
            span = run.steps, len(episode.action) - 1
            yield Finding("replay", Severity.TRIM, index, span, text, advice)
        if len(frames):
            text = f"simulated again, it goes another way from frame {frames[0]} on"
            text += f": {counted(len(frames), 'frame')} of {len(episode.action)} differ"
            text += f", first in {_first(data, run, episode, frames[0], scale)}"
            advice = "its frames or its actions are not those of the run: leave it out"
            yield Finding("replay", Severity.BAD, index, (int(frames[0]), int(frames[-1])), text, advice)
        if run.success != episode.success:
            was, now = ("a success" if success else "a failure" for success in (episode.success, run.success))
            text = f"labelled {was}, but simulated again it is {now}"
            yield Finding("replay", Severity.BAD, index, None, text, "put it right with 'rlaas demos relabel'")


def _of_arms(data: Data) -> Iterator[Finding]:
    """What no simulation can do again."""
    arm = data.opened.lineage.made.settings.get("arm")
    if arm is not None:
        count = len(data.opened.lineage.episodes)
        unknown = sum(attempt.seed is None for attempt in data.opened.lineage.episodes)
        text = f"{unknown} of {count} episodes were recorded on an arm ({arm}): they cannot be simulated again"
        yield Finding("replay", Severity.NOTE, None, None, text, "look at what the other checks say of them")


def _apart(run: Again, episode: Episode, scale: np.ndarray) -> np.ndarray:
    """The frames in which a run differs, up to its end."""
    return np.flatnonzero(_off(run, episode, scale)[: run.steps].max(axis=1) >= DIVERGED)


def _off(run: Again, episode: Episode, scale: np.ndarray) -> np.ndarray:
    """By how much each value differs, in usual ranges; a value that one of the two lacks by infinitely much."""
    return np.nan_to_num(np.abs(run.observation - episode.observation) / scale, nan=np.inf)


def _first(data: Data, run: Again, episode: Episode, frame: int, scale: np.ndarray) -> str:
    names = components(data.opened.contract.observation)
    return names[int(_off(run, episode, scale)[frame].argmax())]


def _scale(data: Data) -> np.ndarray:
    """(observation_size,) the usual range of each column, at least a thousandth of what its feature may take."""
    every = np.concatenate([e.observation for e in data.episodes.values()] or [np.zeros((1, 1))])
    bounds = [f.high - f.low for f in data.opened.contract.observation for _ in f.axes]
    low, high = np.quantile(every, [0.01, 0.99], axis=0)
    return np.maximum(high - low, 1e-3 * np.array(bounds))
