"""Run fresh episodes and say, requirement by requirement, what they prove."""

import math
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.seeds import Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.env.insertion import STAGES
from robot_rlaas.qualify.statistics import Estimate, Verdict, at_least, at_most, proportion, quantile

FORMAT = 1
FAILURE_KINDS = {
    "approach": "never reached the plate",
    "search": "touched the plate and never found the hole",
    "insert": "found the hole and got stuck on the way in",
    "done": "diverged in simulation",
}


class Trial(NamedTuple):
    """One qualification episode: how it ended and how it started."""

    outcome: Outcome
    start: np.ndarray


class PolicyIdentity(NamedTuple):
    """Which policy was judged: its file, its hash, and what kind it is."""

    path: str
    sha256: str
    kind: str


def run_trials(env: BatchEnv, policy: Policy, count: int, on_episodes: Callable[[int], None]) -> list[Trial]:
    """Run the first `count` episodes of the environment's seed space to their ends, in order of their numbers.

    Rows whose episode number lies beyond `count` keep running and are not counted: an episode is never left out
    because it takes long.
    """
    observation = env.reset()
    policy.reset(np.arange(env.nsim))
    first = int(env.episode.min())
    starts = _starts(env)
    done: dict[int, Trial] = {}
    while len(done) < count:
        step = env.step(policy.act(observation))
        ended = 0
        for row, outcome in zip(step.rows, step.outcomes):
            if outcome.episode < first + count:
                done[outcome.episode] = Trial(outcome, starts[row])
                ended += 1
        policy.reset(step.rows)
        starts[step.rows] = _starts(env)[step.rows]
        observation = step.observation
        on_episodes(ended)
    return [done[number] for number in sorted(done)]


def _starts(env: BatchEnv) -> np.ndarray:
    d = env.draw
    mm, deg = 1e3, 180 / np.pi
    columns = (
        d.plate_xy_m * mm,
        d.plate_yaw_rad[:, None] * deg,
        d.bias_xy_m * mm,
        d.bias_yaw_rad[:, None] * deg,
        d.hand_m * mm,
    )
    return np.concatenate(columns, axis=1)


START_AXES = (
    *("plate_x_mm", "plate_y_mm", "plate_yaw_deg"),
    *("bias_x_mm", "bias_y_mm", "bias_yaw_deg"),
    *("hand_x_mm", "hand_y_mm", "hand_z_mm"),
)


def build_report(
    cell: CellSpec, policy: PolicyIdentity, seed: int, space: Space, trials: list[Trial], cost: dict[str, float]
) -> dict[str, Any]:
    """The content of report.json.

    Args:
        cell: what is required.
        policy: what was judged.
        seed, space: where the episodes came from.
        trials: in order of their numbers.
        cost: wall_s, core_s and simulated_s.
    """
    outcomes = [trial.outcome for trial in trials]
    success = proportion(sum(o.success for o in outcomes), len(outcomes))
    return {
        "format": FORMAT,
        "cell": cell.name,
        "cell_hash": cell.hash,
        "policy": policy._asdict(),
        "seed": seed,
        "space": space.name,
        "versions": _versions(),
        "episodes": len(outcomes),
        "success": {
            "count": sum(o.success for o in outcomes),
            "rate": success.value,
            "lower_95": success.lower,
            "upper_95": success.upper,
        },
        "requirements": _requirements(cell, outcomes),
        "cost": cost,
        "failures": _failures(outcomes),
        "per_episode": _per_episode(trials),
    }


def _requirements(cell: CellSpec, outcomes: list[Outcome]) -> list[dict[str, Any]]:
    need, total = cell.requirements, len(outcomes)
    success = proportion(sum(o.success for o in outcomes), total)
    cycle = quantile(np.array([o.cycle_time_s for o in outcomes]), need.cycle_time_s.quantile)
    force = quantile(np.array([o.peak_force_N for o in outcomes]), need.contact_force_N.quantile)
    keep_out = proportion(sum(o.keep_out for o in outcomes), total)
    q_time, q_force = (f"{100 * q.quantile:g} %" for q in (need.cycle_time_s, need.contact_force_N))
    return [
        _row("success", "share of parts that succeed", need.success.rate, success, at_least, "1"),
        _row("cycle_time", f"{q_time} of parts within", need.cycle_time_s.limit, cycle, at_most, "s"),
        _row("contact_force", f"{q_force} of peak forces within", need.contact_force_N.limit, force, at_most, "N"),
        _row("keep_out", "share of parts that enter a keep-out box", need.keep_out.rate, keep_out, at_most, "1"),
    ]


def _row(name: str, text: str, limit: float, estimate: Estimate, judge, unit: str) -> dict[str, Any]:
    value, lower, upper = (x if math.isfinite(x) else None for x in estimate)
    return {
        "name": name,
        "text": text,
        "limit": limit,
        "value": value,
        "lower_95": lower,
        "upper_95": upper,
        "verdict": str(judge(estimate, limit)),
        "unit": unit,
    }


def _failures(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    groups: dict[str, list[int]] = {}
    for outcome in outcomes:
        if not outcome.success:
            groups.setdefault(STAGES[outcome.stage], []).append(outcome.episode)
    return [
        {"kind": kind, "count": len(episodes), "episodes": episodes, "text": FAILURE_KINDS[kind]}
        for kind, episodes in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def _per_episode(trials: list[Trial]) -> dict[str, list[Any]]:
    outcomes = [trial.outcome for trial in trials]
    starts = np.array([trial.start for trial in trials]).round(4)
    return {
        "episode": [o.episode for o in outcomes],
        "success": [o.success for o in outcomes],
        "cycle_time_s": [round(o.cycle_time_s, 4) if o.success else None for o in outcomes],
        "peak_force_N": [round(o.peak_force_N, 3) for o in outcomes],
        "keep_out": [o.keep_out for o in outcomes],
        "stage": [STAGES[o.stage] for o in outcomes],
        **{name: starts[:, i].tolist() for i, name in enumerate(START_AXES)},
    }


def _versions() -> dict[str, str]:
    names = ("mujoco", "numpy", "onnxruntime", "robot_rlaas")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def passed(report: dict[str, Any]) -> bool:
    """Whether every requirement's verdict is PASS."""
    return all(row["verdict"] == Verdict.PASS for row in report["requirements"])


class CostMeter:
    """Wall and core seconds since it was made."""

    def __init__(self) -> None:
        self._wall_s, self._core_s = time.monotonic(), _core_s()

    def read(self) -> dict[str, float]:
        """wall_s and core_s so far."""
        return {"wall_s": round(time.monotonic() - self._wall_s, 3), "core_s": round(_core_s() - self._core_s, 3)}


def _core_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
