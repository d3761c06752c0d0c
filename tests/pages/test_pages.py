import copy
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import Variation, load_cell
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.env.insertion.task import contract
from robot_rlaas.pages import generalisation, qualification, site
from robot_rlaas.pages.overview import Overview, Stage, achieved, overview_page
from robot_rlaas.pages.qualification import qualification_page
from robot_rlaas.qualify.claims import Plan, judge
from robot_rlaas.qualify.clips import clip
from robot_rlaas.qualify.failures import clusters
from robot_rlaas.qualify.fresh import freshness
from robot_rlaas.qualify.held_out import EVERYTHING, SHAPE
from robot_rlaas.qualify.report import PolicyIdentity, build_report
from robot_rlaas.qualify.statistics import proportion
from robot_rlaas.qualify.trials import stream
from robot_rlaas.qualify.words import AXES, INSERTION
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
        assert shown[-1].startswith(item["verdict"])
    assert rows["Success"][2:5] == ["≥ 99 %", "98.8 %", "98.1 to 99.3 %"]
    assert rows["Success"][-1] == "UNDECIDEDopen at this number of episodes"
    assert rows["Keep-out"][-1] == "PASS"
    assert sum(load.startswith("data:video/mp4") for load in seen.loads) == 6


def test_report_puts_the_verdicts_before_every_picture(report, film):
    page = qualification_page(report, [("Success", "Done.", film)])
    body = page[page.index("<body>") :]
    assert body.count("<table") == 2
    assert body.index("<table") < body.index("<svg")
    assert body.index('class="verdict UNDECIDED"') < body.index("<svg") < body.index("<video")


def words(page):
    """The page's text without markup, figures included."""
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(text).split())


def evil_everywhere(report, evil):
    """A report whose free texts are all `evil`."""
    changed = copy.deepcopy(report)
    for cluster in changed["failures"]:
        cluster["name"] = cluster["text"] = evil
    changed["held_out"][0]["factor"] = changed["versions"]["python"] = evil
    changed["sensitivity"]["curves"][evil] = changed["sensitivity"]["curves"]["friction"]
    changed["sensitivity"]["breaks_at"][evil] = 3.0
    changed["fresh"] = {"proved": False, "statements": [evil], "objections": [evil]}
    return {**changed, "kind": "trial"}


def test_a_trial_says_so_and_never_passes(trial_report, run):
    assert {row["verdict"] for row in trial_report["requirements"]} == {"UNDECIDED"}
    page = qualification_page(trial_report)
    heading = page[page.index("<h1>") : page.index("</h1>")]
    assert "TRIAL" in heading
    assert "PASS" not in heading
    banner = page.index('class="banner"')
    assert page.index("</h1>") < banner < page.index("<table")
    (objection,) = trial_report["fresh"]["objections"]
    assert f"not a qualification: {objection}" in page[banner : page.index("<table")]
    assert re.search(r"<title>Trial of peg_insertion: TRIAL</title>", page)
    overview = overview_page(replace(run, report=trial_report))
    assert f"not a qualification: {objection}" in overview
    assert "TRIAL" in overview[overview.index("<h1>") : overview.index("</h1>")]
    assert "fresh episodes" not in achieved(replace(run, report=trial_report))


def test_a_qualification_has_no_banner(report, run):
    for page in (qualification_page(report), overview_page(run)):
        assert 'class="banner"' not in page
        assert "not a qualification" not in page
        assert "TRIAL" not in page[page.index("<body>") :]


