"""Whether what a policy does on this arm is still what it was qualified to do, figure by figure."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from robot_rlaas.cell.limits import Limit, limits_of
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.pages.site import bounds, figure, percent

ALPHA = 0.01  # how likely it is that one look at an unchanged station calls it changed
SHOWN = {"success": "success", "cycle_time": "cycle time", "contact_force": "peak force"}


class Against(NamedTuple):
    """A figure of the attempts so far against the qualified one, in words.

    Attributes:
        name: of the figure.
        value: of the attempts so far; empty before the first.
        words: how the one lies to the other, with the qualified interval.
        tone: "good", "open" (by chance, perhaps), "bad" (hardly by chance) or "" (nothing to say).
    """

    name: str
    value: str
    words: str
    tone: str


def against(cell: CellSpec, report: Sequence[dict[str, Any]], attempts: Sequence[dict[str, Any]]) -> list[Against]:
    """Success, cycle time and peak force of attempts against a report.

    Args:
        cell: which quantiles are meant.
        report: `requirements` of a qualification report.
        attempts: {success, cycle_time_s, peak_force_N}; the time of a failure is None.
    """
    rows = {row["name"]: row for row in report}
    return [
        _against(limit, rows.get(limit.name), [_of(limit, attempt) for attempt in attempts])
        for limit in limits_of(cell)
        if limit.name in SHOWN
    ]


def chance(bad: int, total: int, share: float) -> float:
    """How likely at least so many bad ones of `total` are, where at most that share is bad."""
    return float(stats.binom.sf(bad - 1, total, share))


def _of(limit: Limit, attempt: dict[str, Any]) -> float:
    value = attempt[limit.figure]
    return math.inf if value is None else float(value)


def _against(limit: Limit, row: dict[str, Any] | None, values: list[float]) -> Against:
    """At most a share of all attempts may be bad: fail, or be beyond the upper end of the qualified quantile."""
    name, total = SHOWN[limit.name], len(values)
    if not values:
        return Against(name, "", f"qualified: {_interval(row)}" if row else "not qualified", "")
    now, low, high = _now(limit, values), *((row["lower_95"], row["upper_95"]) if row else (None, None))
    if limit.is_rate:
        bad, share, worse, better = total - round(sum(values)), 1.0 - (low or 0.0), "below", False
        value, beyond = f"{total - bad} of {total}", bad > share * total
    else:
        most = math.inf if high is None else high
        bad, share, worse, better = sum(v > most for v in values), 1.0 - limit.rate, "above", now < (low or 0.0)
        told = figure(now, limit.unit) if math.isfinite(now) else "no time: too many failed"
        value, beyond = f"{percent(limit.rate)} within {told}", now > most
    if row is None:
        return Against(name, value, "the bundle holds no figure to compare it with", "")
    qualified = f"the qualified {_interval(row)}"
    if chance(bad, total, share) <= ALPHA:
        return Against(name, value, f"{worse} {qualified}: something has changed", "bad")
    if beyond:
        return Against(name, value, f"{worse} {qualified}, perhaps by chance", "open")
    return Against(name, value, f"{'better than' if better else 'inside'} {qualified}", "good")


def _now(limit: Limit, values: list[float]) -> float:
    return float(np.quantile(values, limit.rate, method="inverted_cdf"))


def _interval(row: dict[str, Any]) -> str:
    return bounds(row["lower_95"], row["upper_95"], row["unit"])
