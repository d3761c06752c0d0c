import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from robot_rlaas.cell.seeds import Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.expert import InsertionExpert
from robot_rlaas.env.insertion import contract
from robot_rlaas.pages import site
from robot_rlaas.pages.overview import Overview, Stage, achieved, overview_page
from robot_rlaas.pages.qualification import qualification_page
from robot_rlaas.qualify.clips import clip
from robot_rlaas.qualify.report import PolicyIdentity, build_report, run_trials
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build
from robot_rlaas.sim.render import RenderingUnavailable, write_video

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
OFFLINE = ("--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND")
MEGABYTE = 1024**2


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Eight seconds of coarse noise at a clip's size: several times as large as a real clip."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (40, 12, 16, 3), dtype=np.uint8).repeat(4, axis=0)
    frames = (frame.repeat(30, axis=0).repeat(30, axis=1) for frame in coarse)
    return write_video(frames, tmp_path_factory.mktemp("film") / "noise.mp4", 20).read_bytes()


def dom(page, folder):
    """The page's DOM as headless Chromium builds it, without a network."""
    if not CHROMIUM:
        pytest.skip("no Chromium: apt-get install chromium")
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [CHROMIUM, *QUIET.split(), *OFFLINE, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


class Text(HTMLParser):
    """Table rows as lists of the texts of their cells, and everything that would be loaded."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.loads, self._open = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.loads += [v for k, v in attrs if k in ("src", "poster", "srcset", "data") and v]
        self.loads += [attributes["href"]] if tag == "link" else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._open = True

    def handle_endtag(self, tag):
        self._open = self._open and tag not in ("td", "th")

    def handle_data(self, data):
        if self._open:
            self.rows[-1][-1] += data.replace("\N{NO-BREAK SPACE}", " ")


def assert_self_contained(page):
    assert all(load.startswith("data:") for load in Text(page).loads)
    without_data = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.findall(r"https?:|//[a-z]|url\(|@import|<script|<link|<iframe", without_data)


def test_verdicts_reach_the_reader_of_the_report(report, film, tmp_path):
    clips = [(f"Film {i}", "The peg slid over the plate.", film) for i in range(6)]
    page = qualification_page(report, clips)
    assert_self_contained(page)
    assert len(page) < 5 * MEGABYTE
    seen = Text(dom(page, tmp_path))
    rows = {row[0]: row for row in seen.rows}
    for item in report["requirements"]:
        shown = rows[site.TITLES[item["name"]]]
        assert shown[1] == item["text"]
        assert shown[-1] == item["verdict"]
    assert rows["Success"][2:5] == ["≥ 99 %", "98.8 %", "98.1 to 99.3 %"]
    assert rows["search"][1] == "8"
    assert sum(load.startswith("data:video/mp4") for load in seen.loads) == 6


def test_report_puts_the_verdicts_before_every_picture(report, film):
    page = qualification_page(report, [("Success", "Done.", film)])
    body = page[page.index("<body>") :]
    assert body.index("<table") < body.index("<svg")
    assert body.index('class="verdict UNDECIDED"') < body.index("<svg") < body.index("<video")


def test_report_without_films_says_why(report):
    page = qualification_page(report, (), "no offscreen OpenGL <none>\n fix: apt-get install libegl1")
    assert "no offscreen OpenGL &lt;none&gt;" in page
    assert "<video" not in page


def test_report_without_failures_and_without_bounds(report):
    good = {
        **report,
        "failures": [],
        "requirements": [{**item, "value": None, "upper_95": None} for item in report["requirements"]],
        "per_episode": {**report["per_episode"], "success": [True] * report["episodes"]},
    }
    page = qualification_page(good)
    assert "No episode failed" in page
    assert not re.findall(r"\b(nan|None|inf)\b", page)


def test_what_people_wrote_is_escaped(report, run):
    evil = "<script>alert(1)</script>"
    for page in (
        qualification_page({**report, "cell": evil}),
        overview_page(replace(run, description=evil, stages=(Stage(evil, "done", 1, 1, evil, evil),))),
    ):
        assert evil not in page
        assert "&lt;script&gt;" in page


def test_overview_shows_the_run(run, tmp_path):
    page = overview_page(
        replace(run, picture_png=b"\x89PNG", calibration_svg="<svg xmlns='http://www.w3.org/2000/svg'/>")
    )
    assert_self_contained(page)
    seen = Text(dom(page, tmp_path))
    rows = {row[0]: row for row in seen.rows}
    for item in run.report["requirements"]:
        assert rows[site.TITLES[item["name"]]][-1] == item["verdict"]
    assert rows["train"][1:3] == ["done", "99.4 % of 512 validation episodes"]
    assert rows["train"][3].startswith("3 min 35 s")
    assert rows["calibrate"][1] == "failed"
    assert rows["command delay [ms]"][2] == "19.6"
    for path, _ in run.artefacts:
        assert f'href="{path}"' in page


def test_overview_of_a_run_that_stopped_early():
    stages = (
        Stage("check", "done", 1.0, None, None, "fine"),
        Stage("demonstrate", "failed", None, None, None, "disk full"),
    )
    page = overview_page(Overview("peg", "A peg.", 0, 3.0, None, 2, stages, without_picture="no offscreen OpenGL"))
    assert_self_contained(page)
    assert "disk full" in page
    assert "No picture of the cell. no offscreen OpenGL" in page
    for absent in ("Requirements", "Learning", "On the arm", "Calibration", "Where everything lies"):
        assert absent not in page


def test_achieved_in_one_sentence(run):
    text = achieved(run).replace("\N{NO-BREAK SPACE}", " ")
    assert text == (
        "The policy succeeded in 98.8 % of 1,000 fresh episodes (95 % bounds 98.1 to 99.3 %), and in 9 of 10 attempts "
        "on a virtual arm (ur5e_worn) over ROS 2. The whole run took 8 min 12 s on 2 cores."
    )


def test_real_episodes_from_run_to_page(tmp_path):
    """A small real qualification: its page builds, and a film shows the very episode that was counted."""
    cell, seed = load_cell("peg_insertion"), 3
    workcell = build(cell)

    def expert(count):
        return InsertionExpert(cell, contract(cell), count)

    env = BatchEnv(cell, workcell, CpuBackend(workcell, cell, 8), seed, Space.QUALIFY)
    trials = run_trials(env, expert(8), 12, lambda ended: None)
    quick = min((trial.outcome for trial in trials), key=lambda outcome: outcome.steps)
    try:
        made = clip(cell, workcell, expert, seed, Space.QUALIFY, quick.episode, tmp_path / "clip.mp4")
    except RenderingUnavailable as error:
        pytest.skip(str(error))
    assert made.outcome == quick
    assert made.path.stat().st_size < 0.3 * MEGABYTE
    cost = {"wall_s": 1.0, "core_s": 2.0, "simulated_s": sum(t.outcome.steps for t in trials) * cell.period_s}
    real = build_report(cell, PolicyIdentity("expert", "0" * 64, "scripted"), seed, Space.QUALIFY, trials, cost)
    page = qualification_page(real, [("Success", "The quickest.", made.path.read_bytes())])
    assert_self_contained(page)
    assert f"{real['success']['count']} succeeded" in page


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (float("inf"), "–"), (0, "0"), (1234.5, "1,234"), (0.01234, "0.0123"), (-2.5, "−2.5"), (60, "60")],
)
def test_number(value, shown):
    assert site.number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "–"), (2.44, "2.4 s"), (48, "48 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_duration(seconds, shown):
    assert site.duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == shown


def test_overall_verdict():
    assert site.overall(["PASS", "UNDECIDED", "FAIL"]) == "FAIL"
    assert site.overall(["PASS", "UNDECIDED"]) == "UNDECIDED"
    assert site.overall(["PASS", "PASS"]) == "PASS"
