"""Charts of a dataset: strips of episodes, and where its starts lie."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from robot_rlaas.pages.figures import Plot, Values, axes, canvas, element, x_axis

BINS = 24
ROW, THIN_ROW = 15.0, 6.0  # with something to say beside it, and without


class Strip(NamedTuple):
    """One episode in a row.

    Attributes:
        name: its number.
        seconds: how long it is.
        success: whether it succeeded.
        spans: (severity, from, to, text) in seconds.
        note: what stands beside it.
    """

    name: str
    seconds: float
    success: bool
    spans: tuple[tuple[str, float, float, str], ...]
    note: str


def strips(rows: Sequence[Strip], what: str) -> str:
    """Episodes as bars over time: what was found in them is marked where it is."""
    heights = [ROW if one.note else THIN_ROW for one in rows]
    edges, longest = np.cumsum([4.0, *heights]), max([one.seconds for one in rows] or [1.0])
    plot = canvas((0.0, longest), (0.0, 1.0), width=1020, height=float(edges[-1]) + 42.0, left=34, right=330)
    parts = [x_axis(plot, "time [s]")]
    for one, y, row in zip(rows, edges, heights):
        end, size = float(plot.x(one.seconds)), f'y="{y + 1:.1f}" height="{row - 2:.1f}"'
        kind = "done" if one.success else "not-done"
        parts.append(f'<rect class="episode {kind}" x="{plot.left}" {size} width="{end - plot.left:.1f}"/>')
        for severity, begin, stop, text in one.spans:
            left, right = (float(x) for x in plot.x([begin, stop]))
            mark = f'<rect class="span-{severity}" x="{left:.1f}" {size} width="{max(3.0, right - left):.1f}">'
            parts.append(f"{mark}<title>{escape(text)}</title></rect>")
        if one.note:
            at = f'y="{y + row - 3:.1f}"'
            parts.append(f'<text class="tick" x="{plot.left - 7}" {at} text-anchor="end">{escape(one.name)}</text>')
            parts.append(f'<text class="tick" x="{end + 7:.1f}" {at}>{escape(one.note)}</text>')
    return element(plot, what, parts)


def spread(values: Values, *, label: str, unit: str, limit: float | None = None) -> str:
    """How often a figure took which value, with a line where the cell sets a limit."""
    data = np.asarray(values, dtype=float)
    low, high = float(min(0.0, data.min())), float(max(data.max(), limit or 0.0, 1e-9)) * 1.04
    counts, edges = np.histogram(data, BINS, (low, high))
    plot = canvas((low, high), (0.0, max(1.0, float(counts.max()) * 1.08)), width=300, height=190, left=40)
    parts = [axes(plot, f"{label} [{unit}]" if unit else label, "")]
    parts += bars(plot, counts, edges)
    if limit is not None:
        x = float(plot.x(limit))
        floor = plot.height - plot.bottom
        parts.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{plot.top}" y2="{floor}"/>')
    summary = f"{label} of {len(data)} episodes: median {np.median(data):.3g} {unit}, largest {data.max():.3g} {unit}"
    return element(plot, summary, parts)


def bars(plot: Plot, counts: Values, edges: Values) -> list[str]:
    """One bar per bin."""
    parts, floor = [], plot.height - plot.bottom
    for count, low, high in zip(counts, edges, edges[1:]):
        x, y = float(plot.x(low)), float(plot.y(count))
        wide = float(plot.x(high)) - x - 1
        parts.append(f'<rect class="bar" x="{x + 0.5:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{floor - y:.1f}"/>')
    return parts


def along(counts: Values, low: float, high: float, *, label: str, unit: str) -> str:
    """How many good demonstrations start in each piece of a range; pieces without any stand out."""
    edges = np.linspace(low, high, len(counts) + 1)
    plot = canvas((low, high), (0.0, max(1.0, float(max(counts)) * 1.08)), width=250, height=150, left=34, right=10)
    parts = [axes(plot, f"{label} [{unit}]" if unit else label, ""), *bars(plot, counts, edges)]
    for count, left, right in zip(counts, edges, edges[1:]):
        if count == 0:
            x0, x1 = (float(x) for x in plot.x([left, right]))
            size = f'y="{plot.top}" width="{x1 - x0:.1f}" height="{plot.height - plot.top - plot.bottom:.1f}"'
            parts.append(f'<rect class="hole" x="{x0:.1f}" {size}/>')
    empty = sum(count == 0 for count in counts)
    return element(plot, f"Starts by {label}: {empty} of {len(counts)} pieces have no good demonstration", parts)


def starts_map(
    x: Values, y: Values, good: Sequence[bool], following: Sequence[tuple[float, float]], across: dict, up: dict
) -> str:
    """Starts in a plane: dots for good demonstrations, crosses for others, numbers for those to record next.

    Args:
        x, y: one per episode.
        good: whether it succeeded and nothing is wrong with it.
        following: the next starts.
        across, up: axes of the coverage, with name, unit, low and high.
    """
    (x0, x1), (y0, y1) = ((a["low"], a["high"]) for a in (across, up))
    plot = canvas(_wider(x0, x1), _wider(y0, y1), width=300, height=292, left=46)
    px, py, ok = plot.x(x), plot.y(y), np.asarray(good, dtype=bool)
    dots = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(px[ok], py[ok]))
    crosses = "".join(f"M{a - 4:.1f} {b - 4:.1f}l8 8m0-8l-8 8" for a, b in zip(px[~ok], py[~ok]))
    left, top, right, floor = (float(v) for v in (plot.x(x0), plot.y(y1), plot.x(x1), plot.y(y0)))
    label = [f"{a['name']} [{a['unit']}]" if a["unit"] else a["name"] for a in (across, up)]
    parts = [
        axes(plot, *label),
        f'<rect class="range" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{floor - top:.1f}"/>',
        f'<path class="dot" d="{dots}"/><path class="cross" d="{crosses}"/>',
    ]
    for number, (a, b) in enumerate(following, start=1):
        at = float(plot.x(a)), float(plot.y(b))
        parts.append(f'<circle class="wanted" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="9"/>')
        parts.append(f'<text class="wanted" x="{at[0]:.1f}" y="{at[1] + 4:.1f}" text-anchor="middle">{number}</text>')
    summary = f"Starts by {across['name']} and {up['name']}: {int(ok.sum())} good, {int((~ok).sum())} others, "
    return element(plot, summary + f"{len(following)} to record next", parts)


def _wider(low: float, high: float) -> tuple[float, float]:
    return low - 0.06 * (high - low), high + 0.06 * (high - low)
