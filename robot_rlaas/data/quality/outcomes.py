"""Whether an episode ended as it says."""

from collections.abc import Iterator

import numpy as np

from robot_rlaas.cell.insertion import InsertionTask
from robot_rlaas.data.quality.findings import NORMAL, Data, Finding, Severity

END = ("tool_position", "doing")  # where the tool is at the end, and what the robot takes itself to be at
FAR, NEAR = 4.0, 2.0  # spreads of the successes' ends: beyond is no success's end, within is one
FEWEST = 5  # successes, or there is nothing to compare with
RELABEL = "look at how it ends; if the label is wrong, 'rlaas demos relabel' puts it right"


def label(data: Data) -> Iterator[Finding]:
    """Outcomes that the episode's own end contradicts."""
    ended = _by_time(data)
    yield from ended
    if len(data.successes) < FEWEST or not data.has(END[0]):
        return
    told = {finding.episode for finding in ended}
    ends = {index: _end(data, index) for index in data.episodes}
    good = np.array([ends[index] for index in data.successes])
    middle = np.median(good, axis=0)
    spread = NORMAL * np.median(np.abs(good - middle), axis=0)
    unit = spread + _step(data, len(middle)) / 2  # the last observation is up to a step short of the end
    for index, end in ends.items():
        away = float((np.abs(end - middle) / unit).max())
        in_time = len(data.episodes[index].action) < data.spec.horizon
        if data.episodes[index].success and away > FAR and index not in told:
            text = f"labelled a success, but it ends {_where(data, index)}, as no other success does"
            yield Finding("label", Severity.BAD, index, None, text, RELABEL)
        if not data.episodes[index].success and away < NEAR and in_time and index not in told:
            text = f"labelled a failure, but it ends {_where(data, index)}, as the successes do"
            yield Finding("label", Severity.BAD, index, None, text, RELABEL)


def failed(data: Data) -> Iterator[Finding]:
    """Episodes that did not succeed: training leaves them out by itself."""
    for index, attempt in enumerate(data.opened.lineage.episodes):
        if not attempt.success:
            text = f"it did not succeed in {attempt.steps * data.spec.period_s:.1f} s"
            yield Finding("failed", Severity.NOTE, index, None, text, "training imitates successes only")


def _by_time(data: Data) -> list[Finding]:
    """A simulated episode that succeeds ends then, and so not with its time; an insertion that fails ends with it."""
    found = []
    for index, episode in data.opened.episodes.items():
        steps, timeout_s = data.opened.lineage.episodes[index].steps, data.spec.task.timeout_s
        if episode.seeds is None:
            continue
        if episode.success and steps == data.spec.horizon:
            text = f"labelled a success, but it lasted until its time of {timeout_s:g} s was up"
        elif not episode.success and steps < data.spec.horizon and isinstance(data.spec.task, InsertionTask):
            text = f"labelled a failure, but it ended after {steps * data.spec.period_s:.1f} s, before its time of "
            text += f"{timeout_s:g} s was up"
        else:
            continue
        found.append(Finding("label", Severity.BAD, index, None, text, RELABEL))
    return found


def _end(data: Data, index: int) -> np.ndarray:
    named = data.named(index)
    return np.concatenate([named[name][-1] for name in END if name in named])


def _step(data: Data, size: int) -> np.ndarray:
    """How much one period can change of the end: a step of the tool; a flag by half."""
    step = np.full(size, 0.5)
    step[:3] = data.spec.control.step_mm / 1000
    return step


def _where(data: Data, index: int) -> str:
    x, y, z = data.named(index)[END[0]][-1] * 1000
    return f"with the tool at {x:.0f}, {y:.0f}, {z:.0f} mm in the task's frame"
