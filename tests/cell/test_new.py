"""`rlaas cell new`: a file that passes on the first go, and in which the scripted expert can do its work."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import cell_path, load_cell
from robot_rlaas.cli import main
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.tasks import expert_of
from robot_rlaas.jobs.new_cell import fill
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build

EPISODES = 50


@pytest.mark.parametrize("part", ["square", "round"])
@pytest.mark.parametrize("arm", ["ur5e", "ur10e", "fr3"])
def test_a_new_cell_holds_and_can_be_done(tmp_path: Path, arm: str, part: str) -> None:
    file = tmp_path / "mine.yaml"
    place = ["--at-mm", "420", "180", "80"]
    assert main(["cell", "new", "mine", "--arm", arm, "--part", part, *place, "--out", str(file)]) == 0
    assert main(["cell", "check", str(file)]) == 0
    cell = load_cell(str(file))
    assert (cell.name, cell.robot.arm, cell.task.plate.top_mm) == ("mine", arm, (420.0, 180.0, 80.0))
    workcell = build(cell)
    env = BatchEnv(cell, workcell, CpuBackend(workcell, cell, EPISODES), Seeds(0, Space.SHOW), restart=False)
    expert, outcomes = expert_of(cell, env.contract, EPISODES), []
    env.reset()
    expert.reset(np.arange(EPISODES))
    while len(outcomes) < EPISODES:
        outcomes += env.step(expert.act(env.observation)).outcomes
    assert sum(outcome.success for outcome in outcomes) >= 0.8 * EPISODES


def test_the_file_is_the_shipped_one_with_its_comments(tmp_path: Path) -> None:
    assert (
        main(["cell", "new", "mine", "--width-mm", "12", "--force-N", "40", "--out", str(tmp_path / "mine.yaml")]) == 0
    )
    shipped = cell_path("peg_insertion").read_text().splitlines()
    mine = (tmp_path / "mine.yaml").read_text().splitlines()
    changed = {new.strip() for old, new in zip(shipped[1:], mine[1:]) if old != new}
    assert changed == {
        "name: mine",
        "description: Insert a 12 mm square peg with 0.5 mm clearance per side into a plate of uncertain pose.",
        "home_deg: [-15.46, -82.56, 116.03, -123.47, -90, -105.46]",  # the same, found again
        "part: {shape: box, width_mm: 12, length_mm: 40, mass_kg: 0.1}",
        "contact_force_N: {limit: 40, quantile: 0.95}",
    }
    assert len(mine) == len(shipped)


def test_values_are_replaced_where_they_stand() -> None:
    text = "a: 1  # one\nb:\n  - {c: [1, 2], d: x}  # two\n"
    assert fill(text, {"a": 2.5, "b.0.c": (3.0, 4)}) == "a: 2.5  # one\nb:\n  - {c: [3, 4], d: x}  # two\n"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["mine", "--at-mm", "1500", "0", "60"], "cannot stand above [1500, 0, 60] mm"),
        (["mine", "--arm", "ur5"], "did you mean 'ur5e'?"),
        (["mine", "--length-mm", "-5"], "must be greater than 0"),
        (["My Cell"], "must be lower-case letters"),
    ],
)
def test_what_cannot_be_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture, arguments: list[str], what: str
) -> None:
    assert main(["cell", "new", *arguments, "--out", str(tmp_path / "mine.yaml")]) == 2
    assert what in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "mine.yaml").write_text("precious")
    assert main(["cell", "new", "mine", "--out", str(tmp_path / "mine.yaml")]) == 2
    assert "it is not replaced" in capsys.readouterr().err
    assert (tmp_path / "mine.yaml").read_text() == "precious"


def test_at_a_terminal_it_asks_for_what_is_not_given(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "robot_rlaas.cli", "cell", "new", "mine", "--part", "round", "--length-mm", "30"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path) as process:
        os.close(theirs)
        for answer in (
            "ur10e",
            "",
            "18",
            "",
            "450",
            "",
            "",
            "",
            "",
            "",
        ):  # arm, tool, width, room, x, y, z, the demands
            os.write(ours, f"{answer}\n".encode())
        assert process.wait(timeout=100) == 0, os.read(ours, 10_000).decode()
    os.close(ours)
    cell = load_cell(str(tmp_path / "mine.yaml"))
    assert (cell.robot.arm, cell.task.part.shape, cell.task.part.diameter_mm) == ("ur10e", "cylinder", 18.0)
    assert (cell.task.part.length_mm, cell.task.plate.top_mm) == (30.0, (450.0, 0.0, 60.0))
