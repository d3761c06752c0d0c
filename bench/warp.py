"""Whether MuJoCo Warp and MuJoCo's own batch agree on what a policy achieves, and what each takes for it."""

import time
from collections.abc import Callable
from functools import partial

from bench.measurements import Figure
from bench.simulation import _play, shipped
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.qualify.compare import compare
from robot_rlaas.qualify.statistics import proportion

BACKENDS = ("cpu", "warp:cpu")
EPISODES, ROWS = 500, 125


def backends(cell: str) -> dict[str, Figure]:
    """Success of the cell's scripted expert on both, with its 95 % interval; seconds, loading included.

    The starts are the same. The backends agree if the 95 % interval of the paired difference holds zero. Differences of
    times and forces are medians over the starts.
    """
    figures, played = {}, []
    for name in BACKENDS:
        start = time.perf_counter()
        played.append(_play(Cell.load(cell).env(ROWS, Seeds(0, Space.SHOW), simulator=name), EPISODES))
        seconds = time.perf_counter() - start
        hits = sum(outcome.success for outcome in played[-1])
        ends = proportion(hits, EPISODES, 0.975)
        where = f"backends/{cell}/{name.replace(':', '_')}"
        figures |= {
            f"{where}": Figure(ends.value, "1", None, None),
            f"{where}/lower": Figure(ends.lower, "1", None, None),
            f"{where}/upper": Figure(ends.upper, "1", None, None),
            f"{where}/seconds": Figure(seconds, "s", None, None),
        }
    success, *others = compare(BACKENDS, played)
    assert success.difference is not None
    assert success.lower is not None
    assert success.upper is not None
    agree = success.lower <= 0.0 <= success.upper
    figures[f"backends/{cell}/success_difference"] = Figure(success.difference, "1", 0.0, agree)
    for row, unit in zip(others, ("s", "N")):
        if row.difference is not None:
            figures[f"backends/{cell}/{row.figure}_difference"] = Figure(row.difference, unit, None, None)
    return figures


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {
    f"backends/{cell}": partial(backends, cell) for cell in shipped()
}
