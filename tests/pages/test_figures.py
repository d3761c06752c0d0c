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
    x, y = np.array([0.0, 1.0, -1.0, 0.5]), np.array([0.0, 1.0, -1.0, 0.0])
    marks = ([True, False, False, True], [False, True, True, True])
    svg = figures.scatter(x, y, *marks, x_label="x [mm]", y_label="y [mm]", what="plate")
    starts = {}
    for kind in ("dot", "ring", "cross"):
        (path,) = of_class(svg, kind)
        starts[kind] = [tuple(map(float, m)) for m in re.findall(r"M([\d.]+) ([\d.]+)", path.get("d"))]
    assert [len(starts[kind]) for kind in ("dot", "ring", "cross")] == [1, 1, 2]
    high, low = starts["cross"]
    assert high[0] > low[0], "x grows to the right"
    assert high[1] < low[1], "y grows upwards"
    assert "Successes: 2, 1 of them beyond a limit; failures: 2" in parse(svg).get("aria-label")


def test_shares_are_of_the_episodes_in_each_piece():
    values = np.repeat(np.arange(8) + 0.5, 10)
    values[0], values[-1] = 0.0, 8.0
    hit = np.zeros(80, bool)
    hit[:5], hit[70:72] = True, True
    svg = figures.shares(values, hit, label="friction", what="Share of stuck")
    first, last = of_class(svg, "bar")
    assert float(first.get("height")) / float(last.get("height")) == pytest.approx(5 / 2, rel=0.01)
    assert float(first.get("x")) < float(last.get("x"))
    (line,) = of_class(svg, "mark")
    tall = float(first.get("y")) + float(first.get("height")) - float(line.get("y1"))
    assert tall / float(first.get("height")) == pytest.approx((7 / 80) / 0.5, rel=0.02), "the share of all"
    assert figures.shares([2.0, 2.0], [True, False], label="x", what="w"), "a figure that did not vary"


def test_intervals_stand_beside_the_reference():
    rows = [figures.Interval("<tilt>", 0.8, 0.7, 0.9, True), figures.Interval("delay", 0.95, 0.9, 0.99, False)]
    svg = figures.intervals(rows, reference=0.9, reference_text="inside 90 %", what="Success")
    (bad,) = (e for e in of_class(svg, "point") if "bad" in e.get("class"))
    (line,) = (e for e in of_class(svg, "mark") if e.tag == "line")
    upper = of_class(svg, "span")[0].get("x2")
    assert float(bad.get("cx")) < float(line.get("x1"))
    assert float(upper) == pytest.approx(float(line.get("x1")), abs=0.11), "both at 90 %"
    assert float(of_class(svg, "point")[0].get("cy")) < float(of_class(svg, "point")[1].get("cy")), "first row on top"
    assert "<tilt> 80.0 % (70.0 to 90.0 %)" in parse(svg).get("aria-label")


@pytest.mark.parametrize(("lower", "reference"), [(0.0, 0.0), (1.0, 1.0)])
def test_intervals_at_the_ends_stay_on_the_axis(lower, reference):
    row = figures.Interval("all", lower, lower, max(lower, 0.02), False)
    svg = figures.intervals([row], reference=reference, reference_text="inside", what="Success")
    xs = [float(e.get("cx")) for e in of_class(svg, "point")]
    rule = of_class(svg, "rule")[0]
    assert all(float(rule.get("x1")) - 0.1 <= x <= float(rule.get("x2")) + 0.1 for x in xs)


def test_response_marks_where_it_breaks():
    given = {"x_max": 3.0, "reference": 0.99, "what": "friction"}
    rates = ([1.0, 1.5, 2.0], [0.99, 0.9, 0.4], [0.95, 0.85, 0.3], [1.0, 0.95, 0.5])
    svg = figures.response(*rates, breaks_at=2.0, **given)
    (mark,) = of_class(svg, "limit")
    assert float(mark.get("x1")) == pytest.approx(float(of_class(svg, "point")[-1].get("cx")), abs=0.11)
    assert len(of_class(svg, "band")[0].get("points").split()) == 6
    assert parse(svg).get("aria-label").endswith("2: 40 %; breaks at 2")
    whole = figures.response(*rates, breaks_at=None, **given)
    assert not of_class(whole, "limit")
    assert "does not break" in parse(whole).get("aria-label")
    assert figures.response([1.0], [1.0], [0.9], [1.0], breaks_at=None, x_max=1.0, reference=1.0, what="one point")


def test_timeline_says_when_and_what_never_happened():
    moments = [
        figures.Moment("at the plate", (0.5, 0.4, 2.0)),
        figures.Moment("in the hole", None),
        figures.Moment("largest force", (1.0, 1.0, 1.0), "64 N"),
    ]
    svg = figures.timeline(moments, end_s=8.0, what="Course")
    assert parse(svg).get("aria-label") == "Course: at the plate 0.5 s; in the hole never; largest force 1.0 s, 64 N"
    first, last = of_class(svg, "point")
    assert float(first.get("cx")) < float(last.get("cx")) < float(of_class(svg, "span")[0].get("x2"))


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
    svg = figures.timeline([figures.Moment("<b>", None, "a & b")], end_s=1.0, what="<i>")
    assert "<b>" in {e.text for e in parse(svg).iter("text")}
    assert parse(svg).get("aria-label") == "<i>: <b> never"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.031, 0.029), (0, 87), (2.1, 2.2), (-1e-6, 1e-6)])
def test_ticks_are_few_round_and_inside(low, high):
    marks = figures.ticks(low, high)
    assert 2 <= len(marks) <= 7
    assert low - 1e-9 <= marks[0]
    assert marks[-1] <= high + 1e-9
    assert np.ptp(np.diff(marks)) < 1e-9


@pytest.mark.parametrize("share", [True, False])
def test_a_curve_that_never_moves_is_drawn(share):
    assert "polyline" in figures.curve([1.0, 2.0], [1.0, 1.0], x_label="x", y_label="y", share=share)