def test_caption_and_extent_follow_the_plan(report, full_report):
    fixed, sequential = words(qualification_page(report)), words(qualification_page(full_report))
    assert "exact binomial tests on 1,000 episodes, a number fixed beforehand, adjusted by Holm" in fixed
    assert "whenever one stops" not in fixed
    assert full_report["episodes"] < 5000
    assert "a group-sequential test with a look after every 50 episodes and its end at 5,000" in sequential
    assert "whenever one stops" in sequential
    assert f"{full_report['episodes']:,} sequential: stopped once every verdict stood, of at most 5,000" in sequential
    assert "Holm" not in sequential
    used_up = {**full_report, "plan": {**full_report["plan"], "episodes": full_report["episodes"]}}
    assert "all that the sequential plan allowed" in words(qualification_page(used_up))


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (1, "a new plan with about 1 more episode would decide"),
        (87, "a new plan with about 87 more episodes would decide"),
        (8123, "a new plan with about 8,200 more episodes would decide"),
        (None, "too close to the limit for any affordable plan"),
    ],
)
def test_an_open_verdict_says_what_it_lacks(report, more, text):
    report = {**report, "plan": {**report["plan"], "sequential": True}}
    rows = [{**row, "verdict": "UNDECIDED", "more_needed": more} for row in report["requirements"]]
    assert words(qualification_page({**report, "requirements": rows})).count(text) == len(rows)
    decided = [{**row, "verdict": "PASS"} for row in rows]
    assert text not in words(qualification_page({**report, "requirements": decided}))


def test_bounds_of_the_success_rate_are_those_of_its_verdict(full_report):
    """Clopper and Pearson's do not hold where the episodes were stopped by what they showed."""
    item, success = site.requirement(full_report, "success"), full_report["success"]
    shown = site.bounds(item["lower_95"], item["upper_95"], "1")
    assert (success["lower_95"], success["upper_95"]) == (item["lower_95"], item["upper_95"])
    assert success["lower_95"] < proportion(success["count"], full_report["episodes"]).lower
    assert f"bounds {shown}" in qualification_page(full_report)


def test_parts_that_were_not_asked_for_are_absent(report, full_report):
    bare, full = qualification_page(report), qualification_page(full_report)
    for heading in ("Beyond the training ranges", "What breaks it first"):
        assert heading not in bare
        assert f"<h2>{heading}</h2>" in full
    assert_self_contained(full)
    assert len(full) < 0.5 * MEGABYTE


def test_held_out_factors_stand_by_their_gap(full_report, tmp_path):
    page = qualification_page(full_report)
    rows = {row[0]: row[1:] for row in Text(dom(page, tmp_path)).rows}
    entries = {entry["factor"]: entry for entry in full_report["held_out"]}
    names = list(rows)
    first = names.index("everything at once")
    assert names[first : first + 3] == ["everything at once", "part tilted in the hand", "shape of the plate"]
    assert rows["part tilted in the hand"][:3] == ["−1.5 to 1.5°", "−1 to 1°", "83 %78 to 87.2 %"]
    assert rows["shape of the plate"][0] == "clearance 0.4 mm, chamfer 0.8 mm"
    assert rows["servo gains"][:2] == ["0.7 to 1.3 × nominal", "0.8 to 1.2 × nominal"]
    assert rows["everything at once"][-1] == "71.4 Nabove the limit"
    assert rows["friction"][-1] == "47.3 N"
    gap = entries["hand_offset_deg"]["gap"]
    shown = "{value:.1f}{lower_95:.1f} to {upper_95:.1f}".format(**{k: 100 * v for k, v in gap.items()})
    assert rows["part tilted in the hand"][3] == shown
    assert page.count('<tr class="loses">') == sum(entry["gap"]["lower_95"] > 0 for entry in entries.values())
    (told,) = re.findall(r"lower bound is above zero, for ([^.]*)\.", words(page))
    assert told.startswith("everything at once, part tilted in the hand, shape of the plate")
    assert "friction" not in told.replace("joint friction", "")
    assert f"all {len(entries)} lower bounds hold together with 95 % confidence (Bonferroni)" in words(page)


def test_held_out_without_a_loss_says_so(full_report):
    gap = {"value": -0.0001, "lower_95": -0.01, "upper_95": 0.01}
    page = qualification_page({**full_report, "held_out": [{**e, "gap": gap} for e in full_report["held_out"]]})
    assert "lower bound is above zero, for no factor." in page
    assert '<tr class="loses">' not in page
    assert "−0.0<" not in page


