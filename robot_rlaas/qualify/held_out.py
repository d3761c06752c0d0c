"""Beyond the training ranges: does the policy generalise, and which factor breaks it first?"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.calibration import LONGEST_DELAY_S
from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, Variation
from robot_rlaas.env.acting import env_for
from robot_rlaas.env.batch import Outcome
from robot_rlaas.qualify.claims import ALPHA
from robot_rlaas.qualify.statistics import difference, proportion, quantile
from robot_rlaas.qualify.trials import run_trials
from robot_rlaas.sim.backends import CPU, backend_of
from robot_rlaas.sim.model import build
from robot_rlaas.sim.variation import Beyond

SHAPE, EVERYTHING = "shape", "everything"
REACHES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0)  # half-widths of a factor's range, from its centre
EDGE = 0.05  # of a half-width: a sensitivity episode lies this close to the stated reach
NOT_NEGATIVE = (
    "friction",
    "joint_damping_scale",
    "joint_friction_Nm",
    "servo_gain_scale",
    "command_delay_s",
    "light_scale",
)
MOST = {"command_delay_s": LONGEST_DELAY_S}
BROKEN = 0.9  # a factor breaks a policy where less than this share of the nominal success rate is left
SIMULATIONS = 128


class Setting(NamedTuple):
    """A changed cell, and the factors of it that are drawn from beyond an inner range only."""

    name: str
    cell: CellSpec
    beyond: Beyond


def held_out_settings(cell: CellSpec, trained: Variation) -> list[Setting]:
    """One setting per held-out factor, one for the held-out shape, and one with everything at once.

    Args:
        cell: says what is held out.
        trained: the ranges that the policy was trained on, which may be wider than the cell's.
    """
    inner = {name: getattr(trained, name) for name in cell.held_out.ranges}
    settings = [
        Setting(name, _varied(cell, {name: wide}), {name: inner[name]})
        for name, wide in cell.held_out.ranges.items()
        if _reaches_beyond(wide, inner[name])
    ]
    if cell.held_out.shape:
        settings.append(Setting(SHAPE, _shaped(cell), {}))
    if len(settings) > 1:
        kept = {s.name: cell.held_out.ranges[s.name] for s in settings if s.name != SHAPE}
        everything = _varied(_shaped(cell), kept)
        settings.append(Setting(EVERYTHING, everything, {name: inner[name] for name in kept}))
    return settings


def sensitivity_settings(cell: CellSpec) -> Iterator[tuple[str, float, Setting]]:
    """Factor, reach and setting: the factor at the edge of a range `reach` times as wide, all else as the cell says.

    Where the lower edge would make no sense (a negative friction), only the upper one is drawn.
    """
    for factor in Variation.model_fields:
        low, high = getattr(cell.variation, factor)
        centre, half = (low + high) / 2, (high - low) / 2
        if half == 0:
            continue
        for reach in REACHES:
            outer, within = reach * half, (reach - EDGE) * half
            if centre + outer > MOST.get(factor, np.inf):
                break
            if factor in NOT_NEGATIVE and centre - outer <= 0:
                wide, beyond = (centre + within, centre + outer), {}
            else:
                wide, beyond = (centre - outer, centre + outer), {factor: (centre - within, centre + within)}
            yield factor, reach, Setting(factor, _varied(cell, {factor: wide}), beyond)


def run_setting(
    setting: Setting,
    policy: Policy,
    seeds: Seeds,
    episodes: int,
    on_episodes: Callable[[int], None],
    simulator: str = CPU,
) -> list[Outcome]:
    """The outcomes of a setting's first episodes. The model is built anew: its shape may differ."""
    workcell = build(setting.cell)
    backend = backend_of(simulator, workcell, setting.cell, _rows(episodes))
    with env_for(policy, setting.cell, workcell, backend, seeds, beyond=setting.beyond) as env:
        return [trial.outcome for trial in run_trials(env, policy, episodes, on_episodes)]


