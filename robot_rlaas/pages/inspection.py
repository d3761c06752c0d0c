"""What is good and bad about a dataset, as one self-contained page."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from robot_rlaas.pages import dataset_figures, site

WORD = {"bad": "BAD", "trim": "CUT", "note": "NOTE"}
MOST_ROWS, MOST_AXES, MOST_MAPS = 150, 12, 6
MOST_NUMBERS = 12
MAPS = {"bias": "How wrong the plate was seen", "hand": "How the part sat in the hand"}  # others say where it lay


class Row(NamedTuple):
    """All findings of one kind.

    Attributes:
        kind: what it is called, as words.
        word: BAD, CUT or NOTE.
        episodes: which, shortened.
        text: what the first one says.
        advice: what to do.
        more: the others, episode by episode.
    """

    kind: str
    word: str
    number: int
    episodes: str
    text: str
    advice: str
    more: list[tuple[str, str]]


def inspection_page(content: dict[str, Any], limit_N: float | None = None) -> str:
    """inspection.html.

    Args:
        content: of inspection.json.
        limit_N: contact force that the cell allows.

    Returns:
        HTML that loads nothing from anywhere.
    """
    counts = content["counts"]
    return site.render(
        "inspection.html.j2",
        content=content,
        counts=counts,
        word="CLEAN" if not counts["bad"] + counts["trim"] else "UNCLEAN",
        rows=_rows(content["findings"]),
        strips=_strips(content),
        distributions=_distributions(content["episodes"], limit_N),
        coverage=_coverage(content["coverage"]),
        provenance_rows=_provenance(content),
        left_out=content["made"]["left_out"],
        seconds=sum(e["seconds"] for e in content["episodes"]),
    )


def _rows(findings: Sequence[dict[str, Any]]) -> list[Row]:
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for finding in findings:
        kinds.setdefault((finding["severity"], finding["check"]), []).append(finding)
    rows = []
    for (severity, check), same in kinds.items():
        episodes = sorted({f["episode"] for f in same if f["episode"] is not None})
        some = ", ".join(map(str, episodes[:MOST_NUMBERS]))
        some += f" and {len(episodes) - MOST_NUMBERS} more" if len(episodes) > MOST_NUMBERS else ""
        more = [(_where(f), f["text"]) for f in same] if len(same) > 1 else []
        kind = check.replace("_", " ").capitalize()
        rows.append(Row(kind, WORD[severity], len(episodes), some, same[0]["text"], same[0]["advice"], more))
    return rows


def _where(finding: dict[str, Any]) -> str:
    if finding["episode"] is None:
        return "all"
    frames = finding["frames"]
    return f"{finding['episode']}" + (f", frames {frames[0]} to {frames[1]}" if frames else "")


def _strips(content: dict[str, Any]) -> dict[str, Any]:
    """One row per episode; of a large dataset only of those with something to mark."""
    found: dict[int, list[dict[str, Any]]] = {}
    for finding in content["findings"]:
        if finding["episode"] is not None:
            found.setdefault(finding["episode"], []).append(finding)
    episodes, left = content["episodes"], 0
    if len(episodes) > MOST_ROWS:
        marked = {i for i, fs in found.items() if any(f["severity"] != "note" for f in fs)}
        episodes = [e for e in episodes if e["episode"] in marked][:MOST_ROWS]
        left = len(content["episodes"]) - len(episodes)
    rate = content["rate_hz"]
    rows = [_strip(e, found.get(e["episode"], []), rate) for e in episodes]
    said = f"{len(rows)} episodes as bars over time, with what was found in them"
    return {"chart": Markup(dataset_figures.strips(rows, said)) if rows else "", "left": left}


def _strip(episode: dict[str, Any], findings: Sequence[dict[str, Any]], rate_hz: float) -> dataset_figures.Strip:
    spans, worst = [], [f for f in findings if f["severity"] != "note"]
    for f in reversed(findings):  # the worst, which come first, on top
        begin, end = f["frames"] or (0, episode["steps"] - 1)
        if f["frames"] or f["severity"] != "note":
            spans.append((f["severity"], begin / rate_hz, (end + 1) / rate_hz, f"{f['check']}: {f['text']}"))
    names = list(dict.fromkeys(f["check"].replace("_", " ") for f in worst or findings if f["check"] != "failed"))
    names = [*([] if episode["success"] else ["failed"]), *names]
    return dataset_figures.Strip(
        str(episode["episode"]), episode["seconds"], episode["success"], tuple(spans), ", ".join(names)
    )


def _distributions(episodes: Sequence[dict[str, Any]], limit_N: float | None) -> list[tuple[str, str, Markup]]:
    shown = (
        ("seconds", "Length", "of the episodes", "s", 1.0, None),
        ("peak_force_N", "Peak contact force", "the largest of each episode", "N", 1.0, limit_N),
        ("idle", "Idle time", "share of the frames in which hardly a step is wanted", "%", 100.0, None),
        ("at_bound", "Saturation", "share of the actions with an axis at its bound", "%", 100.0, None),
        ("jerk", "Jerk", "how much the wanted steps change from period to period", "% of a step", 100.0, None),
    )
    charts = []
    for key, title, text, unit, factor, limit in shown:
        values = [factor * e[key] for e in episodes if e.get(key) is not None]
        if values:
            svg = dataset_figures.spread(values, label=title.lower(), unit=unit, limit=limit)
            charts.append((title, text, Markup(svg)))
    return charts


def _coverage(cover: dict[str, Any]) -> dict[str, Any]:
    axes = sorted(cover["axes"], key=lambda axis: not axis["placed"])
    charts = [
        (
            axis["name"],
            _holes(axis),
            Markup(
                dataset_figures.along(axis["counts"], axis["low"], axis["high"], label=axis["name"], unit=axis["unit"])
            ),
        )
        for axis in axes[:MOST_AXES]
    ]
    return {
        "known": cover["known"],
        "maps": _maps(axes, cover)[:MOST_MAPS],
        "axes": charts,
        "left": len(axes) - len(charts),
        "next": cover["next"],
        "holes": sum(bool(axis["holes"]) for axis in axes),
        "count": len(axes),
    }


def _holes(axis: dict[str, Any]) -> str:
    if not axis["holes"]:
        return "covered"
    return "nothing in " + ", ".join(site.span(hole, axis["unit"]) for hole in axis["holes"])


def _maps(axes: Sequence[dict[str, Any]], cover: dict[str, Any]) -> list[tuple[str, Markup]]:
    """Pairs of an x and a y of the same thing."""
    named, maps = {axis["name"]: axis for axis in axes}, []
    for name, axis in named.items():
        other = named.get(f"{name[:-2]} y") if name.endswith(" x") else None
        if other:
            following = [(n["start"][name], n["start"][other["name"]]) for n in cover["next"]]
            svg = dataset_figures.starts_map(axis["values"], other["values"], cover["good"], following, axis, other)
            maps.append((MAPS.get(name[:-2], f"Where the {name[:-2]} lay"), Markup(svg)))
    return maps


def _provenance(content: dict[str, Any]) -> list[tuple[str, Any]]:
    made = content["made"]
    operators: dict[str, int] = {}
    for episode in content["episodes"]:
        operators[episode["operator"]] = operators.get(episode["operator"], 0) + 1
    settings = ", ".join(f"{key} {value}" for key, value in made["settings"].items()) or "none"
    return [
        ("Cell", content["cell"]),
        ("Cell hash", content["cell_hash"]),
        ("Made by", made["by"]),
        ("Settings", settings),
        ("Operators", ", ".join(f"{name} ({count})" for name, count in operators.items())),
        ("Cameras", ", ".join(content["counts"]["cameras"]) or "none"),
        *(("Made of", f"{text}") for text in _ancestors(made, 0)),
    ]


def _ancestors(made: dict[str, Any], depth: int) -> list[str]:
    lines = []
    for parent in made["parents"]:
        by = parent["made"]["by"]
        lines.append(f"{'of ' * depth}{parent['name']}, made by {by}, SHA-256 {parent['sha256'][:16]}")
        lines += _ancestors(parent["made"], depth + 1)
    return lines
