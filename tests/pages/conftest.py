import json

import numpy as np
import pytest
from pydantic import TypeAdapter

from robot_rlaas.cell.seeds import Seeds, Space, key_of
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.env.batch import Outcome
from robot_rlaas.pages.overview import Attempt, Estimate, LearningPoint, Overview, Stage
from robot_rlaas.qualify.claims import Plan, judge
from robot_rlaas.qualify.failures import clusters
from robot_rlaas.qualify.fresh import freshness
from robot_rlaas.qualify.held_out import REACHES, edges, gap_json, held_out_settings, sensitivity_settings, success_json
from robot_rlaas.qualify.report import PolicyIdentity, build_report
from robot_rlaas.qualify.schema import Report
from robot_rlaas.qualify.trials import START_AXES, Trial, starts_of
from robot_rlaas.sim.variation import draw

SHA = "a7" * 32
RATES = {"everything": 0.58, "hand_offset_deg": 0.83, "shape": 0.95, "friction": 0.995}  # beyond the ranges
BREAKS = {"hand_offset_deg": 1.5, "plate_bias_mm": 2.5, "friction": 3.0}  # reach from which success falls


def made_up_report(count, failures, plan=None, proved=True, held_out=False, sensitivity=False):
    """A report of made-up episodes; `failures` maps a stage's index to how many got stuck there.

    Those that got stuck in the search (stage 1) had the largest error of the seen plate and of the hand together.
    """
    cell, rng = load_cell("peg_insertion"), np.random.default_rng(0)
    seeds = Seeds(0, Space.QUALIFY, key_of(SHA))
    starts = starts_of(draw(cell, seeds, np.arange(count)))
    column = dict(zip(START_AXES, starts.T))
    miss = np.abs(column["bias_x_mm"] + column["hand_x_mm"]) + rng.normal(0, 0.1, count)
    stage, where = np.full(count, 3), np.argsort(-miss)
    for index, number in sorted(failures.items(), key=lambda item: item[0] != 1):
        stage[where[:number]] = index
        where = rng.permutation(where[number:])
    times, forces = 2.2 + rng.gamma(2.2, 0.45, count), 18 + rng.gamma(5, 4.0, count)
    trials = []
    for i in range(count):
        good, steps = bool(stage[i] == 3), round(float(times[i]) * 20)
        time = steps / 20 if good else float("inf")
        early = 0.4 + 0.2 * rng.random(2).cumsum()
        reached = tuple(time if k == 3 else early[k - 1] * k if k <= stage[i] else float("inf") for k in (1, 2, 3))
        ended = (float(forces[i]), False, int(stage[i]), steps if good else 160, 0.0)
        outcome = Outcome(i, good, time, *ended, reached, float(reached[0] if stage[i] else 0.1))
        trials.append(Trial(outcome, starts[i]))
    plan = plan or Plan(count, sequential=False)
    judgement = judge(cell, iter(trials), plan)
    fresh = freshness(seeds, SHA if proved else "", {"sequences": [{"seed": 0, "space": "TRAIN", "key": []}]})
    good = sum(trial.outcome.success for trial in judgement.trials)
    report = build_report(
        cell,
        PolicyIdentity("policy/policy.onnx", SHA if proved else "", "onnx"),
        seeds,
        plan,
        judgement,
        fresh,
        {"wall_s": 41.3, "core_s": 79.0, "simulated_s": 3340.0},
        clusters(cell, judgement.trials),
        _held_out(cell, good, len(judgement.trials), 200) if held_out else None,
        _sensitivity(cell, 100) if sensitivity else None,
    )
    report = json.loads(json.dumps(report, allow_nan=False))
    TypeAdapter(Report).validate_python(report, extra="forbid")
    return report


def _held_out(cell, good, total, episodes):
    """In the order of the settings, to see the page sort them."""
    entries, settings = [], held_out_settings(cell, cell.variation)
    for setting in settings:
        count = round(episodes * RATES.get(setting.name, 0.98))
        entries.append(
            {
                "factor": setting.name,
                "range": cell.held_out.ranges.get(setting.name),
                "beyond": setting.beyond.get(setting.name),
                "shape": cell.held_out.shape if setting.name in ("shape", "everything") else {},
                "episodes": episodes,
                "success": success_json(count, episodes),
                "peak_force_N": 71.4 if setting.name == "everything" else 47.3,
                "gap": gap_json(good, total, count, episodes, len(settings)),
                "simulated_s": 668.0,
            }
        )
    return entries


