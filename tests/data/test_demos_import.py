"""Logs of deployments as demonstrations: in several files, cut off, damaged. They hold what a policy's node says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mcap_ros2.writer import Writer
from samples import Notes

from robot_rlaas.calibrate.cut_off import is_cut
from robot_rlaas.cell.errors import InputError
from robot_rlaas.data.opened import open_dataset
from robot_rlaas.deploy.names import OBSERVATION
from robot_rlaas.deploy.ros.definitions import definition
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.jobs.demos_import import from_logs
from robot_rlaas.jobs.pipeline import Cell

START_NS = 1_790_000_000 * 10**9
PERIOD_NS = 50_000_000
ATTEMPTS, STEPS, BETWEEN = 3, 40, 10
PACE = STEPS + BETWEEN
ZSTD = b"\x28\xb5\x2f\xfd"  # how the messages of a chunk begin


@pytest.fixture(scope="module")
def cell() -> Cell:
    return Cell.load("peg_insertion")


def said(cell: Cell) -> list[dict]:
    """Three attempts of two seconds each, half a second apart, the second one without success."""
    rng, size = np.random.default_rng(0), contract_of(cell.spec).observation_size
    lines = []
    for i in range(ATTEMPTS * PACE):
        attempt, step = divmod(i, PACE)
        one = {"stamp_ns": START_NS + i * PERIOD_NS, "sensed_ns": START_NS + i * PERIOD_NS - 3_000_000}
        acts = {"seen": rng.normal(size=size).tolist(), "action": rng.uniform(-1, 1, 4).tolist(), "result": None}
        result = {"success": attempt != 1, "cycle_time_s": 2.0, "peak_force_N": 20.0 + attempt, "figures": {}}
        rests = {"seen": None, "action": None, "result": result if step == STEPS else None}
        lines.append(one | (acts if step < STEPS else rests))
    return lines


def write(path: Path, cell: Cell, lines: list[dict], **about: str) -> Path:
    """An MCAP file in chunks of a few messages, as the recorder writes them."""
    whose = {"cell": cell.spec.name, "cell_hash": cell.spec.hash, "bundle_sha256": "b" * 64} | about
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=8192)
        writer._writer.add_metadata("robot_rlaas", whose)
        schema = writer.register_msgdef("std_msgs/msg/String", definition("std_msgs/msg/String"))
        for one in lines:
            ns = one["stamp_ns"]
            writer.write_message(OBSERVATION, schema, {"data": json.dumps(one)}, ns, ns)
        writer.finish()
    return path


@pytest.fixture(scope="module")
def whole(cell, tmp_path_factory) -> Path:
    """A deployment's folder with a log of one file."""
    return write(tmp_path_factory.mktemp("whole") / "log.mcap", cell, said(cell)).parent


def episodes(logs: list[Path], cell: Cell, out: Path) -> tuple[list, list[str], list[str]]:
    """The episodes of these logs, what was said on the way, and what was left out."""
    notes = Notes()
    from_logs(logs, cell, out, notes)
    opened = open_dataset(out)
    assert opened.lineage.made is not None
    return list(opened.episodes.values()), notes.lines, list(opened.lineage.made.left_out)


def test_what_was_seen_and_done_comes_back(cell, whole, tmp_path):
    found, told, left_out = episodes([whole], cell, tmp_path / "out")
    lines = said(cell)
    assert [(e.success, e.peak_force_N, len(e.action)) for e in found] == [
        (True, 20, 40),
        (False, 21, 40),
        (True, 22, 40),
    ]
    for i, episode in enumerate(found):
        acted = lines[i * PACE : i * PACE + STEPS]
        np.testing.assert_array_equal(episode.observation, np.array([one["seen"] for one in acted], np.float32))
    assert (told, left_out) == ([f"  {whole}: 3 attempts, 0 broken off"], [])


