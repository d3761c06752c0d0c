"""Small charts as inline SVG: data in, an SVG element out. Their colours and fonts stand in templates/style.css."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

Values = Sequence[float] | np.ndarray
Flags = Sequence[bool] | np.ndarray


BINS = 32


class _Plot(NamedTuple):
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
        low, high = self.x_range
        return self.left + (np.asarray(value) - low) / (high - low) * (self.width - self.left - self.right)

    def y(self, value: Values | float) -> np.ndarray:
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
    plot = _plot((0.0, top), (0.0, max(1.0, float(counts.max()) * 1.05)), top=38)
    parts = [_axes(plot, f"{label} [{unit}]", "episodes")]
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
    return _svg(plot, summary, parts)


def scatter(x: Values, y: Values, success: Flags, *, x_label: str, y_label: str, what: str) -> str:
    """Where episodes lie in a plane: successes as pale dots, failures as crosses on top."""
    xs, ys, good = np.asarray(x, dtype=float), np.asarray(y, dtype=float), np.asarray(success, dtype=bool)
    reach = max(1e-9, float(np.abs(np.concatenate([xs, ys])).max()) if len(xs) else 1.0) * 1.08
    plot = _plot((-reach, reach), (-reach, reach), width=300, height=292, left=46)
    px, py = plot.x(xs), plot.y(ys)
    dots = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(px[good], py[good]))
    crosses = "".join(f"M{a - 4:.1f} {b - 4:.1f}l8 8m0-8l-8 8" for a, b in zip(px[~good], py[~good]))
    parts = [_axes(plot, x_label, y_label), f'<path class="dot" d="{dots}"/>', f'<path class="cross" d="{crosses}"/>']
    return _svg(plot, f"{what}. Successes: {int(good.sum())}, failures: {int((~good).sum())}", parts)


def curve(x: Values, y: Values, *, x_label: str, y_label: str, goal: float | None = None, share: bool = False) -> str:
    """A line through points (x, y).

    Args:
        goal: a level to reach, drawn as a line.
        share: y is a fraction from 0 to 1, shown in percent.
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if share:
        low, high = float(np.floor(ys.min() * 5) / 5), 1.0
    else:
        low, high = float(ys.min()), float(ys.max())
        low, high = low - 0.06 * (high - low) - 1e-6, high + 0.06 * (high - low) + 1e-6
    plot = _plot((0.0, max(1e-9, float(xs.max()))), (low, high))
    parts = [_axes(plot, x_label, y_label, share=share)]
    if goal is not None:
        level = float(plot.y(goal))
        parts.append(f'<line class="limit" x1="{plot.left}" x2="{plot.width - plot.right}" y1="{level}" y2="{level}"/>')
        place = f'x="{plot.width - plot.right}" y="{level + 14:.1f}" text-anchor="end"'
        parts.append(f'<text class="limit" {place}>required {goal * 100:g} %</text>')
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(plot.x(xs), plot.y(ys)))
    parts.append(f'<polyline class="line" points="{points}"/>')
    last = f"{ys[-1] * 100:.1f} %" if share else f"{ys[-1]:.3g}"
    return _svg(plot, f"{y_label} over {x_label}: from {ys[0]:.3g} to {last} after {xs[-1]:.3g}", parts)


def dots(values: Values, success: Flags, *, label: str, unit: str, limit: float | None = None) -> str:
    """One mark per attempt, in order: a dot for a success, a cross for a failure. NaN is not drawn."""
    data, good = np.asarray(values, dtype=float), np.asarray(success, dtype=bool)
    finite = data[np.isfinite(data)]
    top = max([limit or 0.0, *finite, 1e-9]) * 1.15
    plot = _plot((0.4, len(data) + 0.6), (0.0, top))
    parts = [_axes(plot, "attempt", f"{label} [{unit}]", whole=True)]
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
    return _svg(plot, f"{label} of {len(data)} attempts, {int(good.sum())} of them successful", parts)


def bars(counts: dict[str, int], *, what: str) -> str:
    """One horizontal bar per named count."""
    most, row, left = max([1, *counts.values()]), 30, 68
    plot = _plot((0.0, 1.0), (0.0, 1.0), width=300, height=row * len(counts) + 8)
    parts = []
    for i, (name, count) in enumerate(counts.items()):
        y, wide = 4 + i * row, (plot.width - left - 44) * count / most
        parts.append(f'<text class="tick" x="{left - 8}" y="{y + 18}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar" x="{left}" y="{y + 4}" width="{max(wide, 0.5):.1f}" height="{row - 10}"/>')
        parts.append(f'<text class="tick" x="{left + wide + 6:.1f}" y="{y + 18}">{count}</text>')
    return _svg(plot, f"{what}: " + ", ".join(f"{name} {count}" for name, count in counts.items()), parts)


def ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """At most about `count` round numbers between low and high."""
    raw = (high - low) / count
    power = 10.0 ** np.floor(np.log10(raw))
    step = float(next(s * power for s in (1, 2, 5, 10) if s * power >= raw * 0.999))
    if whole:
        step = max(1.0, round(step))
    first = np.ceil(low / step - 1e-9)
    return [float(round((first + i) * step, 12)) for i in range(int((high / step - first) + 1e-9) + 1)]


def _plot(x_range, y_range, *, width=430.0, height=250.0, left=52.0, right=14.0, top=12.0, bottom=44.0) -> _Plot:
    return _Plot(width, height, left, right, top, bottom, x_range, y_range)


def _axes(plot: _Plot, x_label: str, y_label: str, *, share: bool = False, whole: bool = False) -> str:
    right, floor = plot.width - plot.right, plot.height - plot.bottom
    parts = []
    for value in ticks(*plot.y_range, count=4):
        y = float(plot.y(value))
        text = f"{value * 100:g} %" if share else _number(value)
        parts.append(f'<line class="rule" x1="{plot.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{plot.left - 7}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for value in ticks(*plot.x_range, count=6, whole=whole):
        x = float(plot.x(value))
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 4}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{floor + 17}" text-anchor="middle">{_number(value)}</text>')
    parts.append(f'<line class="axis" x1="{plot.left}" x2="{right}" y1="{floor}" y2="{floor}"/>')
    middle = (plot.left + right) / 2
    parts.append(f'<text class="name" x="{middle}" y="{plot.height - 6}" text-anchor="middle">{escape(x_label)}</text>')
    up = (plot.top + floor) / 2
    turned = f'transform="translate(13 {up:.0f}) rotate(-90)" text-anchor="middle"'
    parts.append(f'<text class="name" {turned}>{escape(y_label)}</text>')
    return "".join(parts)


def _vertical(plot: _Plot, value: float, text: str, kind: str, text_y: float) -> str:
    x, floor = float(plot.x(value)), plot.height - plot.bottom
    anchor, shift = ("end", -5) if x > (plot.left + plot.width) / 2 else ("start", 5)
    line = f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{text_y - 9}" y2="{floor}"/>'
    return line + f'<text class="{kind}" x="{x + shift:.1f}" y="{text_y}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def _svg(plot: _Plot, summary: str, parts: list[str]) -> str:
    shape = f'viewBox="0 0 {plot.width:g} {plot.height:g}"'
    return f'<svg class="chart" {shape} role="img" aria-label="{escape(summary)}">{"".join(parts)}</svg>'
