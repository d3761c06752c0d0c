"""What all pages share: templates, style sheet, and how figures are written."""

import base64
import io
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
MINUS, DASH, SPACE = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{NO-BREAK SPACE}"
LOWER_BOUNDS = ("success",)  # requirements that a figure must reach, not stay below
TITLES = {
    "success": "Success",
    "cycle_time": "Cycle time",
    "contact_force": "Contact force",
    "keep_out": "Keep-out",
    "sustained_force": "Sustained force",
    "contact_impulse": "Contact impulse",
    "speed_zones": "Speed zones",
    "joint_margin": "Joint margin",
    "untouched": "Never touched",
}


UNITS = {"mm": "mm", "deg": "°", "Nm": f"N{SPACE}m", "N": "N", "s": "s", "ms": "ms"}  # how names end


class VerdictRow(NamedTuple):
    """One requirement, every cell of its table row as text; `more` says what an undecided one lacks."""

    name: str
    counted: str
    limit: str
    value: str
    bounds: str
    verdict: str
    more: str


def verdict_rows(report: dict[str, Any]) -> list[VerdictRow]:
    """The requirements of a qualification report as they are shown."""
    rows = []
    for item in report["requirements"]:
        name, unit = item["name"], item["unit"]
        sign = "\N{GREATER-THAN OR EQUAL TO}" if name in LOWER_BOUNDS else "\N{LESS-THAN OR EQUAL TO}"
        rows.append(
            VerdictRow(
                name=TITLES.get(name, name.replace("_", " ")),
                counted=item["text"],
                limit=f"{sign} {figure(item['limit'], unit)}",
                value=figure(item["value"], unit),
                bounds=bounds(item["lower_95"], item["upper_95"], unit),
                verdict=item["verdict"].upper(),
                more=_more(item, report["plan"]["sequential"]),
            )
        )
    return rows


def _more(item: dict[str, Any], sequential: bool) -> str:
    if item["verdict"].upper() != "UNDECIDED":
        return ""
    more = item["more_needed"]
    if not sequential:
        return "open at this number of episodes"
    if more is None:
        return "too close to the limit for any affordable plan"
    coarse = 10 ** max(0, len(str(more)) - 2)  # two digits: chance spreads it far wider
    return f"a new plan with about {math.ceil(more / coarse) * coarse:,} more episode{'s' * (more != 1)} would decide"


def overall(report: dict[str, Any]) -> str:
    """The verdict of a whole report: one FAIL fails it, one UNDECIDED leaves it open, and a trial never passes."""
    verdicts = [item["verdict"].upper() for item in report["requirements"]]
    word = next((word for word in ("FAIL", "UNDECIDED") if word in verdicts), "PASS")
    return "TRIAL" if word != "FAIL" and report["kind"] == "trial" else word


def meaning(report: dict[str, Any]) -> str:
    """What verdicts and bounds of the table promise, in words."""
    plan, total = report["plan"], report["episodes"]
    alpha, each = percent(plan["alpha"]), percent(1 - plan["alpha"])
    if plan["sequential"]:
        how = (
            f"a group-sequential test with a look after every {plan['batch']} episodes and its end at "
            f"{plan['episodes']:,}, exact at each, closed over all sets of requirements"
        )
        bounds = f"with {each} confidence, at all looks together and whenever one stops"
    else:
        how = f"exact binomial tests on {total:,} episodes, a number fixed beforehand, adjusted by Holm"
        bounds = f"with {each} confidence"
    return (
        f"All requirements are judged together: the chance that any PASS in this table is wrong is at most {alpha}, "
        f"and so is the chance that any FAIL is ({how}). Each bound by itself holds {bounds}; so a verdict may stay "
        "open where its own bound already keeps the limit."
    )


def extent(report: dict[str, Any]) -> str:
    """How the number of episodes came about, in words."""
    plan, total = report["plan"], report["episodes"]
    if not plan["sequential"]:
        return "a number fixed beforehand"
    if total < plan["episodes"]:
        return f"sequential: stopped once every verdict stood, of at most {plan['episodes']:,}"
    return "all that the sequential plan allowed"


def requirement(report: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The requirement of that name, if the report has it."""
    return next((item for item in report["requirements"] if item["name"] == name), None)


def named(name: str) -> tuple[str, str]:
    """A key of the report as words and its unit, which is how it ends: "joint_friction_Nm", "hand_x_mm", "friction"."""
    stem, _, end = name.rpartition("_")
    words, unit = (stem, UNITS[end]) if stem and end in UNITS else (name, "")
    return words.replace("_", " "), unit


def span(ends: Sequence[float] | None, unit: str) -> str:
    """A range with its unit once, which may be none; it stays on one line."""
    if ends is None:
        return DASH
    return f"{number(ends[0])} to {number(ends[1])}{'' if unit in ('', '°') else ' '}{unit}".replace(" ", SPACE)


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def number(value: float | None) -> str:
    """Three significant digits, a true minus, thousands separated; a dash for what is missing."""
    if value is None or not math.isfinite(value):
        return DASH
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", MINUS)


def percent(value: float | None) -> str:
    """A fraction in percent, to a tenth."""
    return DASH if value is None else f"{value * 100:.1f}".removesuffix(".0") + f"{SPACE}%"


def figure(value: float | None, unit: str) -> str:
    """A value with its unit; unit "1" is a fraction and shown in percent."""
    if value is None or not math.isfinite(value):
        return DASH
    return percent(value) if unit in ("1", "") else f"{number(value)}{SPACE}{unit}"


def bounds(low: float | None, high: float | None, unit: str) -> str:
    """Lower and upper bound with their unit once; None is no bound."""
    if low is None and high is None:
        return DASH
    if low is None or high is None:
        return f"up to {figure(high, unit)}" if low is None else f"from {figure(low, unit)}"
    return f"{figure(low, unit).rsplit(SPACE, 1)[0]} to {figure(high, unit)}"


def duration(seconds: float | None) -> str:
    """2.4 s, 48 s, 3 min 20 s, 2 h 05 min."""
    if seconds is None:
        return DASH
    whole = round(seconds)
    if seconds < 10:
        text = f"{seconds:.1f} s"
    elif whole < 60:
        text = f"{whole} s"
    elif whole < 3600:
        text = f"{whole // 60} min {whole % 60:02d} s"
    else:
        text = f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return text.replace(" ", SPACE)


def poster(film: bytes) -> bytes:
    """The last frame of an MP4, as JPEG: how the episode ended."""
    import av

    with av.open(io.BytesIO(film)) as container:
        *_, last = container.decode(video=0)
    image = io.BytesIO()
    last.to_image().save(image, "JPEG", quality=82)
    return image.getvalue()


def data_uri(content: bytes, kind: str) -> Markup:
    """Content as a data URI of that MIME type."""
    return Markup(f"data:{kind};base64,{base64.b64encode(content).decode()}")


def render(template: str, **content: Any) -> str:
    """A template filled in, with the style sheet inside it."""
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return _environment().get_template(template).render(style=style, **content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent, duration=duration, data_uri=data_uri)
    return environment
