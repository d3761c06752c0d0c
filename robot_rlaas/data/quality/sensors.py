"""Whether what was measured can have been measured."""

from collections.abc import Iterator

import numpy as np

from robot_rlaas.cell.contract import components
from robot_rlaas.data.quality.findings import Data, Finding, Severity, counted, longest_run, typical

FROZEN_FRAMES = 5  # a value that noise moves every period holds still for so many by no chance
PARTS = ("observation", "action", "executed", "reward", "stamp_s", "start")
MOST_CLIPPED = 0.02  # of an episode's frames


def not_finite(data: Data) -> Iterator[Finding]:
    """Values that are NaN or infinite."""
    for index, episode in data.opened.episodes.items():
        for part in PARTS:
            values = getattr(episode, part)
            bad = ~np.isfinite(values[:, None] if values.ndim == 1 else values)
            if bad.any():
                where = np.flatnonzero(bad.any(axis=1))
                names = _columns(data, part, np.flatnonzero(bad.any(axis=0)))
                text = f"{counted(int(bad.sum()), 'value')} of {names} not finite, in {counted(len(where), 'frame')}"
                span = None if part == "start" else (int(where[0]), int(where[-1]))
                advice = "training would end in NaN: record it again"
                yield Finding("not_finite", Severity.BAD, index, span, text, advice)


def _columns(data: Data, part: str, columns: np.ndarray) -> str:
    side = {"observation": data.opened.contract.observation, "action": data.opened.contract.action}.get(part)
    if side is None:
        return part
    names = components(side)
    some = ", ".join(names[i] for i in columns[:3])
    return f"{some} and {len(columns) - 3} more" if len(columns) > 3 else some


def frozen(data: Data) -> Iterator[Finding]:
    """Sensors that hold one value: only of axes that noise moves in every period of most episodes.

    Fractions and flags are no measurements; a value at its bound may stay there.
    """
    if not data.episodes:
        return
    runs = {index: _runs(data, index) for index in data.episodes}
    usual = {name: typical([found[name][1] for found in runs.values()])[0] for name in next(iter(runs.values()))}
    for index, found in runs.items():
        held = [name for name, (_, n) in found.items() if n >= FROZEN_FRAMES - 1 and usual[name] < 1.0]
        if held:
            begin, length = found[max(held, key=lambda name: found[name][1])]
            names = ", ".join(held[:4]) + (f" and {len(held) - 4} more" if len(held) > 4 else "")
            seconds = (length + 1) * data.spec.period_s
            text = f"{names} frozen for {seconds:.2f} s, to the last bit; in the other episodes noise moves it always"
            advice = "look at that sensor's driver and its cable, and record it again"
            yield Finding("frozen", Severity.BAD, index, (begin, begin + length), text, advice)


def _runs(data: Data, index: int) -> dict[str, tuple[int, int]]:
    """Per axis of what is measured, where its value holds longest, and for how many steps."""
    named, found = data.named(index), {}
    for feature in data.opened.contract.observation:
        if feature.unit == "1":
            continue
        values = named[feature.name]
        held = (np.diff(values, axis=0) == 0.0) & (values[1:] > feature.low) & (values[1:] < feature.high)
        for column, axis in enumerate(feature.axes):
            found[f"{feature.name}.{axis}"] = longest_run(held[:, column])
    return found


def limits(data: Data) -> Iterator[Finding]:
    """Measurements that reach the bounds that they are clipped to: what lay beyond is lost."""
    for index in data.episodes:
        named = data.named(index)
        for feature in data.opened.contract.observation:
            values = named[feature.name]
            at = ((values <= feature.low) | (values >= feature.high)).any(axis=1)
            if feature.unit != "1" and at.mean() > MOST_CLIPPED:
                where = np.flatnonzero(at)
                text = (
                    f"{feature.name} at its bound of {feature.high:g} {feature.unit} in {at.mean():.0%} of the frames"
                )
                span = int(where[0]), int(where[-1])
                yield Finding("limits", Severity.NOTE, index, span, text, "what lies beyond a bound no policy sees")


def contact(data: Data) -> Iterator[Finding]:
    """Contact forces beyond what the cell allows."""
    limit = data.spec.requirements.contact_force_N.limit
    for index, episode in data.opened.episodes.items():
        if episode.peak_force_N > limit:
            text = f"peak contact force {episode.peak_force_N:.0f} N; the cell requires less than {limit:g} N"
            advice = "a policy that learns from it learns to press: leave it out (clean --rule contact)"
            yield Finding("contact", Severity.NOTE, index, None, text, advice)
