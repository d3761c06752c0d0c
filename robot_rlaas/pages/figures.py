"""Small charts as inline SVG: data in, an SVG element out. Their colours and fonts stand in templates/style.css."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

Values = Sequence[float] | np.ndarray
Flags = Sequence[bool] | np.ndarray


BINS = 32  # of a histogram below its limit
PIECES = 8  # of a range of starts


class Plot(NamedTuple):
    """A rectangle of pixels and the ranges of data that it shows."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: Values | float) -> np.ndarray:
        """Where that is drawn."""
        low, high = self.x_range
        return self.left + (np.asarray(value) - low) / (high - low) * (self.width - self.left - self.right)

    def y(self, value: Values | float) -> np.ndarray:
        """Where that is drawn."""
        low, high = self.y_range
        return (
            self.height
            - self.bottom
            - (np.asarray(value) - low) / (high - low) * (self.height - self.top - self.bottom)
        )


def histogram(values: Values, *, label: str, unit: str, limit: float, judged: float | None = None) -> str:
    """How often a figure took which value; what lies above `limit` stands out.

    Args:
        values: one per episode, finite.
        label, unit: of the figure.
        limit: the requirement's.
        judged: the value that the requirement is judged by; drawn as a second line.
    """
    data = np.asarray(values, dtype=float)
    top = max(limit * 1.12, float(data.max()) * 1.02) if len(data) else limit * 1.12
    width = limit / max(1, round(BINS * limit / top))  # the limit is an edge between two bins
    counts = np.bincount(np.maximum(np.ceil(data / width - 1e-9).astype(int) - 1, 0), minlength=1)
    edges = np.arange(len(counts) + 1) * width
    top = max(top, float(edges[-1]))
    plot = canvas((0.0, top), (0.0, max(1.0, float(counts.max()) * 1.05)), top=38)
    parts = [axes(plot, f"{label} [{unit}]", "episodes")]
    for count, low, high in zip(counts, edges, edges[1:]):
        if count:
            x, y = float(plot.x(low)), float(plot.y(count))
            wide, tall = float(plot.x(high)) - x - 1, plot.height - plot.bottom - y
            kind = "bar bad" if low > limit - width / 2 else "bar"
            parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>')
    parts.append(_vertical(plot, limit, f"limit {limit:g} {unit}", "limit", 14))
    if judged is not None and judged <= top:
        parts.append(_vertical(plot, judged, f"judged {judged:.3g} {unit}", "mark", 30))
    summary = f"{label}: no values"
    if len(data):
        above = int((data > limit).sum())
        summary = f"Histogram of {label} of {len(data)} episodes: median {np.median(data):.3g} {unit}, "
        summary += f"largest {data.max():.3g} {unit}, {above} lie above the limit of {limit:g} {unit}"
    return element(plot, summary, parts)


def scatter(x: Values, y: Values, success: Flags, missed: Flags, *, x_label: str, y_label: str, what: str) -> str:
    """Where episodes lie in a plane: pale dots, rings on top for successes that missed a limit, crosses for failures.

    Args:
        x, y: one per episode; NaN is not drawn.
        success: whether the part was done.
        missed: whether a requirement was missed all the same.
    """
    xs, ys, good = np.asarray(x, dtype=float), np.asarray(y, dtype=float), np.asarray(success, dtype=bool)
    ring, shown = good & np.asarray(missed, dtype=bool), np.isfinite(xs) & np.isfinite(ys)
    reach = 1.08 * max([1e-9, *np.abs(xs[shown]), *np.abs(ys[shown])])
    plot = canvas((-reach, reach), (-reach, reach), width=300, height=292, left=46)
    px, py = plot.x(xs), plot.y(ys)
    dot, ring, none = shown & good & ~ring, shown & ring, shown & ~good
    dots = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(px[dot], py[dot]))
    rings = "".join(f"M{a - 3.5:.1f} {b:.1f}a3.5 3.5 0 1 1 0 .01z" for a, b in zip(px[ring], py[ring]))
    crosses = "".join(f"M{a - 4:.1f} {b - 4:.1f}l8 8m0-8l-8 8" for a, b in zip(px[none], py[none]))
    paths = (("dot", dots), ("ring", rings), ("cross", crosses))
    parts = [axes(plot, x_label, y_label), *(f'<path class="{kind}" d="{d}"/>' for kind, d in paths)]
    counts = (
        f"Successes: {int((dot | ring).sum())}, {int(ring.sum())} of them beyond a limit; failures: {int(none.sum())}"
    )
    return element(plot, f"{what}. {counts}", parts)


