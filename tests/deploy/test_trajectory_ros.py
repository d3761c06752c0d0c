"""A deployment over a joint_trajectory_controller, its log in several files; real nodes, real time, a virtual arm."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader
from test_deploy_ros import Run, kill, processes_of

from robot_rlaas.calibrate.log import read_recording
from robot_rlaas.cell.hardware import Line
from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.deploy import names
from robot_rlaas.deploy.run import DeploymentError, deploy
from robot_rlaas.jobs.demos_import import read_deployment
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.sim.model import build

# rclpy's message generator imports a parser that imports a deprecated module
pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")]

DOMAIN = 71
TOPIC = "/scaled_joint_trajectory_controller/joint_trajectory"
LOG_MB = 0.05
TRAJECTORY = Line(controller="trajectory")


@pytest.fixture(scope="module")
def run(bundle, trust, tmp_path_factory) -> Run:
    """Through the controller that ur_robot_driver starts by default, which is not the profile's own."""
    out, events = tmp_path_factory.mktemp("deployment") / "deployment", list[str]()
    out.mkdir()
    (out / "log_0099.mcap").write_bytes(b"of a deployment before this one")
    options = {"attempts": 1, "domain_id": DOMAIN, "log_mb": LOG_MB, "line": TRAJECTORY, "on_event": events.append}
    return Run(out, deploy(bundle, out, trust=trust, **options), events)


def parts(out: Path) -> list[Path]:
    return sorted(out.glob("*.mcap"))


def messages(out: Path, topic: str) -> list[tuple[int, object]]:
    """(log time, ns, message) of a topic, in the order of time."""
    found = []
    for file in parts(out):
        with file.open("rb") as opened:
            reader = make_reader(opened, decoder_factories=[DecoderFactory()])
            found += [(m.log_time, content) for *_, m, content in reader.iter_decoded_messages(topics=[topic])]
    return sorted(found, key=lambda one: one[0])


def test_the_arm_inserts_without_a_violation(run):
    assert [a["success"] for a in run.deployment.attempts] == [True]
    assert run.deployment.violations == 0, run.deployment.supervisor
    assert processes_of(run.out) == []
    assert "refused" not in (run.out / "logs/virtual_arm.txt").read_text()


def test_every_trajectory_goes_on_from_the_last_one_and_ends_at_rest(run):
    sent = [message for _, message in messages(run.out, TOPIC)]
    assert len(sent) > 500
    assert all(not any(m.points[-1].velocities) for m in sent)
    assert max(len(m.points) for m in sent) > 3
    assert {m.points[0].time_from_start.nanosec for m in sent} == {0}
    begins, leads = (np.array([m.points[i].positions for m in sent]) for i in (0, 1))
    assert np.abs(begins[1:] - leads[:-1]).max() < 0.01
    assert np.median(np.abs(begins[1:] - leads[:-1]).max(1)) < 1e-4


def test_the_trajectories_lead_through_the_targets_interpolated(run):
    targets = np.array([list(m.points[0].positions) for _, m in messages(run.out, names.TARGET)])
    leads = np.array([m.points[1].positions for _, m in messages(run.out, TOPIC)])
    moving = np.flatnonzero(np.abs(np.diff(targets, axis=0)).max(1) > 1e-3)[:40]

    def sent(q: np.ndarray) -> bool:
        return bool(np.abs(leads - q).max(1).min() < 1e-9)

    whole = [all(sent(setpoint(tuple(targets[i : i + 3]), (j + 1) / 5)) for j in range(5)) for i in moving]
    assert np.mean(whole) > 0.6


def test_calibration_reads_the_commands(run, cell):
    log, _ = read_recording(run.out, build(cell).profile)
    assert len(log.command_time_s) > 500
    later = np.searchsorted(log.time_s, log.command_time_s + 0.03).clip(max=len(log.time_s) - 1)
    assert np.median(np.abs(log.q_rad[later] - log.command_rad).max(1)) < 0.01


def test_every_file_of_the_log_is_complete_by_itself(run):
    files = parts(run.out)
    assert [f.name for f in files] == ["log.mcap", *(f"log_{i:04d}.mcap" for i in range(1, len(files)))]
    assert len(files) > 2
    for number, file in enumerate(files):
        with file.open("rb") as opened:
            reader = make_reader(opened)
            (said,) = [record.metadata for record in reader.iter_metadata()]
            summary = reader.get_summary()
        assert summary is not None
        assert {c.topic for c in summary.channels.values()} >= {TOPIC, "/joint_states", names.OBSERVATION}
        assert (said["bundle_sha256"], said["part"]) == (run.deployment.bundle_sha256, str(number))
        assert json.loads(said["contract"])["observation"]
        with AnyReader([file]) as bag:
            assert bag.message_count == summary.statistics.message_count > 0
    sizes = [file.stat().st_size for file in files[:-1]]
    assert all(1e6 * LOG_MB < size < 1e6 * LOG_MB + 60e3 for size in sizes)


def test_no_message_is_lost_between_two_files(run):
    stamps = np.array([at for at, _ in messages(run.out, "/joint_states")]) * 1e-9
    assert np.median(np.diff(stamps)) == pytest.approx(0.01, abs=1e-4)
    assert np.diff(stamps).max() < 0.05
    assert np.diff(stamps).min() > 0


def test_an_attempt_in_several_files_is_one(run, cell):
    log = read_deployment(run.out, Cell(cell, build(cell), run.out))
    (attempt,) = log.attempts
    assert attempt.result is not None
    assert attempt.result["success"]
    said = [json.loads(m.data) for _, m in messages(run.out, names.OBSERVATION)]
    acted = np.array([one["sensed_ns"] for one in said if one["seen"] is not None])
    np.testing.assert_array_equal(attempt.stamp_ns, acted)
    ends = [max(at for at, _ in messages_of(file)) for file in parts(run.out)[:-1]]
    assert any(acted[0] < end < acted[-1] for end in ends)
    assert (len(log.parts), log.cut, log.more) == (len(parts(run.out)), [], [])


def messages_of(file: Path) -> list[tuple[int, str]]:
    """(log time, ns, topic) of a file."""
    with file.open("rb") as opened:
        return [(m.log_time, c.topic) for _, c, m in make_reader(opened).iter_messages()]


def test_an_arm_whose_watchdog_is_killed_brakes_and_stands_where_the_last_point_is(bundle, trust, tmp_path):
    """Nobody commands it any more: the controller plays what it has to its end."""
    out = tmp_path / "deployment"

    def on_event(line: str) -> None:
        if "active" in line:
            time.sleep(2.5)  # it moves over the hole
            kill(out, "watchdog")
            time.sleep(1.0)  # before anybody looks after it, and ends the rest

    options = {"attempts": 1, "domain_id": DOMAIN + 1, "line": TRAJECTORY, "on_event": on_event}
    with pytest.raises(DeploymentError, match="'watchdog' ended with code -9"):
        deploy(bundle, out, trust=trust, **options)
    (last_ns, last), states = messages(out, TOPIC)[-1], messages(out, "/joint_states")
    assert np.abs(last.points[1].velocities).max() > 0.01, "it was killed in motion"
    name = states[-1][1].name
    rest = [dict(zip(last.joint_names, last.points[-1].positions))[joint] for joint in name]
    after = np.array([m.position for at, m in states if at > last_ns + 0.4e9])
    assert len(after) > 3
    assert np.abs(after - rest).max() < 0.01
