"""What failed, sorted: by the requirement that was missed, then by start and contact history where those fall apart."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from robot_rlaas.cell.limits import limits_of
from robot_rlaas.cell.seeds import Seeds, sequence_json
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import Outcome
from robot_rlaas.qualify.statistics import holm
from robot_rlaas.qualify.trials import Trial, start_axes
from robot_rlaas.qualify.words import Words, with_combined, words_of

FORMAT = 1
MOST_CLUSTERS, SMALLEST, SMALLEST_SHARE = 3, 3, 0.1  # per kind
MOST_CUTS = 2 * MOST_CLUSTERS - 3  # that are tried per kind
ALPHA = 0.05
EFFECT = 0.2  # Cliff's delta: a member lies beyond a random other episode in 60 % of such pairs
REFERENCES, LARGEST_REFERENCE = 1999, 200
MOST_NAMED = 3  # axes in a sentence, one of each thing: plate, hand, miss


class Contrast(NamedTuple):
    """An axis on which a cluster's starts differ from those of all other episodes.

    Attributes:
        axis: one of the words' axes.
        magnitude: its absolute value is meant.
        median: over the cluster.
        median_of_all: over all episodes.
        p: of Mann and Whitney's test against the other episodes, adjusted by Holm over axes and magnitudes.
    """

    axis: str
    magnitude: bool
    median: float
    median_of_all: float
    p: float


class Spread(NamedTuple):
    """A figure over so many episodes of a cluster: those that have it."""

    episodes: int
    median: float
    lowest: float
    highest: float


class Cluster(NamedTuple):
    """Failures of one kind that resemble each other.

    Attributes:
        name: its kind, numbered where there is more than one of it.
        kind: one of the words' kinds.
        episodes: their numbers.
        medoid: the most typical of them.
        text: what happened, what the starts have in common, and how it went.
        contrasts: the strongest first.
        history: by name of the words' history; None for a stage that no episode reached.
    """

    name: str
    kind: str
    episodes: tuple[int, ...]
    medoid: int
    text: str
    contrasts: tuple[Contrast, ...]
    history: dict[str, Spread | None]

    def to_json(self) -> dict[str, Any]:
        """For report.json."""
        return {
            **self._asdict(),
            "count": len(self.episodes),
            "episodes": list(self.episodes),
            "contrasts": [contrast._asdict() for contrast in self.contrasts],
            "history": {name: spread and spread._asdict() for name, spread in self.history.items()},
        }


def failure_kind(cell: CellSpec, outcome: Outcome) -> str | None:
    """The kind of failure, by the first in the order of the words' kinds. None for none."""
    broken = {limit.name: limit.failure for limit in limits_of(cell) if not limit.kept(outcome)}
    if not broken:
        return None
    words = words_of(cell)
    if "success" in broken:
        broken["success"] = words.stages[outcome.stage]
    return next(kind for kind in words.kinds if kind in broken.values())


def clusters(cell: CellSpec, trials: Sequence[Trial], known: Mapping[int, str] | None = None) -> list[Cluster]:
    """The failures of a qualification, largest cluster first. Every failed episode is in exactly one cluster.

    A kind is split where one of its figures falls into two groups: a figure of the contact history, or an axis on which
    the kind as a whole differs from the other episodes. So whatever a split is made on had to do with failing.

    Args:
        cell: what is required.
        trials: all of them.
        known: kinds of failures by episode, where an outcome cannot tell.
    """
    if not trials:
        return []
    kinds = [(known or {}).get(t.outcome.episode) or failure_kind(cell, t.outcome) for t in trials]
    numbers = np.array([trial.outcome.episode for trial in trials])
    starts = np.array([trial.start for trial in trials])
    axes, words = with_combined(cell, starts), words_of(cell)
    history = np.array([(*t.outcome.stage_s, t.outcome.peak_force_N, t.outcome.peak_at_s) for t in trials])
    found = []
    for kind in words.kinds:
        members = np.flatnonzero([k == kind for k in kinds])
        if not len(members):
            continue
        figures = _figures(members, axes, history, words, cell.period_s)
        groups = _split(figures)
        for i, group in enumerate(groups):
            name = kind if len(groups) == 1 else f"{kind} {i + 1}"
            typical = _medoid(figures[group])
            rows = members[group]
            contrasts = _contrasts(rows, axes, words)
            spreads = {figure: _spread(column) for figure, column in zip(words.history, history[rows].T)}
            text = _sentence(words, kind, len(rows), contrasts, spreads)
            episodes = tuple(numbers[rows].tolist())
            found.append(Cluster(name, kind, episodes, episodes[typical], text, tuple(contrasts), spreads))
    return sorted(found, key=lambda cluster: -len(cluster.episodes))


