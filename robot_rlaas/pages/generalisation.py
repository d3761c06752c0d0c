"""What the report says beyond the cell's own ranges: held-out factors, and how far each may be stretched."""

from typing import Any, NamedTuple

from markupsafe import Markup

from robot_rlaas.pages import figures, site

FACTORS = {
    "plate_xy_mm": "plate shifted",
    "plate_yaw_deg": "plate turned",
    "plate_bias_mm": "plate seen shifted",
    "plate_bias_deg": "plate seen turned",
    "hand_offset_mm": "part shifted in the hand",
    "hand_offset_deg": "part tilted in the hand",
    "joint_damping_scale": "joint damping",
    "servo_gain_scale": "servo gains",
    "camera_mm": "cameras shifted",
    "camera_deg": "cameras turned",
    "light_scale": "brightness",
    "light_deg": "light turned",
    "color_shift": "colours shifted",
    "shape": "shape of the plate",
    "everything": "everything at once",
}


class HeldOutRow(NamedTuple):
    """One held-out factor, every cell of its table row as text.

    Attributes:
        loses: success is proved to fall.
        hard: the peak force is above the limit.
    """

    name: str
    drawn: str
    trained: str
    success: str
    success_bounds: str
    gap: str
    gap_bounds: str
    force: str
    loses: bool
    hard: bool


class HeldOut(NamedTuple):
    """The section on held-out factors."""

    sentence: str
    chart: Markup
    rows: list[HeldOutRow]


class Curve(NamedTuple):
    """Success of one factor by reach: a small chart and what it comes to."""

    name: str
    text: str
    chart: Markup
    breaks: bool


class Sensitivity(NamedTuple):
    """The section on reaches."""

    sentence: str
    curves: list[Curve]


def factor(name: str) -> tuple[str, str]:
    """A factor of the cell's variation as words and its unit: "servo_gain_scale" is "servo gains" and "× nominal"."""
    words, unit = site.named(name)
    return FACTORS.get(name, words), "× nominal" if name.endswith("_scale") else unit


def held_out(report: dict[str, Any]) -> HeldOut | None:
    """Success beyond the training ranges, the largest gap first; None where it was not asked for."""
    entries = report["held_out"]
    if not entries:
        return None
    entries = sorted(entries, key=lambda entry: -entry["gap"]["value"])
    rows = [_held_out_row(entry, report) for entry in entries]
    rates = [entry["success"] for entry in entries]
    marks = [
        figures.Interval(row.name, rate["rate"], rate["lower_95"], rate["upper_95"], row.loses)
        for row, rate in zip(rows, rates)
    ]
    nominal = report["success"]["rate"]
    text = f"inside the ranges {site.percent(nominal)}"
    svg = figures.intervals(marks, reference=nominal, reference_text=text, what="Success beyond the training ranges")
    losers = [row.name for row in rows if row.loses]
    found = "A loss is shown, by a gap whose lower bound is above zero, "
    found += f"for {site.listed(losers)}." if losers else "for no factor."
    trained = "what the policy says it was trained on"
    if report["held_out_beyond"] == "cell":
        trained = "the cell's ranges (the policy does not say what it was trained on)"
    sentence = (
        f"Each factor in turn was drawn only from beyond {trained}, all else as before. "
        f"The gap is the success rate inside ({site.percent(nominal)}) minus the rate beyond, in percentage points. "
        f"{found} The gaps' bounds are simultaneous: all {len(entries)} lower bounds hold together with 95 % "
        "confidence (Bonferroni), and so do the upper ones."
    )
    return HeldOut(sentence, Markup(svg), rows)


