"""The page in 3D: what its controls mean, and the whole of it in a browser."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import TEXT, Browser, chromium

from robot_rlaas.cell.cameras import LOOKS
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import Variation, load_cell
from robot_rlaas.qualify import viewer
from robot_rlaas.sim.variation import draw
from robot_rlaas.view.scene import page_server


def test_every_factor_that_is_not_only_for_cameras_has_its_place_in_a_draw() -> None:
    assert set(viewer.FIELDS) == set(Variation.model_fields) - set(LOOKS)


@pytest.mark.parametrize("name", ["peg_insertion", "gear_meshing", "machine_tending"])
def test_a_knob_sets_what_it_shows_and_nothing_else(name: str) -> None:
    cell = load_cell(name)
    start = draw(cell, Seeds(0, Space.SHOW), np.array([3]))
    found = viewer.knobs(cell)
    assert len({knob.label for knob in found}) == len(found) > 4
    for knob in found:
        assert knob.low <= knob.get(start) <= knob.high
        turned = knob.set(start, knob.high)
        assert knob.get(turned) == pytest.approx(knob.high)
        assert [f for f in start._fields if not np.array_equal(getattr(start, f), getattr(turned, f))] == [knob.field]
        others = [k for k in found if k != knob]
        assert [k.get(turned) for k in others] == [k.get(start) for k in others]


def test_without_viser_it_says_what_to_install(cell, workcell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(InputError, match=r"pip install 'robot_rlaas\[view\]'"):
        viewer.serve(cell, workcell, 8080, 0, print)


def test_a_draw_moves_what_it_is_about(cell, workcell) -> None:
    pytest.importorskip("viser")
    with page_server(18090, "test") as server:
        world = viewer._World(server, cell, workcell, 0)
        start = draw(cell, world.seeds, np.array([5]))
        frame = dict(zip(world.bodies.scene.bodies, world.bodies.frames))
        world.put(start)
        home = frame["tool/hand"].position.copy()
        hole = np.array(cell.task.plate.top_mm[:2]) / 1000 + start.plate_xy_m[0]
        np.testing.assert_allclose(frame["plate"].position[:2], hole, atol=1e-9)
        np.testing.assert_allclose(world.bodies.seen.position[:2], hole + start.bias_xy_m[0], atol=1e-9)
        world.put(start, np.deg2rad(cell.robot.home_deg) + np.array([0.1, 0, 0, 0, 0, 0]))
        turned = frame["tool/hand"].position
        angle = np.arctan2(turned[1], turned[0]) - np.arctan2(home[1], home[0])
        assert angle == pytest.approx(0.1, abs=1e-6), "the first joint turns the hand about the base"


@pytest.fixture
def page() -> Iterator[tuple[subprocess.Popen, str]]:
    """`rlaas cell show --web`, and the address that it tells."""
    pytest.importorskip("viser")
    command = [sys.executable, "-m", "robot_rlaas.cli", "cell", "show", "peg_insertion", "--web", "--port", "18080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[0]
        process.kill()


@pytest.fixture
def browser(page, tmp_path: Path) -> Iterator[Browser]:
    with chromium(page[1], tmp_path / "profile") as opened:
        yield opened


SLIDERS = "[...document.querySelectorAll('[role=slider]')]"


def test_somebody_turns_a_knob_and_watches_the_expert(page, browser: Browser) -> None:
    _, address = page
    text = browser.wait(TEXT, lambda text: text and "wrist_3_joint" in text)
    cell = load_cell("peg_insertion")
    for label in (cell.description, *(knob.label for knob in viewer.knobs(cell)), "Play the scripted expert"):
        assert label in text
    value = f"{SLIDERS}[0].getAttribute('aria-valuenow')"
    before = float(browser.run(value))
    browser.run(f"{SLIDERS}[0].focus()")
    browser.press("ArrowRight")
    browser.wait(value, lambda now: float(now) > before)
    browser.click("Play")
    browser.wait(TEXT, lambda text: re.search(r"^done, [\d.]+ s, at most \d+ N", text, re.MULTILINE))
    assert {url.split(":")[0] for url in browser.asked} <= {"http", "data", "blob"}
    assert all(url.startswith(address) for url in browser.asked if url.startswith("http"))


def test_it_listens_on_loopback_only_and_ends_on_ctrl_c(page) -> None:
    process, address = page
    port = int(address.rsplit(":", 1)[1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    assert process.stderr.read() == ""
