"""Whether the tool moves as it was told, and how well it was led."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from robot_rlaas.control.controller import ACTION_AXES
from robot_rlaas.control.rotation import clip_norm
from robot_rlaas.data.quality.findings import Data, Finding, Severity, longest_run, outlying, typical

NEEDED = ("tool_position", "tool_rotation", "lead_position", "lead_rotation")
FACTOR = 4.0  # a residual so many times the usual one is no longer the usual one's kind
PERCEPTIBLE = 0.02  # of a step: below it, nothing in a residual matters to anybody
IDLE = 0.05  # of a full step: slower is standing still
PAUSE_S, REST_S = 0.5, 0.2  # an operator's time to end a recording, and what of a pause stays when it is cut
CLIP_FRAMES = 4  # exactly at one value that is no bound: none of many values that a hand or a script gives


class Story(NamedTuple):
    """An episode's motion in steps: what is wanted of the tool, and where its reference is a period later.

    Attributes:
        tool: (T, 4) where it is: x, y, z and yaw, in full steps of an action.
        lead: (T, 4) how far its reference is ahead.
        step: (T, 4) what was executed.
        same: (T - 1,) bool: no jump of the task frame between two frames.
    """

    tool: np.ndarray
    lead: np.ndarray
    step: np.ndarray
    same: np.ndarray


def kinematics(data: Data) -> Iterator[Finding]:
    """Motion that does not follow from the actions: axes that are exchanged or reversed, and jumps.

    The controller keeps a reference of the tool. What is measured plus its lead is that reference, and each action
    moves it by one step, bounded by the leash; so the log must agree with itself, to sensor noise. What noise is usual
    is taken from all episodes.
    """
    if not data.has(*NEEDED) or not data.episodes:
        return
    stories = {index: _story(data, index) for index in data.episodes}
    residuals = {index: _residual(data, story) for index, story in stories.items()}
    off = {index: _usual_residual(residuals[index], story) for index, story in stories.items()}
    usual = typical(list(off.values()))[0]
    highest = typical([r.max(initial=0.0) for r in residuals.values()])[0]
    for index, residual in residuals.items():
        if off[index] > max(FACTOR * usual, PERCEPTIBLE):
            yield _exchanged(data, index, stories[index], off[index], usual)
            continue
        jumps = np.flatnonzero(residual > max(FACTOR * highest, PERCEPTIBLE))
        if len(jumps):
            at = np.flatnonzero(stories[index].same)[jumps]
            size_mm = float(residual[jumps].max()) * data.spec.control.step_mm
            text = f"the tool jumps by {size_mm:.1f} mm in one period; no action says so"
            advice = "look at the joint encoders and at what recorded it, and record it again"
            yield Finding("kinematics", Severity.BAD, index, (int(at[0]), int(at[-1]) + 1), text, advice)


def _story(data: Data, index: int) -> Story:
    named, control = data.named(index), data.spec.control
    size = np.array([*[control.step_mm / 1000] * 3, np.deg2rad(control.step_deg)])
    tool, lead = (
        np.column_stack([named[f"{what}_position"], named[f"{what}_rotation"][:, 2]]) / size
        for what in ("tool", "lead")
    )
    executed = np.clip(data.episodes[index].executed[:, : len(ACTION_AXES)].astype(float), -1.0, 1.0)
    return Story(tool, lead, executed, data.same_stage(index))


def _residual(data: Data, story: Story) -> np.ndarray:
    """How far the reference is from where the action should have taken it, in full steps, where the frame stays."""
    leash = data.spec.control.leash_mm / data.spec.control.step_mm
    leash_yaw = data.spec.control.leash_deg / data.spec.control.step_deg
    ahead = story.lead + story.step
    ahead = np.column_stack([clip_norm(ahead[:, :3], leash), np.clip(ahead[:, 3], -leash_yaw, leash_yaw)])
    off = (story.tool + story.lead)[1:] - (story.tool + ahead)[:-1]
    turn = 2 * np.pi / np.deg2rad(data.spec.control.step_deg)
    off[:, 3] -= turn * np.round(off[:, 3] / turn)
    return np.linalg.norm(off, axis=1)[story.same]


def _usual_residual(residual: np.ndarray, story: Story) -> float:
    """The median over the frames in which a step is made: of others, any order of the axes makes sense."""
    moving = (np.abs(story.step[:-1]) > IDLE).any(axis=1)[story.same]
    return float(np.median(residual[moving] if moving.any() else residual)) if len(residual) else 0.0


def _exchanged(data: Data, index: int, story: Story, median: float, usual: float) -> Finding:
    """Which exchange or reversal of axes would explain the motion, if one does."""
    explained = {}
    for a, b in combinations(range(len(ACTION_AXES)), 2):
        order = list(range(len(ACTION_AXES)))
        order[a], order[b] = b, a
        names = f"{ACTION_AXES[a]} and {ACTION_AXES[b]}"
        explained[f"{names} of the action are exchanged"] = story._replace(step=story.step[:, order])
        explained[f"{names} of the tool's position are exchanged"] = story._replace(tool=story.tool[:, order])
    for a, name in enumerate(ACTION_AXES):
        sign = np.where(np.arange(len(ACTION_AXES)) == a, -1.0, 1.0)
        explained[f"{name} of the action is reversed"] = story._replace(step=story.step * sign)
    rest = {text: _usual_residual(_residual(data, other), story) for text, other in explained.items()}
    best = min(rest, key=rest.__getitem__)
    step_mm = data.spec.control.step_mm
    text = f"the tool does not move as the actions say: {median * step_mm:.2f} mm off per period, usually"
    text += f" {usual * step_mm:.3f} mm"
    if rest[best] < median / FACTOR:
        text = f"{best}: read so, the motion is explained to {rest[best] * step_mm:.3f} mm, else to "
        text += f"{median * step_mm:.2f} mm"
    advice = "look at the order, the signs and the units of the columns in what recorded it"
    return Finding("kinematics", Severity.BAD, index, None, text, advice)


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
    """Actions that end at a value which is not their bound: something cut them. And how often they are at the bound."""
    piles = {index: set(_piles(data, index)) for index in data.episodes}
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
