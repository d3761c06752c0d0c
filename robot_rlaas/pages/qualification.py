"""The qualification report as one self-contained page."""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from robot_rlaas.pages import figures, generalisation, site

Clip = tuple[str, str, bytes]  # title, one sentence, MP4
Chart = tuple[str, str, Markup]  # title, one sentence, SVG
MAPS = (
    ("miss", "How far the part would miss", "its tip beside the hole, aimed at where the hole was seen"),
    ("bias", "How wrong the observed pose was", "observed minus true plate position"),
    ("hand", "How the part sat in the hand", "nobody measures this one"),
    ("plate", "Where the plate lay", "true displacement from its nominal place"),
)
THINGS = {"plate": "plate", "bias": "plate as seen", "hand": "part in the hand", "miss": "miss"}  # how axes begin
MOMENTS = {"search_s": "at the plate", "insert_s": "in the hole", "done_s": "done", "peak_at_s": "largest force"}
MOST_MAPS = 6
EXTRA = (("held_out", "held-out factor"), ("sensitivity", "point of the sensitivity curves"))
MINUS = re.compile(r"(?<!\w)-(?=\d)")
MOST_SHARES, MOST_EPISODES = 3, 12


class FailureRow(NamedTuple):
    """One cluster of failures.

    Attributes:
        number: of its episodes.
        what: what happened, what the starts have in common, how it went: one line each.
        course: a timeline, SVG.
        medoid: number of its most typical episode.
        which: the first episode numbers.
    """

    name: str
    number: int
    what: list[str]
    course: Markup
    medoid: int
    which: str


def qualification_page(report: dict[str, Any], clips: Sequence[Clip] = (), without_clips: str = "") -> str:
    """report.html.

    Args:
        report: the content of report.json.
        clips: films of a success and of each kind of failure: (title, sentence, MP4 bytes).
        without_clips: why there are none, if there are none.

    Returns:
        HTML that loads nothing from anywhere.
    """
    item = site.requirement(report, "success") or report["success"]
    failed = {number for cluster in report["failures"] for number in cluster["episodes"]}
    return site.render(
        "qualification.html.j2",
        report=report,
        rows=site.verdict_rows(report),
        overall=site.overall(report),
        meaning=site.meaning(report),
        extent=site.extent(report),
        success_bounds=site.bounds(item["lower_95"], item["upper_95"], "1"),
        distributions=_distributions(report),
        maps=_maps(report["per_episode"], failed) + _shares(report),
        failed=len(failed),
        failures=_failures(report["failures"]),
        clips=[_embed(clip) for clip in clips],
        without_clips=without_clips,
        held_out=generalisation.held_out(report),
        sensitivity=generalisation.sensitivity(report),
        provenance_rows=_provenance(report),
    )


def _embed(clip: Clip) -> tuple[str, str, Markup, Markup]:
    title, sentence, film = clip
    poster = site.data_uri(site.poster(film), "image/jpeg")
    return title, MINUS.sub(site.MINUS, sentence), site.data_uri(film, "video/mp4"), poster


def _distributions(report: dict[str, Any]) -> list[Chart]:
    episodes = report["per_episode"]
    shown = (
        ("cycle_time", "cycle_time_s", "Cycle time", "from the start to success; failed episodes have none"),
        ("contact_force", "peak_force_N", "Peak contact force", "the largest of each episode"),
        ("contact_impulse", "impulse_Ns", "Contact impulse", "of each episode's hardest impact"),
    )
    charts = []
    for name, key, title, text in shown:
        if item := site.requirement(report, name):
            values = [value for value in episodes[key] if value is not None]
            unit, limit, judged = item["unit"], item["limit"], item["value"]
            svg = figures.histogram(values, label=title.lower(), unit=unit, limit=limit, judged=judged)
            charts.append((title, text, Markup(svg)))
    return charts


def _maps(episodes: dict[str, Any], failed: set[int]) -> list[Chart]:
    """Scatter plots of what varied."""
    missed = [number in failed for number in episodes["episode"]]
    charts = []
    for name, title, text in (*MAPS, *_other_maps(episodes)):
        if f"{name}_x_mm" in episodes and len(charts) < MOST_MAPS:
            x, y = (_about_middle(episodes[f"{name}_{axis}_mm"]) for axis in "xy")
            svg = figures.scatter(x, y, episodes["success"], missed, x_label="x [mm]", y_label="y [mm]", what=title)
            charts.append((title, text, Markup(svg)))
    return charts


def _about_middle(values: list[float | None]) -> list[float]:
    """Places that all lie on one side are shown about their middle: the map's origin is in its middle."""
    known = [value for value in values if value is not None] or [0.0]
    low, high = min(known), max(known)
    middle = (low + high) / 2 if low * high > 0 else 0.0
    return [math.nan if value is None else value - middle for value in values]


