import re
from xml.etree import ElementTree

import numpy as np
import pytest

from robot_rlaas.pages import figures


def parse(svg):
    return ElementTree.fromstring(svg)


def of_class(svg, name):
    return [e for e in parse(svg).iter() if name in e.get("class", "").split()]


def test_histogram_bars_hold_all_values_and_mark_those_above_the_limit():
    values = [60.0] * 7 + [60.1] * 2  # at the limit is within it
    svg = figures.histogram(values, label="peak force", unit="N", limit=60, judged=60.1)
    heights = {e.get("class"): float(e.get("height")) for e in of_class(svg, "bar")}
    assert heights["bar"] / heights["bar bad"] == pytest.approx(7 / 2, rel=0.01)
    assert "9 episodes" in parse(svg).get("aria-label")
    assert "2 lie above the limit of 60 N" in parse(svg).get("aria-label")
    (limit,) = (e for e in of_class(svg, "limit") if e.tag == "line")
    (bad,) = of_class(svg, "bad")
    assert float(limit.get("x1")) == pytest.approx(float(bad.get("x")), abs=0.11)


@pytest.mark.parametrize("values", [[], [3.0]])
def test_histogram_of_next_to_nothing(values):
    assert "limit 6 s" in figures.histogram(values, label="cycle time", unit="s", limit=6, judged=None)


def test_scatter_draws_every_failure_as_a_cross_at_its_place():
    x, y = np.array([0.0, 1.0, -1.0]), np.array([0.0, 1.0, -1.0])
    svg = figures.scatter(x, y, [True, False, False], x_label="x [mm]", y_label="y [mm]", what="plate")
    (crosses,) = of_class(svg, "cross")
    starts = [tuple(map(float, m)) for m in re.findall(r"M([\d.]+) ([\d.]+)", crosses.get("d"))]
    assert len(starts) == 2
    assert starts[0][0] > starts[1][0], "x grows to the right"
    assert starts[0][1] < starts[1][1], "y grows upwards"
    assert "Successes: 1, failures: 2" in parse(svg).get("aria-label")


def test_curve_ends_where_its_data_end():
    svg = figures.curve([0, 50, 100], [0.2, 0.9, 0.99], x_label="time [s]", y_label="success", goal=0.99, share=True)
    (line,) = of_class(svg, "line")
    (goal,) = (e for e in of_class(svg, "limit") if e.tag == "line")
    last = line.get("points").split()[-1].split(",")
    assert float(last[1]) == pytest.approx(float(goal.get("y1")), abs=0.1)
    assert float(last[0]) == pytest.approx(float(goal.get("x2")), abs=0.1)


def test_flat_curve_has_a_scale():
    assert of_class(figures.curve([0, 1], [3.0, 3.0], x_label="t", y_label="r"), "tick")


def test_dots_leave_out_what_has_no_value():
    svg = figures.dots([3.0, float("nan"), 4.0], [True, False, False], label="cycle time", unit="s", limit=6)
    assert len(of_class(svg, "attempt")) == 1
    assert len(of_class(svg, "cross")) == 1


def test_labels_are_escaped():
    svg = figures.bars({"<b>": 2, "a & b": 1}, what="kinds")
    assert {e.text for e in parse(svg).iter("text")} == {"<b>", "2", "a & b", "1"}


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.031, 0.029), (0, 87), (2.1, 2.2), (-1e-6, 1e-6)])
def test_ticks_are_few_round_and_inside(low, high):
    marks = figures.ticks(low, high)
    assert 2 <= len(marks) <= 7
    assert low - 1e-9 <= marks[0]
    assert marks[-1] <= high + 1e-9
    assert np.ptp(np.diff(marks)) < 1e-9