def held_out_report(
    cell: CellSpec,
    trained: Variation,
    make_policy: Callable[[int], Policy],
    seeds: Seeds,
    episodes: int,
    nominal: list[Outcome],
    on_episodes: Callable[[int], None],
    simulator: str = CPU,
) -> list[dict[str, Any]]:
    """One entry per held-out setting, the one that costs most success first.

    The gaps' bounds are simultaneous: Bonferroni's share of ALPHA for each side of each, so that the lower bounds of
    all of them hold together with probability 1 - ALPHA, and the upper ones too.

    Args:
        cell, trained: as in `held_out_settings`.
        make_policy: makes what is judged, for a number of rows.
        seeds: of the qualification; space and factor are replaced.
        episodes: per setting.
        nominal: outcomes inside the cell's ranges, to compare with.
        on_episodes: hears of ended episodes.
        simulator: as of `sim.backends.backend_of`.
    """
    entries, policy = [], make_policy(_rows(episodes))
    need, settings = cell.requirements.contact_force_N, held_out_settings(cell, trained)
    for number, setting in enumerate(settings):
        own = Seeds(seeds.seed, Space.HELD_OUT, (*seeds.key, number))
        outcomes = run_setting(setting, policy, own, episodes, on_episodes, simulator)
        good = sum(o.success for o in outcomes)
        gap = gap_json(sum(o.success for o in nominal), len(nominal), good, len(outcomes), len(settings))
        force = quantile(np.array([o.peak_force_N for o in outcomes]), need.quantile)
        entries.append(
            {
                "factor": setting.name,
                "range": cell.held_out.ranges.get(setting.name),
                "beyond": setting.beyond.get(setting.name),
                "shape": cell.held_out.shape if setting.name in (SHAPE, EVERYTHING) else {},
                "episodes": len(outcomes),
                "success": success_json(good, len(outcomes)),
                "peak_force_N": force.value if np.isfinite(force.value) else None,
                "gap": gap,
                "simulated_s": _simulated_s(setting.cell, outcomes),
            }
        )
    return sorted(entries, key=lambda entry: -entry["gap"]["value"])


def sensitivity_report(
    cell: CellSpec,
    make_policy: Callable[[int], Policy],
    seeds: Seeds,
    episodes: int,
    nominal: list[Outcome],
    on_episodes: Callable[[int], None],
    simulator: str = CPU,
) -> dict[str, Any]:
    """Success against reach, factor by factor, and the factor that breaks the policy at the least reach.

    Of several at the same reach, the one with the least success there.

    Args:
        cell: its ranges are reach 1.
        make_policy, seeds, nominal, on_episodes, simulator: as in `held_out_report`.
        episodes: per point.
    """
    rate = np.mean([o.success for o in nominal])
    curves: dict[str, list[dict[str, Any]]] = {}
    policy, simulated_s = make_policy(_rows(episodes)), 0.0
    for number, (factor, reach, setting) in enumerate(sensitivity_settings(cell)):
        own = Seeds(seeds.seed, Space.HELD_OUT, (*seeds.key, 1000 + number))
        outcomes = run_setting(setting, policy, own, episodes, on_episodes, simulator)
        good = sum(o.success for o in outcomes)
        point = {"reach": reach, "range": getattr(setting.cell.variation, factor), "edges": edges(setting)}
        curves.setdefault(factor, []).append({**point, "success": success_json(good, episodes)})
        simulated_s += _simulated_s(setting.cell, outcomes)
    broken = {
        factor: next((p["reach"] for p in points if p["success"]["upper_95"] < BROKEN * rate), None)
        for factor, points in curves.items()
    }
    rates = {(f, p["reach"]): p["success"]["rate"] for f, points in curves.items() for p in points}
    first = min(((reach, rates[f, reach], f) for f, reach in broken.items() if reach), default=None)
    return {
        "episodes": episodes,
        "broken_below": BROKEN,
        "curves": curves,
        "breaks_at": broken,
        "breaks_first": {"factor": first[2], "reach": first[0]} if first else None,
        "simulated_s": round(simulated_s, 2),
    }


def edges(setting: Setting) -> str:
    """Which edges of a factor's range a sensitivity setting draws from: "both", or the "upper" one alone."""
    return "both" if setting.beyond else "upper"


def sensitivity_points(cell: CellSpec) -> int:
    """How many settings `sensitivity_report` runs."""
    return sum(1 for _ in sensitivity_settings(cell))


def success_json(count: int, total: int) -> dict[str, Any]:
    """A success rate with its exact one-sided bounds."""
    estimate = proportion(count, total)
    return {"count": count, "rate": estimate.value, "lower_95": estimate.lower, "upper_95": estimate.upper}


def gap_json(nominal_good: int, nominal: int, good: int, total: int, gaps: int) -> dict[str, float]:
    """The success rate inside minus the one beyond, with bounds that hold for as many `gaps` together."""
    gap = difference(nominal_good, nominal, good, total, 1.0 - ALPHA / gaps)
    return {"value": gap.value, "lower_95": gap.lower, "upper_95": gap.upper}


def _simulated_s(cell: CellSpec, outcomes: list[Outcome]) -> float:
    return round(sum(o.steps for o in outcomes) * cell.period_s, 2)


def _rows(episodes: int) -> int:
    return min(SIMULATIONS, episodes)


def _reaches_beyond(wide: tuple[float, float], inner: tuple[float, float]) -> bool:
    return wide[0] < inner[0] or wide[1] > inner[1]


def _varied(cell: CellSpec, ranges: dict[str, tuple[float, float]]) -> CellSpec:
    return cell.model_copy(update={"variation": cell.variation.model_copy(update=ranges)})


def _shaped(cell: CellSpec) -> CellSpec:
    if not cell.held_out.shape:
        return cell
    plate = cell.task.plate.model_copy(update=cell.held_out.shape)
    return cell.model_copy(update={"task": cell.task.model_copy(update={"plate": plate})})
