"""Whether MuJoCo Warp and MuJoCo's own batch agree on what a policy achieves, and what each takes for it."""

import time
from collections.abc import Callable

from bench.measurements import CELL, Figure
from bench.simulation import _play
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.pipeline import Cell
from robot_rlaas.qualify.compare import compare
from robot_rlaas.qualify.statistics import proportion

BACKENDS = ("cpu", "warp:cpu")
EPISODES, ROWS = 500, 125


def backends() -> dict[str, Figure]:
    """The scripted expert's success on both, from the same starts, with its 95 % interval; seconds, loading included.

    They agree if the paired difference's 95 % interval holds zero.
    """
    figures, played = {}, []
    for name in BACKENDS:
        start = time.perf_counter()
        played.append(_play(Cell.load(CELL).env(ROWS, Seeds(0, Space.SHOW), simulator=name), EPISODES))
        seconds = time.perf_counter() - start
        hits = sum(outcome.success for outcome in played[-1])
        ends = proportion(hits, EPISODES, 0.975)
        where = f"backends/{CELL}/{name.replace(':', '_')}"
        figures |= {
            f"{where}": Figure(ends.value, "1", None, None),
            f"{where}/lower": Figure(ends.lower, "1", None, None),
            f"{where}/upper": Figure(ends.upper, "1", None, None),
            f"{where}/seconds": Figure(seconds, "s", None, None),
        }
    for row in compare(BACKENDS, played):
        assert row.difference is not None
        assert row.lower is not None
        assert row.upper is not None
        agree = row.lower <= 0.0 <= row.upper
        unit = {"success": "1", "cycle_time_s": "s", "peak_force_N": "N"}[row.figure]
        figures[f"backends/{CELL}/{row.figure}_difference"] = Figure(row.difference, unit, 0.0, agree)
    return figures


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"backends": backends}