def _sensitivity(cell, episodes):
    curves = {}
    for factor, reach, setting in sensitivity_settings(cell):
        beyond = max(0.0, reach - BREAKS.get(factor, max(REACHES)) + 0.5)
        success = success_json(round(episodes * 0.99 * np.exp(-0.6 * beyond)), episodes)
        point = {"reach": reach, "range": getattr(setting.cell.variation, factor), "edges": edges(setting)}
        curves.setdefault(factor, []).append({**point, "success": success})
    broken = {
        factor: next((p["reach"] for p in points if p["success"]["upper_95"] < 0.9 * 0.988), None)
        for factor, points in curves.items()
    }
    first = min((reach, factor) for factor, reach in broken.items() if reach)
    return {
        "episodes": episodes,
        "curves": curves,
        "broken_below": 0.9,
        "breaks_at": broken,
        "breaks_first": {"factor": first[1], "reach": first[0]},
        "simulated_s": 16000.0,
    }


@pytest.fixture(scope="session")
def report():
    """1,000 made-up episodes, 12 of them not inserted, in three ways; nothing but the qualification itself."""
    return made_up_report(1000, {0: 1, 1: 8, 2: 3})


@pytest.fixture(scope="session")
def full_report():
    """Sequential, with held-out factors and sensitivity."""
    plan = Plan(5000, sequential=True, held_out=200, sensitivity=100)
    return made_up_report(5000, {0: 2, 1: 18, 2: 6}, plan, held_out=True, sensitivity=True)


@pytest.fixture(scope="session")
def trial_report():
    """A policy that no file determines; every verdict by itself is PASS."""
    return made_up_report(1000, {}, proved=False)


@pytest.fixture
def run(report):
    """An overview with every part."""
    seconds = np.linspace(0, 165, 60)
    rate = 0.995 - 0.35 * np.exp(-seconds / 25)
    attempts = [Attempt(i != 6, None if i == 6 else 3.1 + 0.13 * (i % 5), 31.0 + 4.1 * (i % 7)) for i in range(10)]
    names = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")
    return Overview(
        cell="peg_insertion",
        description="Insert a 16 mm square peg with 0.5 mm clearance per side into a plate of uncertain pose.",
        seed=0,
        wall_s=492.0,
        core_s=881.0,
        cores=2,
        stages=(
            Stage("check", "done", 1.2, 1.1, "cell/cell.png", "the cell compiles and every plate pose is within reach"),
            Stage("demonstrate", "done", 21.0, 38.0, "demonstrations/", "100 of 103 scripted episodes kept"),
            Stage("train", "done", 215.0, 402.0, "policy/", "99.4 % of 512 validation episodes"),
            Stage("qualify", "done", 41.3, 79.0, "qualification/report.html", "98.8 % of 1,000 episodes"),
            Stage("bundle", "reused", 0.4, 0.4, "bundle/", "sealed, 14 files"),
            Stage("deploy", "done", 96.0, 70.0, "deployment/deployment.json", "9 of 10 insertions, no violation"),
            Stage("calibrate", "failed", None, None, None, "stopped: no joint states for 5 s"),
        ),
        report=report,
        learning=tuple(LearningPoint(float(s), float(r), float(8 * r - 2)) for s, r in zip(seconds, rate)),
        attempts=tuple(attempts),
        violations=0,
        arm="a virtual arm (ur5e_worn) over ROS 2",
        calibration="Held-out tracking error fell from 4.1 to 0.6 mrad.",
        estimates=(
            *(Estimate(f"{n} gain scale", "1", 1.0, 0.9, 0.88, 0.93, 0.91) for n in names),
            Estimate("command delay", "ms", 0.0, 19.6, 19.1, 20.2, 20.0),
        ),
        artefacts=(
            ("policy/policy.onnx", "the network, its normaliser inside"),
            ("bundle/", "what deploy takes"),
            ("deployment/log.mcap", "everything that went over ROS 2"),
        ),
        versions={"robot_rlaas": "0.1.0", "mujoco": "4.0.0"},
    )