@pytest.mark.parametrize("at", [STEPS // 2, STEPS, STEPS + 1, PACE, PACE + 1])
def test_an_attempt_that_is_split_over_two_files_is_one_episode(cell, whole, tmp_path, at):
    """In its middle, before and after its result, between two attempts."""
    lines = said(cell)
    for i, some in enumerate((lines[:at], lines[at : at + 30], lines[at + 30 :])):
        write(tmp_path / "split" / ("log.mcap" if i == 0 else f"log_{i:04d}.mcap"), cell, some, part=str(i))
    found, told, _ = episodes([tmp_path / "split"], cell, tmp_path / "out")
    expected, _, _ = episodes([whole], cell, tmp_path / "expected")
    assert told == [f"  {tmp_path / 'split'}: 3 attempts, 0 broken off"]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.observation, other.observation)
        np.testing.assert_array_equal(one.action, other.action)
    logs = open_dataset(tmp_path / "out").lineage.made.settings["logs"]
    assert [log["part"] for log in logs] == ["0", "1", "2"]


def test_the_first_file_of_a_split_log_alone_says_that_there_are_more(cell, tmp_path):
    lines = said(cell)
    first = write(tmp_path / "split/log.mcap", cell, lines[: PACE + 20], part="0")
    write(tmp_path / "split/log_0001.mcap", cell, lines[PACE + 20 :], part="1")
    found, told, left_out = episodes([first], cell, tmp_path / "out")
    assert len(found) == 1
    assert told[0] == f"  {first}: the log goes on in 1 more files; name {first.parent} for all of it"
    assert left_out == [f"{first}: attempt 2 was broken off"]


def cut(whole: Path, folder: Path, share: float) -> Path:
    """The first part of a log, as a killed recorder leaves it."""
    content = (whole / "log.mcap").read_bytes()
    folder.mkdir()
    (folder / "log.mcap").write_bytes(content[: round(share * len(content))])
    return folder


@pytest.mark.parametrize("share", [0.35, 0.4, 0.55, 0.7, 0.8])
def test_of_a_log_that_was_cut_off_what_is_whole_is_imported_and_what_is_cut_is_said(cell, whole, tmp_path, share):
    folder = cut(whole, tmp_path / "killed", share)
    assert is_cut(folder / "log.mcap")
    found, told, left_out = episodes([folder], cell, tmp_path / "out")
    expected, _, _ = episodes([whole], cell, tmp_path / "expected")
    assert 1 <= len(found) <= 2
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one.observation, other.observation)
        assert one.success == other.success
    assert f"{folder / 'log.mcap'}: cut off: what came after" in told[0]
    assert told[0].strip() == left_out[0]
    assert len(left_out) in (1, 2)  # an attempt was broken off, unless it was cut between two


def test_a_file_that_was_cut_off_in_the_middle_of_a_log_breaks_off_one_attempt(cell, whole, tmp_path):
    """As when the recorder is killed, and another one goes on."""
    lines, folder = said(cell), tmp_path / "killed"
    folder.mkdir()
    first = write(tmp_path / "first.mcap", cell, lines[: PACE + 30]).read_bytes()
    (folder / "log.mcap").write_bytes(first[: round(0.75 * len(first))])
    write(folder / "log_0001.mcap", cell, lines[2 * PACE - 5 :])
    found, told, left_out = episodes([folder], cell, tmp_path / "out")
    assert [e.peak_force_N for e in found] == [20, 22]
    assert len(told) == 2
    assert left_out[1] == f"{folder}: attempt 2 was broken off"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05])
def test_a_log_of_which_nothing_is_left_is_refused(cell, whole, tmp_path, share):
    folder = cut(whole, tmp_path / "killed", share)
    with pytest.raises(InputError, match=r"killed"):
        from_logs([folder], cell, tmp_path / "out", Notes())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cut_too", [False, True])
def test_a_damaged_log_is_refused(cell, whole, tmp_path, cut_too):
    folder = cut(whole, tmp_path / "damaged", 0.8 if cut_too else 1.0)
    content = bytearray((folder / "log.mcap").read_bytes())
    content[content.index(ZSTD) + 100] ^= 0xFF
    (folder / "log.mcap").write_bytes(content)
    with pytest.raises(InputError, match=r"log\.mcap: .*damaged"):
        from_logs([folder], cell, tmp_path / "out", Notes())
    assert not (tmp_path / "out").exists()


def test_a_log_whose_policy_saw_something_else_is_refused(cell, tmp_path):
    contract = contract_of(cell.spec).to_json()
    write(tmp_path / "same/log.mcap", cell, said(cell), contract=json.dumps(contract))
    assert len(episodes([tmp_path / "same"], cell, tmp_path / "out")[0]) == ATTEMPTS
    assert "contract" not in open_dataset(tmp_path / "out").lineage.made.settings["logs"][0]
    contract["observation"].reverse()
    write(tmp_path / "other/log.mcap", cell, said(cell), contract=json.dumps(contract))
    with pytest.raises(InputError, match="not those of this version"):
        from_logs([tmp_path / "other"], cell, tmp_path / "out_2", Notes())


def test_logs_of_two_deployments_in_one_folder_are_refused(cell, whole, tmp_path):
    folder = tmp_path / "both"
    shutil.copytree(whole, folder)
    later = [one | {"stamp_ns": one["stamp_ns"] + 10**12, "sensed_ns": one["sensed_ns"] + 10**12} for one in said(cell)]
    write(folder / "other.mcap", cell, later, bundle_sha256="c" * 64)
    with pytest.raises(InputError, match="of different cells or bundles"):
        from_logs([folder], cell, tmp_path / "out", Notes())