def test_sensitivity_names_what_breaks_first(full_report):
    found = full_report["sensitivity"]
    assert found["breaks_first"] == {"factor": "hand_offset_deg", "reach": 1.5}
    page = words(qualification_page(full_report))
    section = page[page.index("What breaks it first") :]
    assert "Part tilted in the hand breaks the policy first, at 1.5 times the cell's range (−1.5 to 1.5°)" in section
    assert section.count("breaks at reach") == sum(reach is not None for reach in found["breaks_at"].values())
    assert "plate seen shifted breaks at reach 2.5 (−2.5 to 2.5 mm)" in section
    assert "command delay holds up to reach 2.5" in section
    assert "plate seen shifted breaks at reach 2.5 (−2.5 to 2.5 mm); both edges" in section
    assert re.search(
        r"friction breaks at reach 3 \([^)]*\); both edges to reach [0-9.]+, then the upper alone", section
    )
    assert qualification_page(full_report).count('aria-label="Success of') == len(found["curves"])
    whole = {**found, "breaks_first": None, "breaks_at": dict.fromkeys(found["breaks_at"])}
    page = words(qualification_page({**full_report, "sensitivity": whole}))
    assert "No factor broke the policy, up to 3 times the cell's range." in page
    assert "breaks at" not in page


def test_a_cluster_of_failures_in_one_row(report):
    page = qualification_page(report)
    for cluster in report["failures"]:
        start = page.index(f'<tr><th scope="row">{cluster["name"]}<span')
        row = page[start : page.index("</tr>", start)]
        assert f"{cluster['count']} episode{'s' * (cluster['count'] > 1)}<" in row
        assert f"Most typical: episode {cluster['medoid']}" in row
        for line in cluster["text"].split("; "):
            assert line[1:].replace("-", "−") in unescape(row)
        assert f'aria-label="Course of {cluster["name"]}: ' in row
        reached = cluster["history"]["search_s"]
        assert not re.search(r"\d of \d", row)
        assert (f"at the plate {reached['median']:.1f} s" if reached else "at the plate never") in row
    many = max(report["failures"], key=lambda cluster: cluster["count"])
    shown = ", ".join(map(str, many["episodes"][:12]))
    assert many["count"] > 12
    assert f"{shown} and {many['count'] - 12} more" in page


def test_a_course_says_how_many_got_there(report):
    cluster = copy.deepcopy(max(report["failures"], key=lambda cluster: cluster["count"]))
    cluster["history"]["insert_s"]["episodes"] = 5
    page = qualification_page({**report, "failures": [cluster]})
    median = cluster["history"]["insert_s"]["median"]
    assert f"in the hole {median:.1f} s, 5 of {cluster['count']};" in page


def test_episodes_without_a_figure_are_left_out(report):
    """Null stands where a simulation diverged."""
    episodes = copy.deepcopy(report["per_episode"])
    for name in ("peak_force_N", "bias_x_mm", "friction"):
        episodes[name][7] = None
    contrasts = [{"axis": "friction", "magnitude": True}]
    failures = [{**report["failures"][0], "contrasts": contrasts}]
    page = qualification_page({**report, "per_episode": episodes, "failures": failures})
    assert "What favours" in page
    assert not re.search(r"\b(nan|None)\b", page)


def test_maps_tell_failures_from_broken_limits(report):
    page = qualification_page(report)
    good = sum(report["per_episode"]["success"])
    beyond = sum(cluster["count"] for cluster in report["failures"]) - (report["episodes"] - good)
    assert beyond > 0
    assert page.count(f"Successes: {good}, {beyond} of them beyond a limit; failures: {report['episodes'] - good}") == 4
    assert "How far the part would miss" in page


@pytest.mark.parametrize(
    ("axis", "magnitude", "label"),
    [("friction", False, "friction"), ("hand_rx_deg", True, "part in the hand, |rx| [°]"), ("bias_x_mm", True, None)],
)
def test_an_axis_that_no_map_shows_has_a_chart_of_its_own(report, axis, magnitude, label):
    cluster = report["failures"][0]
    contrasts = [{"axis": axis, "magnitude": magnitude}]
    page = qualification_page({**report, "failures": [{**cluster, "contrasts": contrasts}]})
    assert (f"What favours “{cluster['name']}”" in page) == (label is not None)
    assert label is None or f"by {label};" in page


