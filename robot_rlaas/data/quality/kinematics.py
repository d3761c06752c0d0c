"""Whether the tool moves as the actions say.

The controller keeps a reference of the tool. What is measured plus its lead is that reference, and each action moves it
by one step, bounded by the leash: so a log must agree with itself, to sensor noise. What noise is usual is taken from
all episodes.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.spec import Control
from robot_rlaas.control.controller import ACTION_AXES
from robot_rlaas.control.rotation import clip_norm
from robot_rlaas.data.quality.findings import Data, Finding, Severity, typical
from robot_rlaas.data.quality.motion import IDLE

NEEDED = ("tool_position", "tool_rotation", "lead_position", "lead_rotation")
FACTOR = 4.0  # so many times what is usual is no longer of its kind
PERCEPTIBLE = 0.02  # of a step: less matters to nobody
MISLED = 0.1  # of a step: more, on the median, is no noise, even where no exchange of axes explains it


class Story(NamedTuple):
    """An episode's motion, in full steps of an action.

    Attributes:
        tool: (T, 4) where it is: x, y, z and yaw.
        lead: (T, 4) how far its reference is ahead.
        step: (T, 4) what was executed.
        same: (T - 1,) bool: no jump of the task frame between two frames.
    """

    tool: np.ndarray
    lead: np.ndarray
    step: np.ndarray
    same: np.ndarray


def kinematics(data: Data) -> Iterator[Finding]:
    """Motion that does not follow from the actions: axes that are exchanged or reversed, and jumps."""
    if not data.has(*NEEDED):
        return
    control, told = data.spec.control, {index: _story(data, index) for index in data.episodes}
    stories = {index: story for index, story in told.items() if story.same.any()}
    if not stories:
        return
    off = {index: _off(control, story) for index, story in stories.items()}
    jumps = {index: _jumps(control, story) for index, story in stories.items()}
    usual, highest = typical(list(off.values()))[0], np.median([j.max(axis=0) for j in jumps.values()], axis=0)
    for index, story in stories.items():
        odd = off[index] > max(FACTOR * usual, PERCEPTIBLE)
        if odd and (text := _exchanged(control, story, off[index], usual)):
            advice = "look at the order, the signs and the units of the columns in what recorded it"
            yield Finding("kinematics", Severity.BAD, index, None, text, advice)
            continue
        where = np.flatnonzero((jumps[index] > np.maximum(FACTOR * highest, PERCEPTIBLE)).any(axis=1))
        if len(where):
            steps, turns = jumps[index][where].max(axis=0)
            size = f"{steps * control.step_mm:.1f} mm and {turns * control.step_deg:.1f} deg"
            text = f"the tool jumps by up to {size} in one period; no action says so"
            advice = "look at the joint encoders and at what recorded it, and record it again"
            yield Finding("kinematics", Severity.BAD, index, (int(where[0]), int(where[-1]) + 1), text, advice)


def _story(data: Data, index: int) -> Story:
    named, control = data.named(index), data.spec.control
    size = np.array([*[control.step_mm / 1000] * 3, np.deg2rad(control.step_deg)])
    tool, lead = (
        np.column_stack([named[f"{what}_position"], named[f"{what}_rotation"][:, 2]]) / size
        for what in ("tool", "lead")
    )
    executed = np.clip(data.episodes[index].executed[:, : len(ACTION_AXES)].astype(float), -1.0, 1.0)
    return Story(tool, lead, executed, data.same_stage(index))


def _moved(control: Control, story: Story) -> tuple[np.ndarray, np.ndarray]:
    """How the reference moved from frame to frame, and how it should have (T - 1, 4).

    A frame that follows a part as a camera sees it turns a little in every picture. That shows in the yaw, and what it
    does to the place, the more the farther the tool is from the part, is taken out.
    """
    ahead = story.lead + story.step
    leash, leash_yaw = control.leash_mm / control.step_mm, control.leash_deg / control.step_deg
    ahead = np.column_stack([clip_norm(ahead[:, :3], leash), np.clip(ahead[:, 3], -leash_yaw, leash_yaw)])
    moved, wanted = np.diff(story.tool + story.lead, axis=0), (ahead - story.lead)[:-1]
    turn = 360.0 / control.step_deg
    moved[:, 3] -= turn * np.round(moved[:, 3] / turn)
    x, y = story.tool[1:, :2].T
    turned = (moved[:, 3:] - wanted[:, 3:]) * np.deg2rad(control.step_deg)
    moved[:, :2] -= np.column_stack([-y, x]) * turned
    return moved, wanted


def _off(control: Control, story: Story) -> float:
    """How far the reference usually is from where the action should have taken it.

    The median over the frames in which a step is made: in others, any order of the axes makes sense.
    """
    moved, wanted = _moved(control, story)
    moving = story.same & (np.abs(story.step[:-1]) > IDLE).any(axis=1)
    return float(np.median(np.linalg.norm(moved - wanted, axis=1)[moving if moving.any() else story.same]))


def _jumps(control: Control, story: Story) -> np.ndarray:
    """(T - 1, 2) how far the reference moved in no way that an action explains, in place and in yaw.

    A joint that cannot follow goes on with a part of its last motion: all between that and what is wanted is explained.
    """
    moved, wanted = _moved(control, story)
    before = np.concatenate([np.zeros((1, 4)), moved[:-1]])
    known = story.same & np.concatenate([[True], story.same[:-1]])
    parts = [
        np.linalg.norm(_beside(moved[:, axes] - before[:, axes], wanted[:, axes] - before[:, axes]), axis=1)
        for axes in (slice(0, 3), slice(3, 4))
    ]
    return np.column_stack(parts) * known[:, None]


def _beside(at: np.ndarray, way: np.ndarray) -> np.ndarray:
    """From the nearest point between zero and `way` to `at`, both (n, size)."""
    length = np.maximum((way**2).sum(axis=1, keepdims=True), 1e-12)
    return at - np.clip((at * way).sum(axis=1, keepdims=True) / length, 0.0, 1.0) * way


def _exchanged(control: Control, story: Story, off: float, usual: float) -> str:
    """Which exchange or reversal of axes would explain the motion, or how far off it is; nothing if that is little."""
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
    rest = {text: _off(control, other) for text, other in explained.items()}
    best = min(rest, key=rest.__getitem__)
    found_mm, off_mm, usual_mm = (control.step_mm * value for value in (rest[best], off, usual))
    if rest[best] < off / FACTOR:
        return f"{best}: read so, the motion is explained to {found_mm:.3f} mm, else to {off_mm:.2f} mm"
    if off < MISLED:
        return ""
    return f"the tool does not move as the actions say: {off_mm:.2f} mm off per period, usually {usual_mm:.3f} mm"
