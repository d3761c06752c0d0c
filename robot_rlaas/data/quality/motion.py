"""How well the tool was led."""

from collections.abc import Iterator

import numpy as np

from robot_rlaas.control.controller import ACTION_AXES
from robot_rlaas.data.episode import SCRIPTED
from robot_rlaas.data.quality.findings import Data, Finding, Severity, longest_run, outlying

IDLE = 0.05  # of a full step: slower is standing still
PAUSE_S, REST_S = 0.5, 0.2  # an operator's time to end a recording, and what of a pause stays when it is cut
CLIP_FRAMES = 4  # exactly at one value that is no bound: none of many values that a hand or a script gives


def idle(data: Data) -> Iterator[Finding]:
    """Time in which nothing is done: at the end it can be cut off, within an episode it is told."""
    if not data.episodes:
        return
    still = {index: _still(data, index) for index in data.episodes}
    tails = {index: len(flags) - _last(~flags) - 1 for index, flags in still.items()}
    pause, rest = (round(seconds / data.spec.period_s) for seconds in (PAUSE_S, REST_S))
    for index, flags in still.items():
        length, tail = len(flags), tails[index]
        if outlying([*tails.values(), tail], pause)[-1] and length - tail + rest > 1:
            text = f"nothing is done in the last {tail * data.spec.period_s:.1f} s"
            advice = "cut them off: a policy that learns from them learns to stand still"
            yield Finding("idle_tail", Severity.TRIM, index, (length - tail + rest, length - 1), text, advice)
    within = {index: longest_run(flags[: len(flags) - tails[index]]) for index, flags in still.items()}
    slow = outlying([n for _, n in within.values()], 2 * pause)
    for (index, (begin, n)), odd in zip(within.items(), slow):
        if odd:
            text = f"a pause of {n * data.spec.period_s:.1f} s"
            advice = "fine where something is waited for; otherwise a policy learns to hesitate there"
            yield Finding("pause", Severity.NOTE, index, (begin, begin + n - 1), text, advice)


def _still(data: Data, index: int) -> np.ndarray:
    """(T,) bool: hardly a step is wanted, and the gripper is told nothing new."""
    action = data.episodes[index].action
    tool, rest = action[:, : len(ACTION_AXES)], action[:, len(ACTION_AXES) :]
    same = np.ones(len(action), dtype=bool)
    if rest.shape[1]:
        same[1:] = (np.abs(np.diff(rest, axis=0)) < IDLE).all(axis=1)
    return (np.abs(tool) < IDLE).all(axis=1) & same


def _last(flags: np.ndarray) -> int:
    where = np.flatnonzero(flags)
    return int(where[-1]) if len(where) else -1


def clipped(data: Data) -> Iterator[Finding]:
    """Actions that end at a value which is not their bound: something cut them. And how often they are at the bound.

    What a person records ends at the speed that is chosen on the page.
    """
    scripted = [index for index, episode in data.episodes.items() if episode.operator == SCRIPTED]
    piles = {index: set(_piles(data, index)) for index in scripted}
    for index, found in piles.items():
        own = [p for p in found if sum(_alike(p, others) for others in piles.values()) <= len(piles) / 2]
        if own:
            what = ", ".join(sorted({f"{axis} at {level:+.2f}" for axis, level in own}))
            text = f"actions are cut: {what}, again and again to the last bit, and never beyond"
            advice = "look at the scaling and the limits of what recorded the actions"
            yield Finding("clipped", Severity.BAD, index, None, text, advice)
    share = [
        float((np.abs(e.executed[:, : len(ACTION_AXES)]) >= 1.0).any(axis=1).mean()) for e in data.episodes.values()
    ]
    for index, often, odd in zip(data.episodes, share, outlying(share, 0.1) if share else ()):
        if odd:
            text = f"{often:.0%} of the actions are at their bound, usually {np.median(share):.0%}"
            yield Finding(
                "saturated", Severity.NOTE, index, None, text, "lead the tool more slowly, or allow larger steps"
            )


def _piles(data: Data, index: int) -> Iterator[tuple[str, float]]:
    """Axes of the tool's steps whose largest value, short of the bound, comes again and again, though others vary."""
    episode = data.episodes[index]
    for steps in (episode.action, episode.executed):
        for column, axis in enumerate(ACTION_AXES):
            for sign in (1.0, -1.0):
                values = sign * steps[:, column]
                most = float(values.max())
                at, below = values == most, values[(values > 0) & (values < most)]
                many = len(np.unique(below)) > 0.8 * len(below) and len(below) >= CLIP_FRAMES
                if IDLE < most < 1.0 - 1e-6 and at.sum() >= CLIP_FRAMES and many:
                    yield axis, sign * most


def _alike(pile: tuple[str, float], others: set[tuple[str, float]]) -> bool:
    return any(axis == pile[0] and abs(level - pile[1]) < 1e-3 for axis, level in others)


def shake(action: np.ndarray) -> float:
    """How much the wanted steps (T, size) change from period to period: the root mean square of second differences."""
    change = np.diff(action[:, : len(ACTION_AXES)].astype(float), n=2, axis=0)
    return float(np.sqrt(np.mean(np.square(change)))) if len(change) else 0.0


def jerk(data: Data) -> Iterator[Finding]:
    """Shaky leading, against the other episodes."""
    level = np.log([shake(episode.action) + 1e-6 for episode in data.episodes.values()])
    for index, one, odd in zip(data.episodes, level, outlying(level, np.log(2.0)) if len(level) else ()):
        if odd:
            text = f"the actions shake {np.exp(one - np.median(level)):.1f} times as much as is usual"
            advice = "lead the tool more calmly, or leave it out: a policy averages it away at best"
            yield Finding("jerk", Severity.NOTE, index, None, text, advice)


def lengths(data: Data) -> Iterator[Finding]:
    """Episodes far longer than usual."""
    lasting = [len(e.action) * data.spec.period_s for e in data.successes.values()]
    for index, seconds, odd in zip(data.successes, lasting, outlying(lasting, 1.0) if lasting else ()):
        if odd:
            text = f"{seconds:.1f} s long, usually {np.median(lasting):.1f} s"
            yield Finding("long", Severity.NOTE, index, None, text, "look at what took so long")
