"""Which starts have demonstrations, where the holes are, and which starts to record next."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import qmc

from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.seeds import Seeds, sequence_json
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.data.quality.findings import Data

BINS = 8  # of an axis
NEXT = 5
SOBOL_BITS = 10
MOST_WORDS = 6
WORDS = {"m": ("mm", 1000.0), "rad": ("deg", 180 / np.pi), "mm": ("mm", 1.0), "deg": ("deg", 1.0), "kg": ("kg", 1.0)}
UNSEEN = ("bias", "hand", "mass", "friction", "off", "slot")  # what an operator cannot set up on a table


class Axis(NamedTuple):
    """One thing that differs from start to start.

    Attributes:
        name: as words.
        unit: what its values are shown in.
        column: of the starts.
        low, high: its range, in that unit.
        scale: from the starts' unit to that.
        placed: whether whoever records can choose it.
    """

    name: str
    unit: str
    column: int
    low: float
    high: float
    scale: float
    placed: bool


class Candidates(NamedTuple):
    """Starts that could be recorded next (n, axes): of episodes of a sequence, or of none."""

    seeds: Seeds | None
    numbers: np.ndarray
    starts: np.ndarray


def ranges(spec: CellSpec) -> dict[str, tuple[float, float]]:
    """What each axis of a start is drawn from, in the unit that its name ends with."""
    if isinstance(spec.task, HandlingTask):
        return dict(spec.task.start_ranges)
    v, mm, deg = spec.variation, 1e-3, np.pi / 180
    found = {f"plate_{axis}_m": _times(v.plate_xy_mm, mm) for axis in "xy"}
    found |= {"plate_yaw_rad": _times(v.plate_yaw_deg, deg)}
    found |= {f"bias_{axis}_m": _times(v.plate_bias_mm, mm) for axis in "xy"}
    found |= {"bias_yaw_rad": _times(v.plate_bias_deg, deg)}
    found |= {f"hand_{axis}_m": _times(v.hand_offset_mm, mm) for axis in "xyz"}
    return found | {f"hand_r{axis}_rad": _times(v.hand_offset_deg, deg) for axis in "xyz"}


def _times(ends: tuple[float, float], factor: float) -> tuple[float, float]:
    return ends[0] * factor, ends[1] * factor


def axes_of(data: Data) -> list[Axis]:
    """The axes that differ, with their ranges as the cell says, or, for what no cell says, as the data do.

    Where nobody knows the true starts, as on an arm, it is the first observation that differs.
    """
    return axes_named(data.spec, *_starts(data))


def axes_named(spec: CellSpec, names: Sequence[str], starts: np.ndarray) -> list[Axis]:
    """As `axes_of`, of starts (n, axes) with these names."""
    told, found = ranges(spec), []
    for column, name in enumerate(names):
        stem, _, end = name.rpartition("_")
        unit, scale = WORDS.get(end, ("", 1.0))
        seen = starts[:, column][np.isfinite(starts[:, column])] if len(starts) else np.zeros(0)
        low, high = told.get(name, (np.inf, -np.inf))
        low, high = min([low, *seen.tolist()]), max([high, *seen.tolist()])  # a contact file may draw beyond
        if high - low > 1e-9:
            words = (stem if end in WORDS else name).replace("_", " ").replace(".", " ")
            placed = not any(word in UNSEEN for word in words.split())
            found.append(Axis(words, unit, column, low * scale, high * scale, scale, placed))
    return found


def _starts(data: Data) -> tuple[list[str], np.ndarray]:
    """Names and values (n, axes) of the starts of all readable episodes."""
    episodes = list(data.episodes.values())
    if data.opened.lineage.start_axes:
        return list(data.opened.lineage.start_axes), np.array([e.start for e in episodes])
    names = [f"{f.name}_{axis}_{f.unit}" for f in data.opened.contract.observation for axis in f.axes if f.unit != "1"]
    columns = [f.unit != "1" for f in data.opened.contract.observation for _ in f.axes]
    keep = [name.startswith(("tool_position", "part_position")) for name in names]
    first = np.array([e.observation[0][columns] for e in episodes])
    return [n for n, k in zip(names, keep) if k], first[:, keep] if len(first) else first


def coverage(data: Data, candidates: Candidates | None, exclude: Sequence[int]) -> dict[str, Any]:
    """How the starts are covered by successes that nothing is wrong with, as it stands in inspection.json.

    Args:
        candidates: to choose the next starts from; None where no cell draws them.
        exclude: episodes that do not count: those that something is wrong with.
    """
    axes, (_, starts) = axes_of(data), _starts(data)
    indices = list(data.episodes)
    good = np.array([data.episodes[i].success and i not in exclude for i in indices], dtype=bool)
    values = np.array([starts[:, a.column] * a.scale for a in axes]).T if axes and len(starts) else np.zeros((0, 0))
    return {
        "known": bool(data.opened.lineage.start_axes),
        "episodes": indices,
        "good": good.tolist(),
        "axes": [_axis(axis, values[:, k] if len(values) else np.zeros(0), good) for k, axis in enumerate(axes)],
        "next": next_starts(axes, values[good] if len(values) else values, candidates),
    }


def _axis(axis: Axis, values: np.ndarray, good: np.ndarray) -> dict[str, Any]:
    edges = np.linspace(axis.low, axis.high, BINS + 1)
    counts = np.histogram(values[good], edges)[0] if len(values) else np.zeros(BINS, int)
    holes = [[float(edges[i]), float(edges[i + 1])] for i in range(BINS) if counts[i] == 0]
    return {
        "name": axis.name,
        "unit": axis.unit,
        "low": axis.low,
        "high": axis.high,
        "placed": axis.placed,
        "counts": counts.tolist(),
        "holes": _joined(holes),
        "values": [float(v) for v in values],
    }


def _joined(holes: list[list[float]]) -> list[list[float]]:
    """Holes side by side are one."""
    found: list[list[float]] = []
    for low, high in holes:
        if found and abs(found[-1][1] - low) < 1e-9:
            found[-1][1] = high
        else:
            found.append([low, high])
    return found


def next_starts(axes: Sequence[Axis], covered: np.ndarray, candidates: Candidates | None) -> list[dict[str, Any]]:
    """The starts that lie farthest from all that is covered and from each other, one after the other.

    Args:
        axes: those that differ.
        covered: (n, axes) the starts of good successes, in the axes' units.
        candidates: to choose from; None where no cell draws them: then from all over the ranges.
    """
    if not axes:
        return []
    candidates = candidates or _anywhere(axes)
    placed = [axis for axis in axes if axis.placed] or list(axes)
    low, width = (np.array(column) for column in zip(*((a.low, a.high - a.low) for a in placed)))
    drawn = (np.array([candidates.starts[:, a.column] * a.scale for a in placed]).T - low) / width
    have = (covered[:, [axes.index(a) for a in placed]] - low) / width if len(covered) else np.zeros((0, len(placed)))
    away = cKDTree(have).query(drawn)[0] if len(have) else np.full(len(drawn), np.inf)
    found = []
    for _ in range(min(NEXT, len(drawn))):
        best = int(away.argmax())
        start = {a.name: float(candidates.starts[best, a.column] * a.scale) for a in axes}
        found.append(
            {
                "sequence": sequence_json(candidates.seeds) if candidates.seeds else None,
                "number": int(candidates.numbers[best]) if candidates.seeds else None,
                "distance": float(away[best]) if np.isfinite(away[best]) else None,
                "start": start,
                "text": in_words(start, placed),
            }
        )
        away = np.minimum(away, np.linalg.norm(drawn - drawn[best], axis=1))
    return found


def _anywhere(axes: Sequence[Axis]) -> Candidates:
    """Starts spread evenly over the axes' ranges."""
    low, high = (np.array([getattr(axis, end) / axis.scale for axis in axes]) for end in ("low", "high"))
    points = qmc.Sobol(len(axes), rng=np.random.default_rng(0)).random_base2(SOBOL_BITS)
    starts = np.zeros((len(points), 1 + max(axis.column for axis in axes)))
    starts[:, [axis.column for axis in axes]] = low + (high - low) * points
    return Candidates(None, np.arange(len(points)), starts)


def in_words(start: Mapping[str, float], axes: Sequence[Axis]) -> str:
    """A start as whoever sets it up reads it: the axes that are farthest from the middle first."""
    off = sorted(axes, key=lambda a: -abs(start[a.name] - (a.low + a.high) / 2) / (a.high - a.low))
    shown = [a for a in axes if a in off[:MOST_WORDS]]
    text = ", ".join(f"{a.name} {start[a.name]:+.1f} {a.unit}".rstrip() for a in shown)
    return text + (f" and {len(axes) - len(shown)} more" if len(axes) > len(shown) else "")
