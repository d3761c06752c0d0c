"""What report.json holds, put together from trials and verdicts."""

import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.limits import Limit, further_limits, limits_of
from robot_rlaas.cell.seeds import Seeds, sequence_json
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import Outcome
from robot_rlaas.qualify import sequential as anytime
from robot_rlaas.qualify.claims import ALPHA, BATCH, Judgement, Plan
from robot_rlaas.qualify.failures import Cluster
from robot_rlaas.qualify.fresh import Freshness
from robot_rlaas.qualify.statistics import Estimate, Verdict, proportion, quantile
from robot_rlaas.qualify.trials import Trial
from robot_rlaas.qualify.words import with_combined, words_of

FORMAT = 4


class PolicyIdentity(NamedTuple):
    """Which policy was judged: a short name, its hash, and what kind it is."""

    name: str
    sha256: str
    kind: str


def build_report(
    cell: CellSpec,
    policy: PolicyIdentity,
    seeds: Seeds,
    plan: Plan,
    judgement: Judgement,
    fresh: Freshness,
    cost: dict[str, float],
    failures: Sequence[Cluster],
    held_out: list[dict[str, Any]] | None = None,
    sensitivity: dict[str, Any] | None = None,
    held_out_beyond: str = "cell",
    simulator: str | None = None,
) -> dict[str, Any]:
    """The content of report.json; `schema.Report` says what that is.

    Args:
        cell: what is required.
        policy: what was judged.
        seeds: where the episodes came from.
        plan: how many were to be run.
        judgement: from `claims.judge`.
        fresh: whether the policy can have met them.
        cost: wall_s, core_s and simulated_s.
        failures: from `failures.clusters`.
        held_out, sensitivity: from `held_out.held_out_report` and `sensitivity_report`, where they were asked for.
        held_out_beyond: whose ranges that is: the "policy"'s, if it says what it was trained on, or else the "cell"'s.
        simulator: that judged, as of `sim.backends.backend_of`; None for attempts on an arm.
    """
    outcomes = [trial.outcome for trial in judgement.trials]
    requirements = _requirements(cell, outcomes, plan, judgement)
    if not fresh.proved:
        unproved = {Verdict.PASS: Verdict.UNDECIDED}
        requirements = [{**row, "verdict": unproved.get(row["verdict"], row["verdict"])} for row in requirements]
    count, of_success = sum(o.success for o in outcomes), requirements[0]
    return {
        "format": FORMAT,
        "kind": "qualification" if fresh.proved else "trial",
        "cell": cell.name,
        "cell_hash": cell.hash,
        "policy": policy._asdict(),
        **sequence_json(seeds),
        "simulator": simulator,
        "versions": versions(simulator),
        "plan": {**plan._asdict(), "batch": BATCH, "alpha": ALPHA},
        "fresh": {
            "proved": fresh.proved,
            "statements": list(fresh.statements),
            "objections": list(fresh.objections),
        },
        "episodes": len(outcomes),
        "success": {
            "count": count,
            "rate": count / len(outcomes),
            **{k: of_success[k] for k in ("lower_95", "upper_95")},
        },
        "requirements": requirements,
        "cost": cost,
        "failures": [cluster.to_json() for cluster in failures],
        "held_out_beyond": held_out_beyond,
        "held_out": held_out,
        "sensitivity": sensitivity,
        "per_episode": _per_episode(cell, judgement.trials),
    }


def _requirements(cell: CellSpec, outcomes: list[Outcome], plan: Plan, judgement: Judgement) -> list[dict[str, Any]]:
    """One row each. Of a sequential plan the bounds hold at every look, as its verdicts do."""
    looks = anytime.looks_of(plan.episodes, BATCH)

    def estimate(limit: Limit) -> Estimate:
        if not limit.is_rate:
            values = np.array([limit.of(o) for o in outcomes])
            return anytime.quantile(values, limit.rate, looks) if plan.sequential else quantile(values, limit.rate)
        hits = np.array([limit.kept(o) == (limit.name == "success") for o in outcomes])
        if plan.sequential:
            return anytime.proportion(hits, limit.limit, looks)
        return proportion(int(hits.sum()), len(hits))

    return [
        {
            "name": limit.name,
            "text": limit.text,
            "limit": limit.limit,
            "value": _finite(found.value),
            "lower_95": _finite(found.lower),
            "upper_95": _finite(found.upper),
            "verdict": str(judgement.verdicts[limit.name]),
            "more_needed": judgement.more_needed.get(limit.name),
            "unit": limit.unit,
        }
        for limit in limits_of(cell)
        for found in (estimate(limit),)
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _per_episode(cell: CellSpec, trials: list[Trial]) -> dict[str, list[Any]]:
    outcomes = [trial.outcome for trial in trials]
    words = words_of(cell)
    figures = dict.fromkeys(["pressed_s", *(limit.figure for limit in further_limits(cell))])  # that one always
    starts = with_combined(cell, np.array([trial.start for trial in trials])).round(4)
    return {
        "episode": [o.episode for o in outcomes],
        "success": [o.success for o in outcomes],
        "cycle_time_s": [round(o.cycle_time_s, 4) if o.success else None for o in outcomes],
        "peak_force_N": [_finite(round(o.peak_force_N, 3)) for o in outcomes],
        "keep_out": [o.keep_out for o in outcomes],
        **{name: [round(o.figures.get(name, 0.0), 4) for o in outcomes] for name in figures},
        "stage": [words.stages[o.stage] for o in outcomes],
        **{name: [_finite(x) for x in starts[:, i].tolist()] for i, name in enumerate(words.axes)},
    }


def versions(simulator: str | None = None) -> dict[str, str]:
    """Of everything that the figures depend on."""
    names = ["mujoco", "numpy", "onnxruntime", "robot_rlaas"]
    names += ["mujoco-warp", "warp-lang"] if (simulator or "").startswith("warp") else []
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def passed(report: Mapping[str, Any]) -> bool:
    """Whether it is a qualification and every requirement's verdict is PASS."""
    return report["fresh"]["proved"] and all(row["verdict"] == Verdict.PASS for row in report["requirements"])


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two reports of the same qualification, apart from cost and names: keys."""
    apart = ("cost", "versions", "policy")
    found = [key for key in old if key not in apart and old[key] != new.get(key)]
    return found + ["policy.sha256"] * (old["policy"]["sha256"] != new["policy"]["sha256"])


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
