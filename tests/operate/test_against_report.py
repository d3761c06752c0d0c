"""Figures of attempts against a report: by how likely they are, worked out by hand."""

from typing import Any

import pytest

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.operate.drift import Against, against, chance

REPORT = [
    {"name": "success", "lower_95": 0.99, "upper_95": 0.9999, "unit": "1"},
    {"name": "cycle_time", "lower_95": 3.0, "upper_95": 4.0, "unit": "s"},
    {"name": "contact_force", "lower_95": None, "upper_95": 50.0, "unit": "N"},
]


def attempts(*times_s: float | None, force_N: float = 40.0) -> list[dict[str, Any]]:
    return [{"success": t is not None, "cycle_time_s": t, "peak_force_N": force_N} for t in times_s]


def told(cell: CellSpec, made: list[dict[str, Any]], report: list[dict[str, Any]] = REPORT) -> dict[str, Against]:
    return {figure.name: figure for figure in against(cell, report, made)}


def test_a_chance_is_the_binomial_tail():
    assert chance(0, 5, 0.05) == 1.0
    assert chance(1, 2, 0.5) == pytest.approx(0.75)
    assert chance(2, 5, 0.05) == pytest.approx(1 - 0.95**5 - 5 * 0.05 * 0.95**4)


def test_before_the_first_attempt_only_the_qualified_figures_stand_there(cell: CellSpec):
    figures = told(cell, [])
    assert [figure.value for figure in figures.values()] == ["", "", ""]
    assert figures["cycle time"].words == "qualified: 3 to 4\u00a0s"
    assert figures["peak force"].words == "qualified: up to 50\u00a0N"


def test_inside_and_better(cell: CellSpec):
    figures = told(cell, attempts(3.5, 3.6, 3.7))
    assert figures["success"].value == "3 of 3"
    assert figures["cycle time"].value == "95\u00a0% within 3.7\u00a0s"
    assert figures["cycle time"].words == "inside the qualified 3 to 4\u00a0s"
    assert {figure.tone for figure in figures.values()} == {"good"}
    assert told(cell, attempts(2.0, 2.5))["cycle time"].words == "better than the qualified 3 to 4\u00a0s"


def test_one_failure_in_five_may_be_chance_and_two_are_not(cell: CellSpec):
    """At 99 %: at least one of five 4.9 %, at least two 0.1 %."""
    one, two = (told(cell, attempts(3.5, 3.5, 3.5, *more))["success"] for more in ((3.5, None), (None, None)))
    assert (one.tone, one.value) == ("open", "4 of 5")
    assert one.words == "below the qualified 99 to 100\u00a0%, perhaps by chance"
    assert (two.tone, two.words) == ("bad", "below the qualified 99 to 100\u00a0%: something has changed")


def test_slow_attempts_are_counted_beyond_the_upper_end(cell: CellSpec):
    """One in twenty may be: two of five 2.3 %, three of five 0.1 %."""
    two, three = (told(cell, attempts(3.5, 3.5, *more))["cycle time"] for more in ((3.5, 5.0, 5.0), (5.0, 5.0, 5.0)))
    assert (two.tone, three.tone) == ("open", "bad")
    assert three.words.startswith("above the qualified")
    forces = told(cell, attempts(3.5, 3.5, force_N=60.0))["peak force"]
    assert forces.tone == "bad"  # two of two: 0.25 %


def test_a_failure_has_no_cycle_time(cell: CellSpec):
    figure = told(cell, attempts(None))["cycle time"]
    assert figure.value == "95\u00a0% within no time: too many failed"
    assert figure.tone == "open"


def test_without_a_report_nothing_is_judged(cell: CellSpec):
    figures = told(cell, attempts(3.5), [])
    assert {(figure.tone, figure.words) for figure in figures.values()} == {
        ("", "the bundle holds no figure to compare it with")
    }
