"""The page of a whole run: what was achieved, at what cost, and where everything lies."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from markupsafe import Markup

from robot_rlaas.pages import figures, site

Chart = tuple[str, str, Markup]  # title, one sentence, SVG


class Stage(NamedTuple):
    """One stage of the run.

    Attributes:
        name: "train".
        status: "done", "reused" (an earlier run had finished it), "skipped" or "failed".
        seconds: wall clock; None if it did not run.
        core_s: seconds of core time; None if unknown.
        artefact: path relative to the page; None if it made none.
        result: one line.
    """

    name: str
    status: Literal["done", "reused", "skipped", "failed"]
    seconds: float | None
    core_s: float | None
    artefact: str | None
    result: str


class LearningPoint(NamedTuple):
    """One row of progress.csv. `reward` is the mean sum of rewards of an episode."""

    seconds: float
    success: float
    reward: float


class Attempt(NamedTuple):
    """One attempt on the arm, as the arm's side counted it. `cycle_time_s` is None without success."""

    success: bool
    cycle_time_s: float | None
    peak_force_N: float


class Estimate(NamedTuple):
    """One calibrated figure of the arm, with its interval; `truth` where it is known (a virtual arm)."""

    name: str
    unit: str
    nominal: float
    estimate: float
    lower_95: float
    upper_95: float
    truth: float | None = None


@dataclass(frozen=True)
class Overview:
    """What index.html shows. A part that is missing (None or empty) is left out of the page.

    Attributes:
        cell, description: the cell's name and its one line.
        seed: of the run.
        wall_s, core_s: what the whole run cost; `cores` is how many it had.
        stages: in order.
        picture_png: the cell's picture.
        without_picture: why there is none.
        report: the content of qualification/report.json.
        report_href: the qualification page, relative to this one.
        learning: the learning curve, in order of time.
        attempts: of the deployment, in order; `violations` counts what the supervisor had to stop.
        origin: who vouches for the bundle that was deployed, in words; `trusted` is whether that is enough.
        attempts_left: in how many attempts the policy saw what it was not qualified on; None where nobody looked.
        arm: what the attempts ran on, in words: "a virtual arm (ur5e_worn) over ROS 2".
        calibration_svg: a figure of the calibration, an SVG document.
        calibration: one sentence of what the calibration achieved.
        estimates: its figures.
        artefacts: (path relative to the page, what it is).
        versions: of the software.
    """

    cell: str
    description: str
    seed: int
    wall_s: float
    core_s: float | None
    cores: int
    stages: tuple[Stage, ...]
    picture_png: bytes | None = None
    without_picture: str = ""
    report: dict[str, Any] | None = None
    report_href: str = "qualification/report.html"
    learning: tuple[LearningPoint, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    violations: int | None = None
    origin: str = ""
    trusted: bool = True
    attempts_left: int | None = None
    arm: str = "the arm"
    calibration_svg: str | None = None
    calibration: str = ""
    estimates: tuple[Estimate, ...] = ()
    artefacts: tuple[tuple[str, str], ...] = ()
    versions: dict[str, str] | None = None


def overview_page(run: Overview) -> str:
    """index.html: HTML that loads nothing from anywhere; its links lead to the run's other files."""
    rows = site.verdict_rows(run.report) if run.report else []
    svg = run.calibration_svg
    return site.render(
        "overview.html.j2",
        run=run,
        rows=rows,
        overall=site.overall(run.report) if run.report else None,
        meaning=site.meaning(run.report) if run.report else "",
        achieved=achieved(run),
        picture=site.data_uri(run.picture_png, "image/png") if run.picture_png else None,
        longest=max([s.seconds for s in run.stages if s.seconds] or [1.0]),
        learning=_learning(run),
        attempts=_attempts(run),
        calibration=site.data_uri(svg.encode(), "image/svg+xml") if svg else None,
        provenance_rows=_provenance(run),
    )


def achieved(run: Overview) -> str:
    """What the run achieved, in one sentence with figures."""
    parts = []
    if run.report:
        n, fresh = run.report["episodes"], "fresh " * (run.report["kind"] == "qualification")
        s = site.requirement(run.report, "success") or run.report["success"]
        bounds = site.bounds(s["lower_95"], s["upper_95"], "1")
        rate = site.percent(run.report["success"]["rate"])
        parts.append(f"succeeded in {rate} of {n:,} {fresh}episodes (95 % bounds {bounds})")
    if run.attempts:
        good = sum(attempt.success for attempt in run.attempts)
        parts.append(f"in {good} of {len(run.attempts)} attempts on {run.arm}")
    time = f"{site.duration(run.wall_s)} on {run.cores} core{'s' * (run.cores != 1)}"
    if not parts:
        return f"The run took {time}."
    if not run.report:
        parts[0] = f"succeeded {parts[0]}"
    return f"The policy {', and '.join(parts)}. The whole run took {time}."


def _learning(run: Overview) -> list[Chart]:
    if len(run.learning) < 2:
        return []
    seconds, success, reward = zip(*run.learning)
    required = site.requirement(run.report, "success") if run.report else None
    goal = required["limit"] if required else None
    rate = figures.curve(seconds, success, x_label="training time [s]", y_label="success", goal=goal, share=True)
    total = figures.curve(seconds, reward, x_label="training time [s]", y_label="reward of an episode")
    return [
        ("Success while learning", "of the training episodes, exploration included", Markup(rate)),
        ("Reward while learning", "mean over episodes", Markup(total)),
    ]


def _attempts(run: Overview) -> list[Chart]:
    if not run.attempts:
        return []
    good = [attempt.success for attempt in run.attempts]
    times = [float("nan") if a.cycle_time_s is None else a.cycle_time_s for a in run.attempts]
    forces = [attempt.peak_force_N for attempt in run.attempts]
    limits = [site.requirement(run.report, n) if run.report else None for n in ("cycle_time", "contact_force")]
    time_limit, force_limit = (item["limit"] if item else None for item in limits)
    return [
        ("Cycle time", "a failed attempt has none", Markup(_dots(times, good, "cycle time", "s", time_limit))),
        ("Contact force", "the largest of each attempt", Markup(_dots(forces, good, "peak force", "N", force_limit))),
    ]


def _dots(values: list[float], good: list[bool], label: str, unit: str, limit: float | None) -> str:
    return figures.dots(values, good, label=label, unit=unit, limit=limit)


def _provenance(run: Overview) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [("Seed", run.seed)]
    if run.report:
        rows += [("Cell hash", run.report["cell_hash"]), ("Policy SHA-256", run.report["policy"]["sha256"])]
    if run.versions:
        rows.append(("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())))
    return rows