def _held_out_row(entry: dict[str, Any], report: dict[str, Any]) -> HeldOutRow:
    name, unit = factor(entry["factor"])
    shape = ", ".join(_shape(key, value) for key, value in entry["shape"].items())
    drawn = site.span(entry["range"], unit) if entry["range"] else shape or site.DASH
    if entry["factor"] == "everything":
        drawn = f"all ranges together{shape and ', '}{shape}"
    success, gap, force = entry["success"], entry["gap"], entry["peak_force_N"]
    limit = site.requirement(report, "contact_force")
    return HeldOutRow(
        name=name,
        drawn=drawn,
        trained=site.span(entry["beyond"], unit),
        success=site.percent(success["rate"]),
        success_bounds=site.bounds(success["lower_95"], success["upper_95"], "1"),
        gap=_points(gap["value"]),
        gap_bounds=f"{_points(gap['lower_95'])} to {_points(gap['upper_95'])}",
        force=site.figure(force, "N"),
        loses=gap["lower_95"] > 0,
        hard=bool(limit) and force is not None and force > limit["limit"],
    )


def sensitivity(report: dict[str, Any]) -> Sensitivity | None:
    """Success by reach, the factor that breaks the policy first; None where it was not asked for."""
    found = report["sensitivity"]
    if not found:
        return None
    curves, breaks_at, first = found["curves"], found["breaks_at"], found["breaks_first"]
    x_max = max([point["reach"] for points in curves.values() for point in points] or [1.0])
    nominal = report["success"]["rate"]

    def order(name: str) -> tuple[float, float]:
        return breaks_at[name] or float("inf"), curves[name][-1]["success"]["rate"]

    names = sorted(curves, key=order)
    if first:
        names.sort(key=lambda name: name != first["factor"])
        word, unit = factor(first["factor"])
        at = next(point for point in curves[first["factor"]] if point["reach"] == first["reach"])
        answer = (
            f"{word[0].upper()}{word[1:]} breaks the policy first, at {first['reach']:g} times the cell's range "
            f"({site.span(at['range'], unit)}): {site.percent(at['success']['rate'])} success."
        )
    else:
        answer = f"No factor broke the policy, up to {x_max:g} times the cell's range."
    sentence = (
        f"{answer} Reach 1 is the edge of the cell's own range of a factor, reach 2 the edge of one twice as wide; "
        f"{found['episodes']:,} episodes per point, close to both edges or to the upper one alone, as each chart says, "
        "all other factors as the cell says. Broken is where even the upper bound is below "
        f"{site.percent(found['broken_below'])} of the nominal success rate, which is dotted."
    )
    return Sensitivity(sentence, [_curve(name, curves[name], breaks_at[name], x_max, nominal) for name in names])


def _curve(name: str, points: list[dict[str, Any]], breaks_at: float | None, x_max: float, nominal: float) -> Curve:
    words, unit = factor(name)
    rate, low, high = ([p["success"][key] for p in points] for key in ("rate", "lower_95", "upper_95"))
    reaches = [point["reach"] for point in points]
    svg = figures.response(reaches, rate, low, high, x_max=x_max, reference=nominal, breaks_at=breaks_at, what=words)
    at = next((point for point in points if point["reach"] == breaks_at), points[-1])
    text = f"{'breaks at' if breaks_at else 'holds up to'} reach {at['reach']:g} ({site.span(at['range'], unit)})"
    return Curve(words, f"{text}; {_edges(points)}", Markup(svg), bool(breaks_at))


def _edges(points: list[dict[str, Any]]) -> str:
    """Which edges of the range were widened, in words."""
    both = [point["reach"] for point in points if point["edges"] == "both"]
    if not both:
        return "upper edge alone"
    return "both edges" if len(both) == len(points) else f"both edges to reach {both[-1]:g}, then the upper alone"


def _shape(key: str, value: float) -> str:
    words, unit = site.named(key)
    return f"{words} {site.figure(value, unit)}"


def _points(value: float) -> str:
    """A difference of rates in percentage points, to a tenth."""
    return f"{value * 100:.1f}".replace("-", site.MINUS).replace(f"{site.MINUS}0.0", "0.0")
