import numpy as np
import pytest

from robot_rlaas.cell.seeds import Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.env.batch import Outcome
from robot_rlaas.pages.overview import Attempt, Estimate, LearningPoint, Overview, Stage
from robot_rlaas.qualify.report import START_AXES, PolicyIdentity, Trial, build_report


def made_up_report(count, failures, seed=0):
    """A report of made-up episodes; `failures` maps a stage's index to how many got stuck there."""
    rng = np.random.default_rng(seed)
    stage = np.full(count, 3)
    where = rng.permutation(count)
    for index, number in failures.items():
        stage[where[:number]] = index
        where = where[number:]
    times, forces = 2.2 + rng.gamma(2.2, 0.45, count), 18 + rng.gamma(5, 4.5, count)
    trials = []
    for i in range(count):
        good, steps = bool(stage[i] == 3), round(float(times[i]) * 20)
        time = steps / 20 if good else float("inf")
        outcome = Outcome(i, good, time, float(forces[i]), False, int(stage[i]), steps if good else 160, 0.0)
        trials.append(Trial(outcome, rng.uniform(-1, 1, len(START_AXES)) * (30, 30, 10, 1, 1, 1, 1, 1, 1)))
    identity = PolicyIdentity("policy/policy.onnx", "a7" * 32, "onnx")
    cost = {"wall_s": 41.3, "core_s": 79.0, "simulated_s": 3340.0}
    return build_report(load_cell("peg_insertion"), identity, 0, Space.QUALIFY, trials, cost)


@pytest.fixture(scope="session")
def report():
    """1,000 made-up episodes, 12 of them failed, in three ways."""
    return made_up_report(1000, {0: 1, 1: 8, 2: 3})


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
