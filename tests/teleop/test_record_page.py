"""The page on which somebody demonstrates, in a browser: a hand drags the tool, and a dataset comes of it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import TEXT, Browser, chromium

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.data.lerobot import read_dataset
from robot_rlaas.data.lineage import read_lineage
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.shapes import Scene
from robot_rlaas.teleop.page import GIZMO_M

# Room for a hand: what varies is where the plate lies, and everybody sees it.
CELL = """
extends: peg_insertion
name: easy
task: {plate: {clearance_mm: 3, chamfer_mm: 2}, timeout_s: 100}
variation: {plate_bias_mm: [0, 0], plate_bias_deg: [0, 0], hand_offset_mm: [0, 0], hand_offset_deg: [0, 0]}
requirements: {cycle_time_s: {limit: 60}}
held_out: null
"""
GRIP = 0.9  # of the way along a gizmo's arrow
DOWN_M = 0.056  # from 30 mm above the plate to where the cell is content, and a little


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[tuple[subprocess.Popen, str, Path]]:
    """`rlaas demos record`, the address that it tells, and its dataset."""
    pytest.importorskip("viser")
    file, out = tmp_path / "easy.yaml", tmp_path / "anna"
    file.write_text(CELL)
    options = ["--out", str(out), "--episodes", "1", "--operator", "anna", "--port", "18400"]
    command = [sys.executable, "-m", "robot_rlaas.cli", "demos", "record", str(file), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = next(line.split()[0] for line in process.stdout if line.startswith("http"))
        yield process, address, out
        process.kill()


@pytest.fixture
def browser(recording, tmp_path: Path) -> Iterator[Browser]:
    with chromium(recording[1], tmp_path / "profile") as opened:
        yield opened


def on_screen(browser: Browser, view: tuple, point_m: np.ndarray) -> np.ndarray:
    """Where a point of the cell is in the window, px."""
    position, look_at, fov_rad = view
    forward = (look_at - position) / np.linalg.norm(look_at - position)
    right = np.cross(forward, (0, 0, 1)) / np.linalg.norm(np.cross(forward, (0, 0, 1)))
    x, y, z = np.array([right, np.cross(right, forward), forward]) @ (point_m - position)
    left, top, width, height = browser.run(
        "(r => [r.left, r.top, r.width, r.height])(document.querySelector('canvas').getBoundingClientRect())"
    )
    scale = height / 2 / np.tan(fov_rad / 2) / z
    return np.array([left + width / 2 + scale * x, top + height / 2 - scale * y])


@pytest.mark.realtime
def test_somebody_drags_the_tool_and_keeps_a_success(recording, browser: Browser, tmp_path: Path) -> None:
    process, _, out = recording
    cell = Cell.load(str(tmp_path / "easy.yaml"))
    env = BatchEnv(cell.spec, cell.workcell, CpuBackend(cell.workcell, cell.spec, 1), Seeds(0, Space.DEMONSTRATE))
    height_m = 0.03 + cell.spec.task.plate.top_mm[2] / 1000
    env.reset()
    over_m, view = np.array([*env.task.frame.p[0, :2], height_m]), Scene(cell.workcell).view("close")

    text = browser.wait(TEXT, lambda text: text and "Ready: start 0" in text)
    assert "0 of 1 successes kept. No success yet from: plate x -30 to -10 mm" in text
    browser.press("h")
    browser.wait(TEXT, lambda text: "Recording:" in text and "Now: approach" in text)
    heights_m = GRIP * GIZMO_M - np.array([0, DOWN_M])
    start, end = (on_screen(browser, view, over_m + height * np.array([0, 0, 1])) for height in heights_m)
    browser.wait(TEXT, lambda text: "Recording: 0." not in text and "Recording: 1." not in text)  # it is over the hole
    browser.mouse("Moved", *start)
    browser.mouse("Pressed", *start)
    for share in np.linspace(0, 1, 15):
        browser.mouse("Moved", *(start + share * (end - start)))
    browser.mouse("Released", *end)
    text = browser.wait(TEXT, lambda text: "Done in" in text)
    assert "Keep it (V)" in text
    browser.press("v")
    browser.wait(TEXT, lambda text: "1 of 1 successes kept." in text)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0

    (episode,) = read_dataset(out, env.contract)
    assert episode.success
    assert (episode.operator, episode.number) == ("anna", 0)
    assert read_lineage(out).made.by == "rlaas demos record"
    assert (np.diff(episode.stamp_s) > 0).all()
    np.testing.assert_array_equal(episode.late[1:], np.diff(episode.stamp_s) > 1.5 * cell.spec.period_s)
    env = BatchEnv(cell.spec, cell.workcell, env.backend, episode.seeds, restart=False)
    env.reset(episode=episode.number)
    for action in episode.executed:
        step = env.step(action[None])
    assert step.outcomes[0].success, "simulated again, it is the same"


def test_without_a_browser_it_ends_with_nothing_written(recording) -> None:
    process, _, out = recording
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert told.endswith("nothing was kept\n")
    assert not out.exists()
