"""A cell's further limits in its report: a row, a column of episodes and a kind of failure each."""

import json
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pydantic import TypeAdapter

from robot_rlaas.cell.limits import limits_of
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.env.batch import Outcome
from robot_rlaas.pages.qualification import qualification_page
from robot_rlaas.qualify.claims import Plan, judge
from robot_rlaas.qualify.failures import clusters
from robot_rlaas.qualify.fresh import Freshness
from robot_rlaas.qualify.junit import junit
from robot_rlaas.qualify.report import PolicyIdentity, build_report
from robot_rlaas.qualify.schema import Report
from robot_rlaas.qualify.trials import Trial, start_axes

COUNT = 100
GOOD = {"impulse_Ns": 0.2, "zone_speed": 0.95, "into_margin_deg": 0.0, "touch_N": 0.0}
BAD = {"impulse_Ns": 2.0, "zone_speed": 1.2, "into_margin_deg": 3.0, "touch_N": 9.0}


@pytest.fixture(scope="module")
def tending() -> CellSpec:
    return load_cell("machine_tending")


def outcome(number: int, broken: str | None, success: bool = True) -> Outcome:
    figures = GOOD | ({broken: BAD[broken]} if broken else {})
    time_s, stage = (12.0, 8) if success else (np.inf, 3)
    return Outcome(number, success, time_s, 20.0, False, stage, 240, 0.0, (1.0,) * 8, 1.0, figures)


def report_of(cell: CellSpec, outcomes: list[Outcome]) -> dict[str, Any]:
    trials, plan = [Trial(o, np.zeros(len(start_axes(cell)))) for o in outcomes], Plan(COUNT, sequential=False)
    judged = judge(cell, iter(trials), plan)
    cost = {"wall_s": 1.0, "core_s": 1.0, "simulated_s": 1.0}
    told = cell, PolicyIdentity("made up", "", "none"), Seeds(0, Space.QUALIFY), plan, judged
    return build_report(*told, Freshness(True, (), ()), cost, clusters(cell, trials))


def test_each_has_its_row_its_column_and_its_name_when_it_fails(tending) -> None:
    """20 of 100 break each of them, 20 none; the 95 % quantile of impulses is that of the hard ones."""
    broken = [None, *BAD]
    report = report_of(tending, [outcome(i, broken[i % 5]) for i in range(COUNT)])
    rows = {row["name"]: row for row in report["requirements"]}
    assert list(rows) == [limit.name for limit in limits_of(tending)]
    for name in ("speed_zones", "joint_margin", "untouched"):
        assert (rows[name]["value"], rows[name]["limit"], rows[name]["unit"]) == (0.2, 0.01, "1")
        assert rows[name]["verdict"] == "FAIL"
    hit = rows["contact_impulse"]
    assert (hit["value"], hit["limit"], hit["unit"], hit["verdict"]) == (2.0, 1.0, "N s", "FAIL")
    assert report["per_episode"]["zone_speed"][:5] == [0.95, 0.95, 1.2, 0.95, 0.95]
    assert {c["kind"]: c["count"] for c in report["failures"]} == dict.fromkeys(
        ("impulse", "fast", "margin", "touched"), 20
    )
    TypeAdapter(Report).validate_python(json.loads(json.dumps(report)))


def test_what_is_forbidden_counts_for_more_than_success(tending) -> None:
    report = report_of(tending, [outcome(i, "touch_N" if i < 5 else "impulse_Ns", success=False) for i in range(COUNT)])
    assert {c["kind"]: c["count"] for c in report["failures"]} == {"touched": 5, tending.task.labels[3]: 95}


def test_people_and_machines_are_told(tending) -> None:
    report = report_of(tending, [outcome(i, None) for i in range(COUNT)])
    page = qualification_page(report).replace("\N{NO-BREAK SPACE}", " ")
    for title in ("Contact impulse", "Speed zones", "Joint margin", "Never touched", "hardest impact"):
        assert title in page
    assert "1 N s" in page
    cases = [case.get("name") for case in ElementTree.fromstring(junit(report)).iter("testcase")]
    assert {f"requirement.{limit.name}" for limit in limits_of(tending)} < set(cases)
