"""Why an arm stops: docs/deployment.md tells every cause, and an operator is one."""

import re
from pathlib import Path

from supervised import Bench, on_time, steady

import robot_rlaas
from robot_rlaas.deploy.counts import OPERATOR

DEPLOY = Path(robot_rlaas.__file__).parent / "deploy"
DOCS = DEPLOY.parents[1] / "docs" / "deployment.md"
FILES = (
    "senses",
    "supervisor",
    "stream",
    "arrivals",
    "clearance",
    "limited",
    "outside",
    "watchdog",
    "ros/supervisor_node",
)
NAMED = (
    r'Trouble\(\s*"(\w+)"',
    r'_refused\(\s*"(\w+)"',
    r'_limited\(\s*\w+,\s*"(\w+)"',
    r'Event\(\s*"\w+",\s*"(\w+)"',
    r'_latch\(\s*"(\w+)"',
    r'_others\(\s*"(\w+)"',
    r'cause = "(\w+)" if .* else "\w+"',
    r'cause = "\w+" if .* else "(\w+)"',
)
SENSORS = r'Trouble\(\s*f"\{source.name\}(_\w+)"'


def causes() -> set[str]:
    found: set[str] = set()
    for name in FILES:
        code = (DEPLOY / f"{name}.py").read_text()
        found |= {cause for pattern in NAMED for cause in re.findall(pattern, code)}
        found |= {sensor + end for end in re.findall(SENSORS, code) for sensor in ("joint_states", "wrench")}
    return found | {"operator"}


def test_every_cause_is_told():
    chapter = DOCS.read_text().split("## What stops the arm, and how to go on")[1]
    told = {name for row in re.findall(r"^\| (`.*?) \|", chapter, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert len(causes()) > 25
    assert told == causes()


def test_an_operator_stops_a_moving_arm_until_the_reset_and_that_is_no_violation():
    bench = Bench()
    bench.run(0.5, on_time(steady(20), bench.now_s))
    assert bench.moving
    bench.supervisor.fault(OPERATOR, "the operator pressed STOP", bench.now_s)
    bench.run(0.2)
    assert not bench.moving
    assert (bench.supervisor.latched, bench.counts.stops[OPERATOR]) == (OPERATOR, 1)
    assert bench.supervisor.why == "stopped: the operator pressed STOP"
    assert bench.give(steady(1)[0]) == "latched"
    assert bench.supervisor.reset(bench.now_s) == OPERATOR
    assert bench.counts.violations == 0