def starts_json(cell: CellSpec, seeds: Seeds, trials: Sequence[Trial], found: Sequence[Cluster]) -> dict[str, Any]:
    """The content of failures.json: which episodes to start from again, with the true starts they had.

    Args:
        cell: whose ranges the starts were drawn from.
        seeds: where the episodes came from.
        trials: all of them.
        found: their clusters.
    """
    start = {trial.outcome.episode: trial.start for trial in trials}
    return {
        "format": FORMAT,
        "cell": cell.name,
        "cell_hash": cell.hash,
        **sequence_json(seeds),
        "axes": list(start_axes(cell)),
        "clusters": [
            {
                "name": cluster.name,
                "kind": cluster.kind,
                "text": cluster.text,
                "medoid": cluster.medoid,
                "episodes": list(cluster.episodes),
                "starts": [_known(start[number]) for number in cluster.episodes],
            }
            for cluster in found
        ],
    }


def _known(start: np.ndarray) -> list[float | None]:
    """A start for a file; on an arm, nobody knows it."""
    return [round(x, 4) if math.isfinite(x) else None for x in start.tolist()]


def _figures(members: np.ndarray, axes: np.ndarray, history: np.ndarray, words: Words, period_s: float) -> np.ndarray:
    """What members of a kind may be split by, (len(members), k), each figure scaled to a spread of one.

    Times are known to a control period and are spread over it: two neighbouring periods are not two groups.
    """
    chosen = sorted({words.axes.index(contrast.axis) for contrast in _contrasts(members, axes, words)})
    figures = np.concatenate([axes[members][:, chosen], history[members]], axis=1)
    grain = np.array([0.0] * len(chosen) + [period_s if name.endswith("_s") else 0.0 for name in words.history])
    told = np.flatnonzero(np.isfinite(figures).all(axis=0))
    told = told[np.ptp(figures[:, told], axis=0) > 1e-9]
    within = np.random.default_rng(0).random((len(members), len(told)))
    figures = figures[:, told] - grain[told] * within
    return figures / figures.std(axis=0)


def _contrasts(members: np.ndarray, axes: np.ndarray, words: Words) -> list[Contrast]:
    """The axes on which these rows of `axes` differ from the others, the surest first.

    Magnitudes are tested where an axis has both signs. Besides p, the effect has to be of some size: among thousands of
    episodes everything differs a little.
    """
    others = np.setdiff1d(np.arange(len(axes)), members)
    if len(members) < SMALLEST or not len(others):
        return []
    varied = np.flatnonzero(np.ptp(axes, axis=0) > 1e-9)
    both_signs = varied[(axes[:, varied].min(axis=0) < 0) & (axes[:, varied].max(axis=0) > 0)]
    values = np.concatenate([axes[:, varied], np.abs(axes[:, both_signs])], axis=1)
    tested = [(i, False) for i in varied] + [(i, True) for i in both_signs]
    test = stats.mannwhitneyu(values[members], values[others], axis=0)
    u, p = np.asarray(test.statistic), np.asarray(test.pvalue)
    effect = 2 * u / (len(members) * len(others)) - 1
    inside, overall = np.median(values[members], axis=0), np.median(values, axis=0)
    best: dict[int, Contrast] = {}
    for k, adjusted in sorted(enumerate(holm(p.tolist())), key=lambda item: p[item[0]]):
        i, magnitude = tested[k]
        if adjusted <= ALPHA and abs(effect[k]) >= EFFECT:
            medians = round(float(inside[k]), 4), round(float(overall[k]), 4)
            best.setdefault(i, Contrast(words.axes[i], magnitude, *medians, adjusted))
    return list(best.values())


