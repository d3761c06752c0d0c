"""The qualification report as one self-contained page."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from robot_rlaas.pages import figures, site

Clip = tuple[str, str, bytes]  # title, one sentence, MP4
Chart = tuple[str, str, Markup]  # title, one sentence, SVG
MAPS = (
    ("plate", "Where the plate lay", "true displacement from its nominal place"),
    ("bias", "How wrong the observed pose was", "observed minus true plate position"),
    ("hand", "How the part sat in the hand", "nobody measures this one"),
)


def qualification_page(report: dict[str, Any], clips: Sequence[Clip] = (), without_clips: str = "") -> str:
    """report.html.

    Args:
        report: the content of report.json.
        clips: films of a success and of each kind of failure: (title, sentence, MP4 bytes).
        without_clips: why there are none, if there are none.

    Returns:
        HTML that loads nothing from anywhere.
    """
    rows = site.verdict_rows(report)
    success = report["success"]
    return site.render(
        "qualification.html.j2",
        report=report,
        rows=rows,
        overall=site.overall([row.verdict for row in rows]),
        success_bounds=site.bounds(success["lower_95"], success["upper_95"], "1"),
        distributions=_distributions(report),
        maps=_maps(report["per_episode"]),
        reached=_reached(report["per_episode"]),
        failures=report["failures"],
        clips=[_embed(clip) for clip in clips],
        without_clips=without_clips,
        provenance_rows=_provenance(report),
    )


def _embed(clip: Clip) -> tuple[str, str, Markup, Markup]:
    title, sentence, film = clip
    return title, sentence, site.data_uri(film, "video/mp4"), site.data_uri(site.poster(film), "image/jpeg")


def _distributions(report: dict[str, Any]) -> list[Chart]:
    episodes = report["per_episode"]
    times = [t for t in episodes["cycle_time_s"] if t is not None]
    shown = (
        ("cycle_time", "Cycle time", "from the start to success; failed episodes have none", times),
        ("contact_force", "Peak contact force", "the largest of each episode", episodes["peak_force_N"]),
    )
    charts = []
    for name, title, text, values in shown:
        if item := site.requirement(report, name):
            unit, limit, judged = item["unit"], item["limit"], item["value"]
            svg = figures.histogram(values, label=title.lower(), unit=unit, limit=limit, judged=judged)
            charts.append((title, text, Markup(svg)))
    return charts


def _maps(episodes: dict[str, Any]) -> list[Chart]:
    """Scatter plots of what varied."""
    charts = []
    for name, title, text in MAPS:
        if f"{name}_x_mm" in episodes:
            x, y = episodes[f"{name}_x_mm"], episodes[f"{name}_y_mm"]
            svg = figures.scatter(x, y, episodes["success"], x_label="x [mm]", y_label="y [mm]", what=title)
            charts.append((title, text, Markup(svg)))
    return charts


def _reached(episodes: dict[str, Any]) -> Markup:
    stages = [stage for stage, success in zip(episodes["stage"], episodes["success"]) if not success]
    counts = dict(sorted(Counter(stages).items(), key=lambda item: -item[1]))
    return Markup(figures.bars(counts, what="Furthest stage of the failed episodes"))


def _provenance(report: dict[str, Any]) -> list[tuple[str, Any]]:
    policy = report["policy"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return [
        ("Cell", report["cell"]),
        ("Cell hash", report["cell_hash"]),
        ("Policy", f"{policy['path']} ({policy['kind']})"),
        ("Policy SHA-256", policy["sha256"]),
        ("Seed", f"{report['seed']}, seed space {report['space']}, episodes 0 to {report['episodes'] - 1}"),
        ("Versions", versions),
    ]