def _other_maps(episodes: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Of what has a name of its own in a handling cell: where it lay, how wrong it was seen, how far it stood off."""
    found, own = [], {name for name, _, _ in MAPS}
    for name in (key.removesuffix("_x_mm") for key in episodes if key.endswith("_x_mm")):
        thing, _, what = name.rpartition("_")
        said = site.named(thing)[0]
        if name in own or len(set(episodes[f"{name}_x_mm"])) == 1:
            continue
        if what == "bias":
            found.append((name, f"How wrong the {said} was seen", "seen minus true place"))
        elif what == "off":
            found.append((name, f"Where the {said} stood", "true displacement from where the robot believes it"))
        else:
            found.append((name, f"Where the {site.named(name)[0]} lay", "true place, about the middle of all"))
    return found


def _shares(report: dict[str, Any]) -> list[Chart]:
    """How the share of each cluster depends on the axis that tells it apart best, where no map shows that axis."""
    episodes, charts = report["per_episode"], []
    mapped = {f"{name}_{axis}_mm" for name, _, _ in MAPS for axis in "xy"}
    for cluster in report["failures"]:
        contrast = next((c for c in cluster["contrasts"] if c["axis"] in episodes), None)
        if contrast and contrast["axis"] not in mapped and len(charts) < MOST_SHARES:
            label, members = _axis(contrast), set(cluster["episodes"])
            values = np.array(episodes[contrast["axis"]], dtype=float)
            values = np.abs(values) if contrast["magnitude"] else values
            hit = [number in members for number in episodes["episode"]]
            text = f"share of episodes that ended so, by {label}; the line is their share of all"
            svg = figures.shares(values, hit, label=label, what=f"Share of {cluster['name']}")
            charts.append((f"What favours “{cluster['name']}”", text, Markup(svg)))
    return charts


def _axis(contrast: dict[str, Any]) -> str:
    """An axis with its unit: "hand_rx_deg" is "part in the hand, rx [°]", or "..., |rx| [°]" where size is meant."""
    words, unit = site.named(contrast["axis"])
    thing, _, part = words.partition(" ")
    thing, words = (f"{THINGS[thing]}, ", part) if part and thing in THINGS else ("", words)
    return thing + (f"|{words}|" if contrast["magnitude"] else words) + (f" [{unit}]" if unit else "")


def _failures(clusters: list[dict[str, Any]]) -> list[FailureRow]:
    spreads = (h for c in clusters for key, h in c["history"].items() if h and key.endswith("_s"))
    end_s = max([h["highest"] for h in spreads] or [1.0])
    end_s, rows = 1.05 * max(end_s, 1e-9), []
    for cluster in clusters:
        numbers, more = cluster["episodes"][:MOST_EPISODES], len(cluster["episodes"]) - MOST_EPISODES
        which = ", ".join(map(str, numbers)) + (f" and {more} more" if more > 0 else "")
        what = [f"{line[0].upper()}{line[1:]}" for line in MINUS.sub(site.MINUS, cluster["text"]).split("; ") if line]
        svg = figures.timeline(_moments(cluster), end_s=end_s, what=f"Course of {cluster['name']}")
        rows.append(FailureRow(cluster["name"], cluster["count"], what, Markup(svg), cluster["medoid"], which))
    return rows


def _moments(cluster: dict[str, Any]) -> list[figures.Moment]:
    history, moments = cluster["history"], []
    for key in (key for key in history if key.endswith("_s")):
        when, notes, name = history[key], [], MOMENTS.get(key) or site.named(key)[0]
        if key == "peak_at_s" and (force := history.get("peak_force_N")):
            notes.append(f"{site.number(force['median'])} N")
        if when and when["episodes"] < cluster["count"]:
            notes.append(f"{when['episodes']} of {cluster['count']}")
        moments.append(
            figures.Moment(name, when and (when["median"], when["lowest"], when["highest"]), ", ".join(notes))
        )
    return moments


def _provenance(report: dict[str, Any]) -> list[tuple[str, Any]]:
    policy, plan, fresh = report["policy"], report["plan"], report["fresh"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    asked = f"at most {plan['episodes']:,} episodes, a look after every {plan['batch']}"
    asked = asked if plan["sequential"] else f"{plan['episodes']:,} episodes"
    extra = [f"{plan[key]:,} per {what}" for key, what in EXTRA if plan[key]]
    return [
        ("Cell", report["cell"]),
        ("Cell hash", report["cell_hash"]),
        ("Policy", f"{policy['name']} ({policy['kind']})"),
        ("Policy SHA-256", policy["sha256"] or site.DASH),
        ("Plan", ", ".join([asked, *extra])),
        ("Fresh", "; ".join([*fresh["statements"], *(f"but {objection}" for objection in fresh["objections"])])),
        ("Seed", f"{report['seed']}, seed space {report['space']}, episodes 0 to {report['episodes'] - 1}"),
        ("Key", " ".join(map(str, report["key"])) or "none"),
        *([("Simulator", simulator)] if (simulator := report.get("simulator")) else []),
        ("Versions", versions),
    ]
