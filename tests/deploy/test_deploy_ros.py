"""Real nodes in separate processes, real time, a virtual arm; the network is the hand-made one of conftest."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.records import Footer, Message
from mcap.stream_reader import StreamReader
from mcap_ros2.decoder import DecoderFactory
from rclpy.executors import SingleThreadedExecutor
from samples import Notes
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robot_rlaas.bundle import Trust, build_bundle, load_bundle
from robot_rlaas.cell.errors import InputError
from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.data.opened import open_dataset
from robot_rlaas.deploy import names
from robot_rlaas.deploy.plan import Station, arm_processes, plan
from robot_rlaas.deploy.ros.process import LATCHED, RELIABLE, to_time
from robot_rlaas.deploy.run import Deployment, DeploymentError, deploy, started
from robot_rlaas.files import sha256_file
from robot_rlaas.jobs.demos_import import from_logs, read_deployment
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.sim.model import build

# rclpy's message generator imports a parser that imports a deprecated module
pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")]

DOMAIN = 61
VIRTUAL = {"arm": "virtual", "plant": "ur5e_worn", "seed": 0}
STREAMS = ("/joint_states", "/force_torque_sensor_broadcaster/wrench", "/forward_position_controller/commands")


class Run(NamedTuple):
    out: Path
    deployment: Deployment
    events: list[str]


@pytest.fixture(scope="module")
def run(bundle, trust, tmp_path_factory) -> Run:
    out, events = tmp_path_factory.mktemp("deployment") / "deployment", list[str]()
    return Run(out, deploy(bundle, out, trust=trust, attempts=2, domain_id=DOMAIN, on_event=events.append), events)


@pytest.fixture(scope="module")
def messages(run) -> dict[str, list]:
    """(channel's message record, decoded message) by topic."""
    found: dict[str, list] = {}
    with (run.out / "log.mcap").open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        for _, channel, message, content in reader.iter_decoded_messages():
            found.setdefault(channel.topic, []).append((message, content))
    return found


def processes_of(out: Path) -> list[int]:
    """Ids of living processes whose command line names `out`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(out) in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def kill(out: Path, name: str) -> None:
    (pid,) = [p for p in processes_of(out) if f"{name}.json" in Path(f"/proc/{p}/cmdline").read_text()]
    os.kill(pid, signal.SIGKILL)


def test_the_arm_counts_two_insertions_and_the_supervisor_no_violation(run):
    deployment = run.deployment
    assert [a["success"] for a in deployment.attempts] == [True, True]
    assert (deployment.successes, deployment.counted_by) == (2, "virtual_arm")
    assert deployment.violations == 0, deployment.supervisor
    assert deployment.supervisor["targets"] > 100
    assert 0 < deployment.latency["p50_s"] < 0.05
    assert all(0 < a["cycle_time_s"] < 8 for a in deployment.attempts)
    assert all(0 < max(a["peak_force_N"], a["way_back_force_N"]) < 100 for a in deployment.attempts)
    assert [e for e in run.events if e.startswith("attempt 2 of 2: success")]


def test_what_happened_is_written_down(run, bundle):
    written = json.loads((run.out / "deployment.json").read_text())
    assert written == json.loads(json.dumps(run.deployment._asdict()))
    assert written["bundle_sha256"] == load_bundle(bundle).sha256
    assert written["origin"].startswith("signed by tester")
    assert written["trusted"]
    assert run.events[0].endswith(written["origin"])
    assert (run.events[1], written["domain_rule"]) == ("operating domain: enforced", "enforce")
    assert (written["plant"], written["domain_id"]) == ("ur5e_worn", DOMAIN)
    assert json.loads((run.out / "supervisor.json").read_text()) == written["supervisor"]


def test_what_the_policy_saw_is_held_against_what_it_was_qualified_on(run):
    told, own = run.deployment.domain, json.loads((run.out / "policy.json").read_text())["results"]
    assert told is not None
    assert [a["periods"] for a in told["attempts"]] == [pytest.approx(r["cycle_time_s"] / 0.05, abs=2) for r in own]
    assert all(a["worst"] > 0 and a["frozen"] == [] for a in told["attempts"])


def test_no_process_is_left(run):
    assert processes_of(run.out) == []


def test_the_log_holds_every_stream_at_its_rate_and_says_whose_it_is(run, messages):
    assert set(messages) - {names.EVENTS} == {
        *STREAMS,
        names.TARGET,
        names.OBSERVATION,
        names.PLATE,
    }  # a busy machine has events
    for topic in STREAMS[:2]:
        stamps = np.array([m.log_time for m, _ in messages[topic]]) * 1e-9
        assert np.median(np.diff(stamps)) == pytest.approx(0.01, abs=1e-4)
        for message, content in messages[topic][::50]:
            assert message.log_time == content.header.stamp.sec * 10**9 + content.header.stamp.nanosec
    assert len(messages[names.PLATE]) == 3
    with (run.out / "log.mcap").open("rb") as file:
        metadata = {r.name: r.metadata for r in make_reader(file).iter_metadata()}
    assert metadata["robot_rlaas"]["bundle_sha256"] == run.deployment.bundle_sha256
    assert metadata["robot_rlaas"]["cell_hash"] == run.deployment.cell_hash
    assert metadata["robot_rlaas"]["operating_domain"] == "enforce"


def test_the_log_says_what_the_policy_saw_and_did_for_each_target(run, messages, bundle):
    said = [json.loads(content.data) for _, content in messages[names.OBSERVATION]]
    stamps = [m.log_time for m, _ in messages[names.TARGET]]
    assert [one["stamp_ns"] for one in said] == stamps
    acted = [one for one in said if one["seen"] is not None]
    assert len(acted) == sum(a["periods"] for a in run.deployment.domain["attempts"])
    assert all(one["action"] is None for one in said if one["seen"] is None)
    assert np.abs([one["action"] for one in acted]).max() <= 1.0
    domain = load_bundle(bundle).domain
    scores = domain.scores(np.array([one["seen"] for one in acted], np.float32))
    assert max(scores) == pytest.approx(max(a["worst"] for a in run.deployment.domain["attempts"]), rel=1e-5)


def test_the_log_comes_back_as_demonstrations(run, messages, bundle, cell, tmp_path):
    """Frame by frame what the policy saw, and what its network does when it sees that."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    out, deployed = tmp_path / "deployed", Cell(cell, build(cell), tmp_path)
    result = from_logs([run.out], deployed, out, Notes())
    assert result.text == f"2 episodes, 2 successes: {out}"
    opened, loaded = open_dataset(out), load_bundle(bundle)
    said = [json.loads(content.data) for _, content in messages[names.OBSERVATION]]
    seen = np.array([one["seen"] for one in said if one["seen"] is not None], np.float32)
    assert np.array_equal(np.concatenate([e.observation for e in opened.episodes.values()]), seen)
    for episode, attempt in zip(opened.episodes.values(), run.deployment.attempts):
        own = np.concatenate([loaded.policy().act(row[None]) for row in episode.observation])
        assert episode.action == pytest.approx(np.clip(own, -1, 1), abs=1e-6)
        assert episode.peak_force_N == pytest.approx(attempt["peak_force_N"])
        assert np.median(np.diff(episode.stamp_s)) == pytest.approx(deployed.spec.period_s, abs=1e-4)
    (log,) = opened.lineage.made.settings["logs"]
    assert (log["sha256"], log["counted_by"]) == (sha256_file(run.out / "log.mcap"), "virtual_arm")
    assert (log["bundle_sha256"], log["operating_domain"]) == (loaded.sha256, "enforce")
    assert LeRobotDataset("local/deployed", root=out, video_backend="pyav").num_episodes == 2
    with pytest.raises(InputError, match="another cell"):
        from_logs([run.out], Cell.load("peg_insertion"), tmp_path / "other", Notes())
    assert not (tmp_path / "other").exists()


def test_the_commands_are_the_targets_interpolated(messages):
    """In most periods of the motion; in one in which the machine was late, phases differ."""
    targets = np.array([list(c.points[0].positions) for _, c in messages[names.TARGET]])
    commands = np.array([list(c.data) for _, c in messages["/forward_position_controller/commands"]])
    moving = np.flatnonzero(np.abs(np.diff(targets, axis=0)).max(1) > 1e-3)[:40]
    assert len(moving) == 40

    def sent(target: np.ndarray) -> bool:
        return bool(np.abs(commands - target).max(1).min() < 1e-9)

    whole = [all(sent(setpoint(tuple(targets[i : i + 3]), (j + 1) / 5)) for j in range(5)) for i in moving]
    assert np.mean(whole) > 0.6


def test_the_last_target_is_a_hold(messages):
    (_, before), (_, last) = messages[names.TARGET][-2:]
    assert list(last.points[0].positions) == list(before.points[0].positions)


def test_a_recorder_that_is_killed_ends_the_deployment_and_leaves_a_readable_log(bundle, trust, cell, tmp_path):
    out, since = tmp_path / "deployment", []

    def on_event(line: str) -> None:
        if "active" in line:
            time.sleep(2.0)
            since.append(time.time_ns())
            kill(out, "recorder")

    with pytest.raises(DeploymentError, match="'recorder' ended with code -9"):
        deploy(bundle, out, trust=trust, attempts=2, domain_id=DOMAIN + 1, on_event=on_event)
    assert not (out / "deployment.json").exists()
    assert processes_of(out) == []
    records = []
    with (out / "log.mcap").open("rb") as file, pytest.raises(EndOfFile):
        records.extend(StreamReader(file).records)
    times = [r.log_time for r in records if isinstance(r, Message)]
    assert not any(isinstance(r, Footer) for r in records)
    assert max(times) > since[0] - 2 * 10**9
    log = read_deployment(out, Cell(cell, build(cell), tmp_path))
    (cut,) = log.cut
    assert cut.startswith(f"{out / 'log.mcap'}: cut off: what came after ")
    assert [attempt.result for attempt in log.attempts] in ([], [None])


def test_an_interrupt_stops_everything_in_good_order(bundle, trust, tmp_path):
    out = tmp_path / "deployment"

    def on_event(line: str) -> None:
        if "active" in line:
            time.sleep(1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(bundle, out, trust=trust, attempts=2, domain_id=DOMAIN + 2, on_event=on_event)
    assert processes_of(out) == []
    assert not (out / "deployment.json").exists()
    counts = json.loads((out / "supervisor.json").read_text())
    assert (counts["deadman"], counts["rejected"]["stale"]) == (0, 0)  # the policy was deactivated: a hold came last
    with (out / "log.mcap").open("rb") as file:
        assert make_reader(file).get_summary() is not None


def test_a_changed_bundle_is_refused_before_anything_starts(bundle, trust, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    content = (copy / "network.onnx").read_bytes()
    (copy / "network.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match=r"network\.onnx"):
        deploy(copy, tmp_path / "out", trust=trust, attempts=1, domain_id=DOMAIN)
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_was_exchanged_after_it_was_checked_does_not_act(bundle, key, trust, tmp_path, monkeypatch):
    """The policy's node reads it again, in a process of its own: it must be the one that was asked about."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    mine = shutil.copytree(bundle, tmp_path / "bundle")
    planned = plan(load_bundle(mine, trust), tmp_path, attempts=1, domain_id=DOMAIN + 5, **VIRTUAL)
    build_bundle(bundle.parent, None, mine, key=key)
    talk = Talk(DOMAIN + 5)
    try:
        with started([p for p in planned if p.name == "policy"], tmp_path):
            client = talk.node.create_client(ChangeState, f"{names.POLICY_NODE}/change_state")
            talk.until(client.service_is_ready)
            transition = Transition(id=Transition.TRANSITION_CONFIGURE)
            answer = client.call_async(ChangeState.Request(transition=transition))
            talk.until(lambda: answer.done() and names.POLICY in talk.heard)
    finally:
        talk.close()
    assert not answer.result().success
    assert "exchanged after it was checked" in json.loads(talk.heard[names.POLICY])["problem"]


def test_an_unsigned_bundle_is_refused_and_shown_everywhere_if_it_is_allowed(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    unsigned, out, events = build_bundle(bundle.parent, None, tmp_path / "bundle.zip"), tmp_path / "out", list[str]()
    with pytest.raises(InputError, match="not signed"):
        deploy(unsigned, out, trust=Trust(), attempts=1, domain_id=DOMAIN + 4)
    assert not out.exists()
    talk = Talk(DOMAIN + 4)

    def on_event(line: str) -> None:
        events.append(line)
        if "active" in line:
            talk.until(lambda: names.POLICY in talk.heard)

    try:
        options = {"attempts": 1, "domain_id": DOMAIN + 4, "on_event": on_event}
        deployment = deploy(unsigned, out, trust=Trust(allow_unsigned=True), **options)
    finally:
        talk.close()
    said = "UNSIGNED, let in by --allow-unsigned"
    assert (deployment.origin, deployment.trusted) == (said, False)
    assert said in events[0]
    assert json.loads(talk.heard[names.POLICY])["bundle"] == {"sha256": deployment.bundle_sha256, "origin": said}
    with (out / "log.mcap").open("rb") as file:
        metadata = {k: v for m in make_reader(file).iter_metadata() for k, v in m.metadata.items()}
    assert metadata["bundle_origin"] == said


class Talk:
    """A node of the test's own that talks to the deployment's nodes."""

    def __init__(self, domain_id: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.node = rclpy.create_node("test", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard: dict[str, str] = {}
        self.level = b""
        for topic in (names.SUPERVISOR, names.SCORE, names.POLICY):
            self.node.create_subscription(String, topic, lambda m, t=topic: self.heard.update({t: m.data}), LATCHED)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, RELIABLE)
        self.targets = self.node.create_publisher(JointTrajectory, names.TARGET, RELIABLE)

    def _diagnosed(self, message: DiagnosticArray) -> None:
        self.level = message.status[0].level

    def until(self, condition, seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.heard
            self.executor.spin_once(timeout_sec=0.1)

    def counts(self) -> dict:
        return json.loads(self.heard.get(names.SUPERVISOR, "{}"))

    def call(self, service: str) -> Trigger.Response:
        client = self.node.create_client(Trigger, service)
        self.until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.until(future.done)
        return future.result()

    def send(self, joints, positions, age_s: float = 0.0) -> None:
        message = JointTrajectory(joint_names=list(joints), points=[JointTrajectoryPoint(positions=list(positions))])
        message.header.stamp = to_time(time.time_ns() - round(age_s * 1e9))
        self.targets.publish(message)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def test_no_target_is_taken_before_the_recorder_hears_the_arm(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    loaded = load_bundle(bundle)
    station = Station(loaded.cell, loaded.chain, loaded.envelope)
    processes = arm_processes(station, tmp_path, arm="virtual", plant="ur5e_worn", seed=0, domain_id=DOMAIN + 3)
    recorder = [process for process in processes if process.name == "recorder"]
    talk = Talk(DOMAIN + 3)
    try:
        with started([process for process in processes if process not in recorder], tmp_path):
            talk.until(lambda: talk.targets.get_subscription_count() and names.SCORE in talk.heard)
            end_s = time.monotonic() + 2.0  # four times as long as the watchdog takes to say that it is obeyed
            talk.until(lambda: time.monotonic() > end_s and talk.counts())
            talk.send(loaded.chain.joints, np.deg2rad(loaded.cell.robot.home_deg))
            talk.until(lambda: talk.counts()["rejected"]["not_ready"] == 1)
            assert not talk.counts()["ready"]
            with started(recorder, tmp_path):
                talk.until(lambda: talk.counts()["ready"])
    finally:
        talk.close()


def test_the_supervisor_and_the_feeder_answer_over_ros(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    loaded = load_bundle(bundle)
    station = Station(loaded.cell, loaded.chain, loaded.envelope)
    processes = arm_processes(station, tmp_path, arm="virtual", plant="ur5e_worn", seed=0, domain_id=DOMAIN + 3)
    home = np.deg2rad(loaded.cell.robot.home_deg)
    joints = loaded.chain.joints
    talk = Talk(DOMAIN + 3)
    try:
        with started(processes, tmp_path):
            talk.until(lambda: talk.targets.get_subscription_count() >= 2 and names.SCORE in talk.heard)
            talk.until(lambda: talk.counts().get("ready", False))
            talk.send(joints, home * np.nan)
            talk.send(joints, home, age_s=1.0)
            talk.send(("gripper", *joints[1:]), home)
            talk.send(joints[::-1], home[::-1])
            talk.send(joints[::-1], home[::-1])  # the same again: an end, not a deadman
            talk.until(lambda: talk.counts()["periods"] > 0)
            rejected = talk.counts()["rejected"]
            assert (rejected["not_finite"], rejected["stale"], rejected["names"]) == (1, 1, 1)
            assert talk.counts()["violations"] == 3
            talk.until(lambda: talk.level == b"\x01")
            assert talk.call(names.RESET).message == "was latched: nothing"
            answer = talk.call(names.NEXT_PART)
            assert answer.success
            assert json.loads(answer.message)["started"] is False
            talk.until(lambda: len(json.loads(talk.heard[names.SCORE])["attempts"]) == 1)
    finally:
        talk.close()
    assert json.loads((tmp_path / "supervisor.json").read_text())["violations"] == 3
