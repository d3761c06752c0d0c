"""What an episode is rewarded for, in named terms: the same for every task."""

from typing import Any

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.arrays import namespace

Array = Any
FREE_FORCE, FULL_FORCE = 0.8, 1.1  # fractions of the limit between which force costs most
BEYOND = 0.3  # of that cost, for force beyond
FORCE_WEIGHT = 2.5
DONE_REWARD = 8.0
TIME_COST = -0.002  # per period


def force_cost(cell: CellSpec, peak_N: Array) -> Array:
    """What an episode with this largest contact force (n,) costs, before its weight.

    Steep round the limit and flat elsewhere: a requirement on a quantile asks that most episodes stay below the limit,
    not that gentle ones become gentler or that the worst be given up.
    """
    xp = namespace(peak_N)
    share = peak_N / cell.requirements.contact_force_N.limit
    beyond = xp.maximum(share - FULL_FORCE, 0.0)
    return xp.minimum(xp.maximum(share, FREE_FORCE), FULL_FORCE) - FREE_FORCE + BEYOND * beyond


def reward_terms(
    potential_change: Array,
    force_cost_change: Array,
    further_change: dict[str, Array],
    done: Array,
    keep_out: Array,
    action: Array,
) -> dict[str, Array]:
    """Named reward terms (n,) of one period.

    Force is charged as its episode's peak rises, so that the sum is the cost of the peak: charged per period, a long
    careful search would cost more than giving up.

    Args:
        potential_change: (n,) gain in the task's potential.
        force_cost_change: (n,) gain in `force_cost`.
        further_change: (n,) each, by name: gain in what the cell's further limits cost, at most 1 per episode.
        done: (n,) bool.
        keep_out: (n,) bool: the tool is in a keep-out box.
        action: (n, action_size) the action taken.
    """
    xp = namespace(action)
    return {
        "progress": potential_change,
        "done": DONE_REWARD * done,
        "time": TIME_COST + 0.0 * potential_change,
        "force": -FORCE_WEIGHT * force_cost_change,
        **{name: -change for name, change in further_change.items()},
        "keep_out": -0.3 * keep_out,
        "effort": -0.001 * xp.sum(action * action, axis=-1),
    }
