"""One picture of a sweep: what each trial scored, and which keys of the recipe that depends on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robot_rlaas.learn.sweep import Tried

COMPLETE, PRUNED, BEST, FAINT = "#1f6fb2", "#d9822b", "#22262b", "#9aa3ad"
STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def draw(trials: Sequence[Tried], importance: Mapping[str, float], path: Path) -> None:
    """Write the picture.

    Args:
        trials: in the order of their numbers.
        importance: by key of the recipe, shares of one; empty where too few trials say anything of it.
        path: a PNG.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        history, *bars = figure.subplots(1, 2 if importance else 1, squeeze=False)[0]
        scored = [(t.state, t.number, t.score) for t in trials if t.score is not None]
        for state, colour in (("complete", COMPLETE), ("pruned", PRUNED)):
            points = [point for own, *point in scored if own == state]
            if points:
                history.scatter(*zip(*points), s=18, color=colour, label=state)
        number, score = np.array([point for state, *point in scored if state == "complete"]).T
        history.step(number, np.maximum.accumulate(score), where="post", color=BEST, lw=1, label="best so far")
        history.axhline(score[0], color=FAINT, lw=1, ls="--", label="the recipe it began with")
        history.set(xlabel="trial", ylabel="score")
        history.xaxis.get_major_locator().set_params(integer=True)
        history.legend(frameon=False, fontsize=8)
        names = list(importance)[::-1]
        for axes in bars:
            axes.barh(names, [importance[name] for name in names], color=COMPLETE)
            axes.set(xlabel="share of the score's variation", xlim=(0, 1))
        figure.savefig(path, dpi=150)
