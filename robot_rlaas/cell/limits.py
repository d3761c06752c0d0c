"""The requirements of a cell as a table: what is measured of an episode, when it is good, how many have to be.

"95 % of peak forces are within 60 N" and "an episode stays within 60 N with probability at least 0.95" are the same
statement, and success, cycle time and keep-out boxes are of that form too. So whoever measures, rewards, judges or
tells goes through these rows. A further limit is a row here, a gauge in `env.gauges` and a line in `qualify.words`.
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from robot_rlaas.cell.requirements import QuantileRequirement
from robot_rlaas.cell.spec import CellSpec

TOUCHED_N = 0.5  # more than numerical noise; the lightest touch of any gripper is several times as much

Span = tuple[float, float]


class Limit(NamedTuple):
    """One requirement.

    Attributes:
        name: as reports call it.
        text: what its figure in a report is.
        figure: what is measured of an episode: a field of `env.batch.Outcome` or, of a further limit, one of its
            `figures`.
        keeps: compares a figure and `bound`: whether the episode is good.
        bound: in the figure's unit.
        rate: the least probability with which an episode has to be good.
        limit: as the cell file has it: the bound of a quantile, or a rate.
        unit: of `limit`; "1" for a rate.
        failure: what `qualify.words` calls it if an episode breaks this and nothing that counts for more.
        charged: of a further limit, the figures between which an episode costs reward. What every cell asks for has
            terms of its own in the reward.
        on_arm: whether an arm's own sensors tell it.
    """

    name: str
    text: str
    figure: str
    keeps: Callable[[float, float], bool]
    bound: float
    rate: float
    limit: float
    unit: str
    failure: str
    charged: Span | None = None
    on_arm: bool = True

    @property
    def is_rate(self) -> bool:
        """Whether a report tells how many episodes break it, instead of a quantile of the figure."""
        return self.unit == "1"

    def of(self, outcome: Any) -> float:
        """The figure of an outcome."""
        return outcome.figures[self.figure] if self.charged else getattr(outcome, self.figure)

    def kept(self, outcome: Any) -> bool:
        """Whether an episode with this outcome is good."""
        return bool(self.keeps(self.of(outcome), self.bound))


def limits_of(cell: CellSpec) -> tuple[Limit, ...]:
    """All limits of a cell: the four that every cell has, and its further ones."""
    need, boxes = cell.requirements, "share of parts that enter a keep-out box"
    least = need.success.rate
    return (
        Limit("success", "share of parts that succeed", "success", operator.ge, 1, least, least, "1", "done"),
        _quantile("cycle_time", "parts", "cycle_time_s", need.cycle_time_s, "s", "slow"),
        _quantile("contact_force", "peak forces", "peak_force_N", need.contact_force_N, "N", "force"),
        _rate("keep_out", boxes, "keep_out", 0, need.keep_out.rate, "keep_out"),
        *further_limits(cell),
    )


def further_limits(cell: CellSpec) -> tuple[Limit, ...]:
    """What only some cells ask for. The others pay nothing for it."""
    need = cell.requirements
    rows = []
    if long := need.sustained_force:
        text, most = f"share of parts pressed with over {long.force_N:g} N for {long.duration_s:g} s", long.duration_s
        row = _rate("sustained_force", text, "pressed_s", most, long.rate, "pressed", (0.5 * most, most))
        rows.append(row._replace(keeps=operator.lt))
    if hit := need.contact_impulse_Ns:
        charged = 0.8 * hit.limit, 1.1 * hit.limit
        rows.append(_quantile("contact_impulse", "hardest impacts", "impulse_Ns", hit, "N s", "impulse", charged))
    if slow := need.speed_zones:
        text = "share of parts with the tool too fast in a speed zone"
        rows.append(_rate("speed_zones", text, "zone_speed", 1.0, slow.rate, "fast", (1.0, 1.2)))
    if room := need.joint_margin:
        text = f"share of parts with a joint less than {room.margin_deg:g} deg from its limit"
        charged = 0.0, 0.2 * room.margin_deg
        rows.append(_rate("joint_margin", text, "into_margin_deg", 0.0, room.rate, "margin", charged))
    if never := need.untouched:
        text = "share of parts that touch what must never be touched"
        row = _rate("untouched", text, "touch_N", TOUCHED_N, never.rate, "touched", (0.0, TOUCHED_N))
        rows.append(row._replace(on_arm=False))
    return tuple(rows)


def _quantile(
    name: str, what: str, figure: str, need: QuantileRequirement, unit: str, failure: str, charged: Span | None = None
) -> Limit:
    """So many of the figures, at most so much."""
    text, q = f"{100 * need.quantile:g} % of {what} within", need.quantile
    return Limit(name, text, figure, operator.le, need.limit, q, need.limit, unit, failure, charged)


def _rate(
    name: str, text: str, figure: str, bound: float, rate: float, failure: str, charged: Span | None = None
) -> Limit:
    """At most so many episodes with a figure above the bound."""
    return Limit(name, text, figure, operator.le, bound, 1.0 - rate, rate, "1", failure, charged)
