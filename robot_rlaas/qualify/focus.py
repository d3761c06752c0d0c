"""Where a policy fails, as episodes to train on: drawn as ever, chosen by how likely they are to fail."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.qualify.trials import starts_of
from robot_rlaas.qualify.words import with_combined
from robot_rlaas.sim.variation import draw

SHARE = 0.5
FEWEST = 10  # failures that say anything about starts
RIDGE = 10.0
POOL, CHOSEN = 8000, 2000  # episodes that are looked at, and taken
FIRST = 10_000_000  # number of the first of them: no training begins so many of its own


class Focus(NamedTuple):
    """Which episodes of a training's sequence are begun: a `share` of them is taken from `numbers`, in turn.

    Attributes:
        share: of all episodes.
        numbers: those that were chosen.
        risk, chosen_risk: how often they fail by the model of the failures: as the training draws them, and as chosen.
    """

    share: float
    numbers: np.ndarray
    risk: float
    chosen_risk: float

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """As `order` of a `BatchEnv`."""
        before, after = np.floor(numbers * self.share), np.floor((numbers + 1) * self.share)
        chosen = self.numbers[before.astype(int) % len(self.numbers)]
        return np.where(after > before, chosen, numbers)

    def to_json(self) -> dict[str, Any]:
        """For policy.json."""
        digest = hashlib.sha256(self.numbers.astype("<i8").tobytes()).hexdigest()
        return {"share": self.share, "episodes_sha256": digest, "risk": self.risk, "chosen_risk": self.chosen_risk}


def focus_of(
    cell: CellSpec, trained: CellSpec, seeds: Seeds, report: Mapping[str, Any], share: float = SHARE
) -> Focus | None:
    """Choose episodes in proportion to how likely they are to fail; None where too few failed to tell.

    Args:
        cell: that the report is of.
        trained: with the ranges that training draws from.
        seeds: of the training.
        report: report.json of a qualification.
        share: of the training's episodes, that are to be taken from those that are chosen.
    """
    numbers = np.array(report["per_episode"]["episode"])
    failed = np.isin(numbers, [number for cluster in report["failures"] for number in cluster["episodes"]])
    if failed.sum() < FEWEST:
        return None
    judged = Seeds(report["seed"], Space[report["space"]], tuple(report["key"]))
    seen, pool = _figures(cell, cell, judged, numbers), FIRST + np.arange(POOL)
    drawn = _figures(cell, trained, seeds, pool)
    centre, spread = seen.mean(0), np.maximum(seen.std(0), 1e-9)
    risk = failing((seen - centre) / spread, failed, (drawn - centre) / spread)
    chosen = seeds.generator(FIRST - 1).choice(POOL, CHOSEN, replace=False, p=risk / risk.sum())
    return Focus(share, pool[chosen], float(risk.mean()), float(risk[chosen].mean()))


def _figures(cell: CellSpec, drawn: CellSpec, seeds: Seeds, numbers: np.ndarray) -> np.ndarray:
    """The axes of these starts, and how far each is from the middle, (n, 2 k)."""
    axes = with_combined(cell, starts_of(draw(drawn, seeds, numbers), cell))
    return np.concatenate([axes, np.abs(axes)], axis=1)


def failing(seen: np.ndarray, failed: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """How likely starts fail (m,), by logistic regression with a ridge.

    Args:
        seen: (n, k) figures of starts, with a spread of about one each.
        failed: (n,) whether they failed.
        asked: (m, k).
    """
    x, sign = np.c_[np.ones(len(seen)), seen], np.where(failed, 1.0, -1.0)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ w)
        slope = -(sign * expit(-margin)) @ x + RIDGE * np.r_[0.0, w[1:]]
        return float(-log_expit(margin).sum() + RIDGE / 2 * w[1:] @ w[1:]), slope

    found = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B")
    return expit(np.c_[np.ones(len(asked)), asked] @ found.x)
