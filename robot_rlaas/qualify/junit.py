"""The verdicts as JUnit XML, the format that continuous integration reads."""

from typing import Any
from xml.etree import ElementTree

from robot_rlaas.qualify.statistics import Verdict


def junit(report: dict[str, Any]) -> bytes:
    """One test case per requirement; what is undecided counts as failed, and so does a run that is no qualification."""
    rows = report["requirements"]
    cases = [(f"requirement.{row['name']}", row["verdict"], _text(row)) for row in rows]
    fresh = report["fresh"]
    cases.append(
        ("fresh", "PASS" if fresh["proved"] else "FAIL", "; ".join([*fresh["statements"], *fresh["objections"]]))
    )
    bad = sum(verdict != Verdict.PASS for _, verdict, _ in cases)
    suite = ElementTree.Element(
        "testsuite",
        name=f"rlaas.{report['cell']}",
        tests=str(len(cases)),
        failures=str(bad),
        errors="0",
        time=str(report["cost"]["wall_s"]),
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("cell_hash", "seed", "episodes"):
        ElementTree.SubElement(properties, "property", name=name, value=str(report[name]))
    ElementTree.SubElement(properties, "property", name="policy_sha256", value=report["policy"]["sha256"])
    for name, verdict, text in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=f"rlaas.{report['cell']}", name=name)
        if verdict != Verdict.PASS:
            ElementTree.SubElement(case, "failure", type=verdict, message=text)
        ElementTree.SubElement(case, "system-out").text = text
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True) + b"\n"


def _text(row: dict[str, Any]) -> str:
    bounds = f"[{_figure(row['lower_95'])}, {_figure(row['upper_95'])}]"
    return f"{row['text']}: {_figure(row['value'])} {bounds}, limit {row['limit']:g} {row['unit']}: {row['verdict']}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
