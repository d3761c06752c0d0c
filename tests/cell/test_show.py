"""`rlaas cell show`: pictures of a cell, of its starts, and a film of the scripted expert."""

import re
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from robot_rlaas.cli import main


def rendered(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    code, told = main(["cell", "show", *arguments]), capsys.readouterr().out
    if "no picture" in told:
        pytest.skip(told)
    assert code == 0, told
    return told


def test_the_sheet_shows_twelve_different_starts(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rendered(capsys, "peg_insertion_round", "--sheet", str(tmp_path / "starts.png"))
    sheet = np.asarray(Image.open(tmp_path / "starts.png")).astype(int)
    assert sheet.shape[1] == 1200
    tiles = [tile for row in np.array_split(sheet, 3) for tile in np.array_split(row, 4, axis=1)]
    changed = [np.any(one != other, axis=-1).mean() for one, other in pairwise(tiles)]
    assert min(changed) > 0.05
    assert sheet.std() > 20


def test_the_film_shows_how_the_expert_ended(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    film = tmp_path / "film.mp4"
    told = rendered(capsys, "peg_insertion", "--video", str(film))
    seconds = re.search(r"film\.mp4: done after ([\d.]+) s, at most \d+ N", told)
    assert seconds, told
    with av.open(film) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == round(20 * (float(seconds[1]) + 1.0))  # the end is held for a second
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 1


def test_the_cameras_pictures_are_shown_as_policies_get_them(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rendered(capsys, "peg_insertion_camera", "--cameras", str(tmp_path / "cameras.png"))
    sheet = np.asarray(Image.open(tmp_path / "cameras.png"))
    assert sheet.shape == (2 * (30 + 192 + 8), 1200, 3)
    wrist, cell = sheet[30:222], sheet[260:452]
    for row in (wrist, cell):
        first, second = row[:, :192], row[:, 201:393]
        np.testing.assert_array_equal(first[::2, ::2], first[1::2, 1::2])  # each pixel twice as large
        assert (first != second).mean() > 0.2
    assert main(["cell", "show", "peg_insertion", "--cameras", str(tmp_path / "none.png")]) == 2
    assert "the cell 'peg_insertion' has no cameras" in capsys.readouterr().err
    assert not (tmp_path / "none.png").exists()


def test_it_asks_what_to_show(capsys: pytest.CaptureFixture) -> None:
    assert main(["cell", "show", "peg_insertion"]) == 2
    assert "name --out, --sheet, --cameras, --video or --web" in capsys.readouterr().err


def test_where_nothing_can_be_drawn_it_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "off")
    assert main(["cell", "show", "peg_insertion", "--sheet", str(tmp_path / "starts.png")]) == 1
    assert "MUJOCO_GL=off turns it off" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
