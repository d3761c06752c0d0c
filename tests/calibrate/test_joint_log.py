import numpy as np
import pytest
from hidden_plant import Motion, cut_off, write_mcap

from robot_rlaas.calibrate.bag import data_file, lost
from robot_rlaas.calibrate.log import read_log, reversals
from robot_rlaas.cell.errors import InputError

T = np.arange(0, 4, 0.01)
WAVE = 0.1 * np.sin(2 * np.pi * 1.5 * T)[:, None] * np.arange(1, 7)
GOOD = Motion(T, WAVE, WAVE + 0.001)


def read(tmp_path, workcell, motion, **how):
    return read_log(write_mcap(tmp_path / "log.mcap", workcell, motion, **how), workcell.profile)


@pytest.mark.parametrize("offset_s", [0.0, -0.02, -86400.0, 3600.0])
def test_joints_by_name_on_one_clock(tmp_path, workcell, offset_s):
    log = read(tmp_path, workcell, GOOD, stamp_offset_s=offset_s)
    late = 2 if offset_s == -0.02 else 0  # a stamp of the same clock is when it was measured, not when it was logged
    np.testing.assert_allclose(log.q_rad, WAVE[late:], atol=1e-12)
    np.testing.assert_allclose(log.time_s, T[late:] - 0.01 * late, atol=1e-6)


def test_commands_count_from_the_tick_that_takes_them_up(tmp_path, workcell):
    log = read(tmp_path, workcell, GOOD, stamp_offset_s=-0.004)  # every command comes 4 ms after a tick
    held = log.command_rad[np.searchsorted(log.command_time_s, 0.5, side="right") - 1]
    tick = log.time_s[log.time_s <= 0.5][-1]
    np.testing.assert_allclose(held, GOOD.command_rad[np.searchsorted(T, tick + 1e-6) - 1], atol=1e-12)


def test_reversals_ignore_noise():
    rng = np.random.default_rng(0)
    assert reversals(WAVE[:, 0] + 1e-4 * rng.standard_normal(len(T))) == 12
    assert reversals(1e-4 * rng.standard_normal(1000)) == 0
    assert reversals(np.linspace(0, 1, 1000)) == 0


def edited(kind: str) -> Motion:
    still = WAVE.copy()
    if kind == "constant":
        still[:, 2] = 0.3
    if kind == "no_reversals":
        still[:, 4] = np.linspace(0, 0.5, len(T))
    keep = {"slow": slice(None, None, 7), "short": slice(0, 60)}.get(kind, slice(None))
    if kind == "gap":
        keep = (T < 1.0) | (T > 1.5)
    if kind == "nan":
        still[50, 1] = np.nan
    return Motion(T[keep], still[keep], (WAVE + 0.001)[keep])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("constant", r"constant pose: elbow_joint \(0.0000 rad\)\n  fix: record a motion"),
        ("no_reversals", r"too few velocity reversals.*wrist_2_joint \(0\)\n  fix: .*friction"),
        ("slow", r"at 14.3 Hz; at least 30 Hz.*\n  fix: record them at 100 Hz"),
        ("short", r"60 joint states; at least 100"),
        ("gap", r"no joint states for 0.52 s, 0.99 s after the start"),
        ("nan", r"not finite"),
    ],
)
def test_log_that_tells_too_little_is_refused(tmp_path, workcell, kind, message):
    motion = edited(kind)
    if kind == "slow":
        long = np.arange(0, 20, 0.07)
        wave = 0.1 * np.sin(2 * np.pi * 0.5 * long)[:, None] * np.arange(1, 7)
        motion = Motion(long, wave, wave)
    with pytest.raises(InputError, match=message):
        read(tmp_path, workcell, motion)


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_of_a_file_that_was_cut_off_what_is_whole_is_read(tmp_path, workcell, share):
    whole = write_mcap(tmp_path / "whole.mcap", workcell, GOOD)
    path = cut_off(whole, tmp_path / "log.mcap", share)
    log = read_log(path, workcell.profile)
    assert 0.7 * share * len(T) < len(log.time_s) < len(T)
    np.testing.assert_allclose(log.q_rad, WAVE[: len(log.q_rad)], atol=1e-12)
    (line,) = lost(path)
    assert line.startswith("log.mcap: cut off: what came after 14:13:2")  # the log begins at 14:13:20 UTC
    assert data_file(path).model_dump()["lost"] == (line,)
    assert "lost" not in data_file(whole).model_dump()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (0, "no MCAP file, or a damaged one"),
        (5, "no MCAP file, or a damaged one"),
        (400, "no message on /joint_states"),
        (9000, r"joint states; at least 100 are needed\n  fix: record a motion"),
    ],
)
def test_a_file_of_which_too_little_is_left_is_refused(tmp_path, workcell, part, message):
    path = write_mcap(tmp_path / "log.mcap", workcell, GOOD)
    path.write_bytes(path.read_bytes()[:part])
    with pytest.raises(InputError, match=rf"log\.mcap: .*{message}"):
        read_log(path, workcell.profile)


def test_a_file_that_is_damaged_before_its_end_was_cut_off_is_refused(tmp_path, workcell):
    path = cut_off(write_mcap(tmp_path / "whole.mcap", workcell, GOOD), tmp_path / "log.mcap", 0.8)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    for read_it in (lost, lambda log: read_log(log, workcell.profile)):
        with pytest.raises(InputError, match=r"log\.mcap: it was cut off, and is damaged before that"):
            read_it(path)


def test_damaged_file_is_refused_or_read_whole(tmp_path, workcell):
    path = write_mcap(tmp_path / "log.mcap", workcell, GOOD)
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    refused = 0
    for at in rng.integers(0, len(content), 25):
        broken = content.copy()
        broken[at] ^= 0xFF
        path.write_bytes(broken)
        try:
            read_log(path, workcell.profile)
        except InputError:
            refused += 1
    assert refused > 15


def test_missing_file_joint_and_topic(tmp_path, workcell):
    with pytest.raises(InputError, match="cannot read the file"):
        read_log(tmp_path / "none.mcap", workcell.profile)
    path = write_mcap(tmp_path / "log.mcap", workcell, GOOD)
    other = workcell.profile.model_copy(update={"joints": (*workcell.profile.joints[:5], "axis_6")})
    with pytest.raises(InputError, match="lacks axis_6; it has wrist_1_joint"):
        read_log(path, other)
    topics = workcell.profile.topics.model_copy(update={"command": "/elsewhere"})
    with pytest.raises(InputError, match="no message on /elsewhere"):
        read_log(path, workcell.profile.model_copy(update={"topics": topics}))