def test_provenance_says_why_the_episodes_are_fresh(full_report):
    page = words(qualification_page(full_report))
    assert all(statement in page for statement in full_report["fresh"]["statements"])
    assert f"Key {' '.join(map(str, full_report['key']))} " in page
    assert "at most 5,000 episodes, a look after every 50, 200 per held-out factor" in page


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


def test_what_people_wrote_is_escaped(report, full_report, run):
    evil = "<script>alert(1)</script>"
    for page in (
        qualification_page({**report, "cell": evil}),
        qualification_page(evil_everywhere(full_report, evil)),
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
        assert rows[site.TITLES[item["name"]]][-1].startswith(item["verdict"])
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

    env = BatchEnv(cell, workcell, CpuBackend(workcell, cell, 8), Seeds(seed, Space.QUALIFY))
    plan = Plan(12, sequential=False)
    judgement = judge(cell, stream(env, expert(8), lambda ended: None), plan)
    trials = judgement.trials
    quick = min((trial.outcome for trial in trials), key=lambda outcome: outcome.steps)
    try:
        made = clip(cell, workcell, expert(1), Seeds(seed, Space.QUALIFY), quick.episode, tmp_path / "clip.mp4")
    except RenderingUnavailable as error:
        pytest.skip(str(error))
    assert made.outcome == quick
    assert made.path.stat().st_size < 0.3 * MEGABYTE
    cost = {"wall_s": 1.0, "core_s": 2.0, "simulated_s": sum(t.outcome.steps for t in trials) * cell.period_s}
    seeds, identity = Seeds(seed, Space.QUALIFY), PolicyIdentity("expert", "", "scripted")
    fresh, failures = freshness(seeds, "", None), clusters(cell, trials)
    real = build_report(cell, identity, seeds, plan, judgement, fresh, cost, failures)
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


@pytest.mark.parametrize(
    ("verdicts", "kind", "word"),
    [
        (["PASS", "UNDECIDED", "FAIL"], "qualification", "FAIL"),
        (["PASS", "UNDECIDED"], "qualification", "UNDECIDED"),
        (["PASS", "PASS"], "qualification", "PASS"),
        (["PASS", "PASS"], "trial", "TRIAL"),
        (["PASS", "FAIL"], "trial", "FAIL"),
    ],
)
def test_overall_verdict(verdicts, kind, word):
    assert site.overall({"kind": kind, "requirements": [{"verdict": verdict} for verdict in verdicts]}) == word


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("joint_friction_Nm", ("joint friction", "N m")),
        ("command_delay_s", ("command delay", "s")),
        ("servo_gain_scale", ("servo gains", "× nominal")),
        ("hand_offset_deg", ("part tilted in the hand", "°")),
        ("friction", ("friction", "")),
        ("new_thing_mm", ("new thing", "mm")),
    ],
)
def test_factor_in_words(name, words):
    assert tuple(word.replace("\N{NO-BREAK SPACE}", " ") for word in generalisation.factor(name)) == words


def test_names_of_the_report_are_known_to_the_page():
    factors = {*Variation.model_fields, SHAPE, EVERYTHING}
    assert set(generalisation.FACTORS) <= factors
    assert all("_" not in "".join(generalisation.factor(name)) for name in factors)
    assert set(qualification.MOMENTS) == {*(f"{stage}_s" for stage in INSERTION.stages[1:]), "peak_at_s"}
    shown = [qualification._axis({"axis": axis, "magnitude": False}) for axis in AXES]
    assert len(set(shown)) == len(AXES)
    assert not any("_" in label for label in shown)
    assert {axis for name, _, _ in qualification.MAPS for axis in (f"{name}_x_mm", f"{name}_y_mm")} <= set(AXES)


def test_ranges_and_lists():
    assert site.span((-1.5, 1.5), "°").replace("\N{NO-BREAK SPACE}", " ") == "−1.5 to 1.5°"
    assert site.span((0, 0.05), "s").replace("\N{NO-BREAK SPACE}", " ") == "0 to 0.05 s"
    assert site.span((0.2, 0.4), "").replace("\N{NO-BREAK SPACE}", " ") == "0.2 to 0.4"
    assert site.span(None, "mm") == "–"
    assert [site.listed(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