def _split(figures: np.ndarray) -> list[np.ndarray]:
    """Rows of figures (n, k) -> index arrays of at most MOST_CLUSTERS groups, the largest first.

    The largest group is halved first, as long as that is supported.
    """
    smallest = max(SMALLEST, math.ceil(SMALLEST_SHARE * len(figures)))
    whole, parts = [], [np.arange(len(figures))]
    while parts and len(whole) + len(parts) < MOST_CLUSTERS:
        part = parts.pop(int(np.argmax([len(p) for p in parts])))
        high = _halves(figures[part], smallest)
        if high is None:
            whole.append(part)
        else:
            parts += [part[~high], part[high]]
    return sorted(whole + parts, key=len, reverse=True)


def _halves(figures: np.ndarray, smallest: int) -> np.ndarray | None:
    """Which rows of figures (n, k) lie above the best cut through one of them, (n,) bool, or None without support.

    A cut is supported if the share of the figure's variance that it explains (Fisher, JASA 53, 1958) is larger than in
    samples of a uniform law, adjusted for the number of figures and of cuts. Of all laws with one hump or none, the
    uniform one looks most like two groups (Tibshirani, Walther, Hastie: JRSS B 63, 2001).
    """
    n, count = figures.shape
    if n < 2 * smallest or not count:
        return None
    size = min(n, LARGEST_REFERENCE)  # fewer points scatter more: a reference that is too small only asks for more
    uniform = np.random.default_rng(0).random((REFERENCES, size))
    chance, _ = _best_cut(uniform, min(smallest, math.ceil(smallest * size / n)))
    explained, threshold = _best_cut(figures.T, smallest)
    best = int(np.argmax(explained))
    p = (1 + np.sum(chance >= explained[best])) / (1 + REFERENCES)
    return figures[:, best] > threshold[best] if p * count * MOST_CUTS <= ALPHA else None


def _best_cut(rows: np.ndarray, smallest: int) -> tuple[np.ndarray, np.ndarray]:
    """The cut of each row (m, n) that explains most of its variance -> that share (m,), the value below the cut (m,).

    On either side at least `smallest` values remain, and equal values stay together.
    """
    n = rows.shape[1]
    ordered = np.sort(rows, axis=1)
    centred = ordered - ordered.mean(axis=1, keepdims=True)
    below = np.arange(smallest, n - smallest + 1)
    between = centred.cumsum(axis=1)[:, below - 1] ** 2 * n / (below * (n - below))
    between = np.where(ordered[:, below] > ordered[:, below - 1], between, 0.0)
    total = np.maximum((centred**2).sum(axis=1), 1e-300)
    cut = between.argmax(axis=1)
    pick = np.arange(len(rows))
    return between[pick, cut] / total, ordered[pick, below[cut] - 1]


def _medoid(figures: np.ndarray) -> int:
    """The row of figures (n, k) with the least sum of squared distances to all: the one nearest to their mean."""
    return int(np.argmin(((figures - figures.mean(axis=0)) ** 2).sum(axis=1)))


def _spread(values: np.ndarray) -> Spread | None:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    return Spread(len(finite), *(round(float(x), 4) for x in (np.median(finite), finite.min(), finite.max())))


def _sentence(words: Words, kind: str, count: int, contrasts: list[Contrast], history: dict[str, Spread | None]) -> str:
    by_thing: dict[str, str] = {}
    for contrast in contrasts:
        by_thing.setdefault(contrast.axis.split("_")[0], _phrase(words, contrast))
    named = list(by_thing.values())[:MOST_NAMED]
    course = [
        f"{text} after {spread.median:.1f} s"
        for stage, text in zip(words.stages[1:], words.reached)
        if (spread := history[f"{stage}_s"]) and 2 * spread.episodes >= count
    ]
    force, force_at = history["peak_force_N"], history["peak_at_s"]
    if force and force_at and force.median > 0:
        course.append(f"largest force {force.median:.0f} N after {force_at.median:.1f} s")
    if named:
        start = "typical start: " + ", ".join(named)
    else:
        start = "no start axis stands out" if count >= SMALLEST else "too few to compare their starts"
    return "; ".join([words.kinds[kind], start, *(["typical course: " + ", ".join(course)] if course else [])])


def _phrase(words: Words, contrast: Contrast) -> str:
    clause, form, unit = words.phrases[contrast.axis]
    form = form.lstrip("+") if contrast.magnitude else form
    return f"{clause.format(f'{contrast.median:{form}}{unit}')} (all episodes: {contrast.median_of_all:{form}}{unit})"