def curve(x: Values, y: Values, *, x_label: str, y_label: str, goal: float | None = None, share: bool = False) -> str:
    """A line through points (x, y).

    Args:
        goal: a level to reach, drawn as a line.
        share: y is a fraction from 0 to 1, shown in percent.
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if share:
        low, high = min(0.8, float(np.floor(ys.min() * 5) / 5)), 1.0
    else:
        low, high = float(ys.min()), float(ys.max())
        low, high = low - 0.06 * (high - low) - 1e-6, high + 0.06 * (high - low) + 1e-6
    plot = canvas((0.0, max(1e-9, float(xs.max()))), (low, high))
    parts = [axes(plot, x_label, y_label, share=share)]
    if goal is not None:
        level = float(plot.y(goal))
        parts.append(f'<line class="limit" x1="{plot.left}" x2="{plot.width - plot.right}" y1="{level}" y2="{level}"/>')
        place = f'x="{plot.width - plot.right}" y="{level + 14:.1f}" text-anchor="end"'
        parts.append(f'<text class="limit" {place}>required {goal * 100:g} %</text>')
    parts.append(f'<polyline class="line" points="{_points(zip(plot.x(xs), plot.y(ys)))}"/>')
    last = f"{ys[-1] * 100:.1f} %" if share else f"{ys[-1]:.3g}"
    return element(plot, f"{y_label} over {x_label}: from {ys[0]:.3g} to {last} after {xs[-1]:.3g}", parts)


def dots(values: Values, success: Flags, *, label: str, unit: str, limit: float | None = None) -> str:
    """One mark per attempt, in order: a dot for a success, a cross for a failure. NaN is not drawn."""
    data, good = np.asarray(values, dtype=float), np.asarray(success, dtype=bool)
    finite = data[np.isfinite(data)]
    top = max([limit or 0.0, *finite, 1e-9]) * 1.15
    plot = canvas((0.4, len(data) + 0.6), (0.0, top))
    parts = [axes(plot, "attempt", f"{label} [{unit}]", whole=True)]
    if limit is not None:
        level = float(plot.y(limit))
        parts.append(f'<line class="limit" x1="{plot.left}" x2="{plot.width - plot.right}" y1="{level}" y2="{level}"/>')
        place = f'x="{plot.width - plot.right}" y="{level - 5:.1f}" text-anchor="end"'
        parts.append(f'<text class="limit" {place}>limit {limit:g} {unit}</text>')
    for number, (value, ok) in enumerate(zip(data, good), start=1):
        if np.isfinite(value):
            x, y = float(plot.x(number)), float(plot.y(value))
            mark = f"M{x:.1f} {y:.1f}h0" if ok else f"M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8"
            parts.append(f'<path class="{"attempt" if ok else "cross"}" d="{mark}"/>')
    return element(plot, f"{label} of {len(data)} attempts, {int(good.sum())} of them successful", parts)


def shares(values: Values, hit: Flags, *, label: str, what: str) -> str:
    """Which share of the episodes was hit, along a figure of their starts: one bar per equal piece of its range.

    Args:
        values: one per episode; NaN is left out.
        hit: whether it is one of those that are counted.
        label: of the figure, with its unit.
        what: the episodes that are counted.
    """
    data, struck = np.asarray(values, dtype=float), np.asarray(hit, dtype=bool)
    data, struck = data[np.isfinite(data)], struck[np.isfinite(data)]
    low, high = float(data.min()), float(data.max())
    high = high if high > low else low + 1.0
    edges = np.linspace(low, high, PIECES + 1)
    piece = np.clip(((data - low) / (high - low) * PIECES).astype(int), 0, PIECES - 1)
    total, count = (np.bincount(piece[rows], minlength=PIECES) for rows in (slice(None), struck))
    share = count / np.maximum(total, 1)
    plot = canvas((low, high), (0.0, max(0.01, float(share.max()) * 1.08)), width=300, height=292, left=46)
    parts = [axes(plot, label, "", share=True)]
    for part, left, right in zip(share, edges, edges[1:]):
        if part:
            x, y = float(plot.x(left)), float(plot.y(part))
            wide, tall = float(plot.x(right)) - x - 2, plot.height - plot.bottom - y
            parts.append(f'<rect class="bar bad" x="{x + 1:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>')
    level = float(plot.y(struck.mean()))
    parts.append(
        f'<line class="mark" x1="{plot.left}" x2="{plot.width - plot.right}" y1="{level:.1f}" y2="{level:.1f}"/>'
    )
    most = int(share.argmax())
    summary = f"{what}: {struck.mean() * 100:.2g} % of all episodes, most often where {label} is "
    summary += f"{edges[most]:.3g} to {edges[most + 1]:.3g}: {share[most] * 100:.2g} %"
    return element(plot, summary, parts)


class Interval(NamedTuple):
    """A named rate with its bounds; `bad` stands out."""

    name: str
    value: float
    lower: float
    upper: float
    bad: bool


def intervals(rows: Sequence[Interval], *, reference: float, reference_text: str, what: str) -> str:
    """One row per rate: a dot, the line between its bounds, and all beside a reference rate."""
    row, top = 26, 26
    least = min([reference, *(r.lower for r in rows)])
    low = min(0.9, float(np.floor(least * 10 - 1e-9) / 10))
    height = top + row * len(rows) + 44.0
    plot = canvas((max(0.0, low), 1.0), (0.0, 1.0), width=430, height=height, left=152, right=54, top=top)
    floor = plot.height - plot.bottom
    parts = [x_axis(plot, "success", share=True)]
    for i, (name, value, lower, upper, bad) in enumerate(rows):
        y, kind = top + row * (i + 0.5), " bad" if bad else ""
        (x, x0, x1), edge = plot.x([value, lower, upper]), plot.width - plot.right
        parts.append(f'<line class="rule" x1="{plot.left}" x2="{edge}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="name" x="{plot.left - 10}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line class="span{kind}" x1="{x0:.1f}" x2="{x1:.1f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="point{kind}" cx="{x:.1f}" cy="{y}" r="4.5"/>')
        parts.append(f'<text class="tick" x="{edge + 8}" y="{y + 4}">{value * 100:.1f} %</text>')
    x = float(plot.x(reference))
    parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 8}" y2="{floor}"/>')
    parts.append(f'<text class="mark" x="{x + 4:.1f}" y="{top - 12}" text-anchor="end">{escape(reference_text)}</text>')
    told = "; ".join(f"{r.name} {r.value * 100:.1f} % ({r.lower * 100:.1f} to {r.upper * 100:.1f} %)" for r in rows)
    return element(plot, f"{what}. {reference_text}: {reference * 100:.1f} %; {told}", parts)


def response(
    x: Values,
    value: Values,
    lower: Values,
    upper: Values,
    *,
    x_max: float,
    reference: float,
    breaks_at: float | None,
    what: str,
) -> str:
    """A small curve of a rate with its bounds over reach, from 1 to `x_max`; percent.

    Args:
        x: reaches, rising.
        value, lower, upper: the rate and its bounds there.
        x_max: where the axis ends, the same for all curves that stand side by side.
        reference: the nominal rate, drawn as a line.
        breaks_at: the reach that is marked.
        what: the factor.
    """
    xs, ys, lows, highs = (np.asarray(v, dtype=float) for v in (x, value, lower, upper))
    plot = canvas((1.0, max(x_max, 1.0 + 1e-9)), (0.0, 1.0), width=250, height=156, left=52, right=12, top=8, bottom=44)
    parts = [_y_axis(plot, "", marks=[0.0, 0.5, 1.0], share=True), x_axis(plot, "reach", count=4)]
    px = plot.x(xs)
    outline = [*zip(px, plot.y(highs)), *zip(px[::-1], plot.y(lows)[::-1])]
    parts.append(f'<polygon class="band" points="{_points(outline)}"/>')
    level = float(plot.y(reference))
    parts.append(
        f'<line class="level" x1="{plot.left}" x2="{plot.width - plot.right}" y1="{level:.1f}" y2="{level:.1f}"/>'
    )
    if breaks_at is not None:
        at = float(plot.x(breaks_at))
        parts.append(
            f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="{plot.top}" y2="{plot.height - plot.bottom}"/>'
        )
    along = [*zip(px, plot.y(ys))]
    parts.append(f'<polyline class="line" points="{_points(along)}"/>')
    parts += [f'<circle class="point" cx="{a:.1f}" cy="{b:.1f}" r="2.6"/>' for a, b in along]
    told = ", ".join(f"{a:g}: {b * 100:.0f} %" for a, b in zip(xs, ys))
    end = f"breaks at {breaks_at:g}" if breaks_at is not None else "does not break"
    return element(plot, f"Success of {what} by reach: {told}; {end}", parts)


class Moment(NamedTuple):
    """When something happened in several episodes, seconds since their starts; None for never."""

    name: str
    when_s: tuple[float, float, float] | None  # median, lowest, highest
    note: str = ""


def timeline(moments: Sequence[Moment], *, end_s: float, what: str) -> str:
    """One row per moment: a dot at the median, a line from the lowest to the highest, the median in words."""
    row, top = 19, 4
    height = top + row * len(moments) + 20.0
    plot = canvas((0.0, end_s), (0.0, 1.0), width=330, height=height, left=84, right=88, top=top, bottom=20)
    edge, floor = plot.width - plot.right, height - 20
    parts, told = [], []
    marks = ticks(0.0, end_s)
    for value in marks:
        x = float(plot.x(value))
        parts.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{floor}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 5}" text-anchor="middle">{_number(value)}</text>')
    parts.append(f'<text class="tick" x="{plot.left - 8}" y="{height - 5}" text-anchor="end">time [s]</text>')
    for i, (name, when_s, note) in enumerate(moments):
        y = top + row * (i + 0.5)
        parts.append(f'<text class="tick" x="{plot.left - 8}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        said = "never"
        if when_s is not None:
            (x, x0, x1), said = plot.x(when_s), f"{when_s[0]:.1f} s{note and ', ' + note}"
            parts.append(f'<line class="span" x1="{x0:.1f}" x2="{x1:.1f}" y1="{y}" y2="{y}"/>')
            parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y}" r="3.5"/>')
        parts.append(f'<text class="name" x="{edge + 8}" y="{y + 4}">{escape(said)}</text>')
        told.append(f"{name} {said}")
    return element(plot, f"{what}: {'; '.join(told)}", parts)


def ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """At most about `count` round numbers between low and high."""
    raw = (high - low) / count
    power = 10.0 ** np.floor(np.log10(raw))
    step = float(next(s * power for s in (1, 2, 5, 10) if s * power >= raw * 0.999))
    if whole:
        step = max(1.0, round(step))
    first = np.ceil(low / step - 1e-9)
    return [float(round((first + i) * step, 12)) for i in range(int((high / step - first) + 1e-9) + 1)]


def canvas(x_range, y_range, *, width=430.0, height=250.0, left=52.0, right=14.0, top=12.0, bottom=44.0) -> Plot:
    """Room for a chart of that size, with these ranges."""
    return Plot(width, height, left, right, top, bottom, x_range, y_range)


def axes(plot: Plot, x_label: str, y_label: str, *, share: bool = False, whole: bool = False) -> str:
    """Both axes with their labels. `share`: y is a fraction, shown in percent; `whole`: x counts."""
    return _y_axis(plot, y_label, marks=ticks(*plot.y_range, count=4), share=share) + x_axis(plot, x_label, whole=whole)


def _y_axis(plot: Plot, label: str, *, marks: Sequence[float], share: bool = False) -> str:
    right, floor = plot.width - plot.right, plot.height - plot.bottom
    parts = []
    for value in marks:
        y = float(plot.y(value))
        parts.append(f'<line class="rule" x1="{plot.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        place = f'x="{plot.left - 7}" y="{y + 4:.1f}" text-anchor="end"'
        parts.append(f'<text class="tick" {place}>{_number(value, share)}</text>')
    turned = f'transform="translate(13 {(plot.top + floor) / 2:.0f}) rotate(-90)" text-anchor="middle"'
    parts.append(f'<text class="name" {turned}>{escape(label)}</text>' if label else "")
    return "".join(parts)


def x_axis(plot: Plot, label: str, *, count: int = 6, share: bool = False, whole: bool = False) -> str:
    """The axis below, with its label."""
    right, floor = plot.width - plot.right, plot.height - plot.bottom
    parts = []
    for value in ticks(*plot.x_range, count=count, whole=whole):
        x = float(plot.x(value))
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 4}"/>')
        place = f'x="{x:.1f}" y="{floor + 17}" text-anchor="middle"'
        parts.append(f'<text class="tick" {place}>{_number(value, share)}</text>')
    parts.append(f'<line class="axis" x1="{plot.left}" x2="{right}" y1="{floor}" y2="{floor}"/>')
    middle = (plot.left + right) / 2
    parts.append(f'<text class="name" x="{middle}" y="{plot.height - 6}" text-anchor="middle">{escape(label)}</text>')
    return "".join(parts)


def _vertical(plot: Plot, value: float, text: str, kind: str, text_y: float) -> str:
    x, floor = float(plot.x(value)), plot.height - plot.bottom
    anchor, shift = ("end", -5) if x > (plot.left + plot.width) / 2 else ("start", 5)
    line = f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{text_y - 9}" y2="{floor}"/>'
    return line + f'<text class="{kind}" x="{x + shift:.1f}" y="{text_y}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float, share: bool = False) -> str:
    return (f"{value * 100:g} %" if share else f"{value:g}").replace("-", "\N{MINUS SIGN}")


def _points(pairs: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in pairs)


def element(plot: Plot, summary: str, parts: list[str]) -> str:
    """The chart; `summary` is what it says in words."""
    shape = f'viewBox="0 0 {plot.width:g} {plot.height:g}"'
    return f'<svg class="chart" {shape} role="img" aria-label="{escape(summary)}">{"".join(parts)}</svg>'
