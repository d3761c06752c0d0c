"""report.json keeps to its published schema; report.xml is what continuous integration reads."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pydantic import TypeAdapter

from robot_rlaas.cell.seeds import Seeds, Space, key_of
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.qualify.claims import Plan, judge
from robot_rlaas.qualify.failures import clusters
from robot_rlaas.qualify.fresh import freshness
from robot_rlaas.qualify.junit import junit
from robot_rlaas.qualify.report import PolicyIdentity, build_report, differences, passed
from robot_rlaas.qualify.schema import Report, json_schema
from robot_rlaas.qualify.trials import stream

PUBLISHED = Path(__file__).parents[2] / "docs" / "report.schema.json"
SHA = "ab" * 32


@pytest.fixture
def make_report(cell, make_env):
    def make(nthread: int = 1, proved: bool = True) -> dict:
        seeds = Seeds(0, Space.QUALIFY, key_of(SHA))
        env = make_env(20, space=Space.QUALIFY, nthread=nthread)
        expert = InsertionExpert(cell, env.contract, 20)
        plan = Plan(40, sequential=False)
        judgement = judge(cell, stream(env, expert, lambda ended: None), plan)
        cost = {"wall_s": 1.0, "core_s": 2.0, "simulated_s": 3.0}
        fresh = freshness(seeds, SHA if proved else "", None)
        failures = clusters(cell, judgement.trials)
        return build_report(
            cell, PolicyIdentity("expert", SHA, "expert"), seeds, plan, judgement, fresh, cost, failures
        )

    return make


def test_the_published_schema_is_the_present_one() -> None:
    """Refresh it with: python -m robot_rlaas.qualify.schema > docs/report.schema.json"""
    assert json.loads(PUBLISHED.read_text()) == json_schema()


def test_a_report_keeps_to_the_schema(make_report) -> None:
    report = json.loads(json.dumps(make_report(), allow_nan=False))
    TypeAdapter(Report).validate_python(report, extra="forbid")


def test_the_same_seed_is_the_same_report_on_any_number_of_threads(make_report) -> None:
    one, two = make_report(1), make_report(2)
    assert json.dumps(one) == json.dumps(two)
    assert differences(one, two) == []
    assert differences(one, {**two, "episodes": 41}) == ["episodes"]


def test_junit(make_report) -> None:
    report = make_report()
    suite = ElementTree.fromstring(junit(report)).find("testsuite")
    assert suite is not None
    cases = {case.get("name"): case.find("failure") for case in suite.findall("testcase")}
    verdicts = {f"requirement.{row['name']}": row["verdict"] for row in report["requirements"]}
    assert set(cases) == {*verdicts, "fresh"}
    for name, verdict in verdicts.items():
        assert (cases[name] is None) == (verdict == "PASS")
    assert suite.get("failures") == str(sum(v != "PASS" for v in verdicts.values()))


def test_without_proof_of_freshness_nothing_passes(make_report) -> None:
    report = make_report(proved=False)
    assert report["kind"] == "trial"
    report["requirements"] = [{**row, "verdict": "PASS"} for row in report["requirements"]]
    assert not passed(report)
    assert junit(report).count(b"<failure") == 1
    assert passed({**report, "fresh": {**report["fresh"], "proved": True}})
