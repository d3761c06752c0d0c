"""Demonstrations on a virtual arm over real ROS nodes: the scripted expert, a correction, a stop, what is stored."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from std_srvs.srv import Trigger

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import Line
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.cli import main
from robot_rlaas.data.episode import Episode
from robot_rlaas.data.lerobot import read_dataset, warm_up
from robot_rlaas.data.lineage import read_lineage
from robot_rlaas.deploy import names
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.jobs.growing import Settings
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.jobs.recording_arm import at_arm
from robot_rlaas.sim.model import build
from robot_rlaas.teleop.recorder import Recorder, Wish, run
from robot_rlaas.teleop.session import Phase

# rclpy's message generator imports a parser that imports a deprecated module; LeRobot has its own
pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore")]

DOMAIN = 92
CORRECTED = range(8, 14)  # frames of the first attempt


class Told(NamedTuple):
    """What a session left and what was told in it."""

    out: Path
    lines: list[str]
    recorder: Recorder


class Silent:
    """A watch that shows nothing."""

    def say(self, text: str) -> None: ...

    def bar(self, text: str, done: float, total: float) -> None: ...


class Script:
    """A device in nobody's hand: it lets the expert act, corrects it once, presses STOP once, and keeps the rest."""

    def __init__(self, recorder: Recorder, press_stop: Callable[[], None]) -> None:
        self._recorder, self._press_stop = recorder, press_stop
        self._stopped, self.lines = False, list[str]()

    def __call__(self) -> Iterator[Wish]:
        session, kept = self._recorder.session, self._recorder.successes
        told = " | ".join(self._recorder.told()[:2])
        if not self.lines or self.lines[-1] != told:
            self.lines.append(told)
        if kept == 2:
            raise KeyboardInterrupt
        if session.phase is Phase.READY:
            yield Wish("record")
        elif session.phase is Phase.RECORDING:
            yield from self._during(len(session._periods), kept)
        elif session.phase is Phase.ENDED:
            yield Wish("keep" if session.outcome.success else "discard")
        elif session.place.stopped:
            yield Wish("clear")

    def _during(self, frame: int, kept: int) -> Iterator[Wish]:
        if kept == 0 and frame in CORRECTED:
            yield Wish("nudge", (0.0, 0.0, 0.5, 0.0))
        elif kept == 0 and frame == CORRECTED.stop:
            yield Wish("over")
        elif kept == 1 and not self._stopped and frame == 5:
            self._stopped = True
            self._press_stop()


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    shipped = load_cell("peg_insertion")
    exact = {"plate_bias_mm": (0, 0), "plate_bias_deg": (0, 0), "hand_offset_mm": (0, 0.1), "hand_offset_deg": (0, 0)}
    content = shipped.model_dump()
    spec = CellSpec.model_validate(content | {"variation": content["variation"] | exact})
    return Cell(spec, build(spec), tmp_path_factory.mktemp("cell"))


@pytest.fixture(scope="module")
def told(easy: Cell, tmp_path_factory: pytest.TempPathFactory) -> Told:
    out = tmp_path_factory.mktemp("recording") / "anna"
    settings = Settings(2, "anna", policy="expert", domain_id=DOMAIN, arm="virtual")
    warm_up()
    with at_arm(easy, settings, out, Silent()) as (recorder, shown):
        wire = recorder.session.place._wire
        stop = wire.create_client(Trigger, names.STOP)
        script = Script(recorder, lambda: stop.call_async(Trigger.Request()))
        ends = time.monotonic() + 60

        def show() -> None:
            assert time.monotonic() < ends, script.lines[-5:]
            shown.backend.poses()

        with pytest.raises(KeyboardInterrupt):
            run(recorder, SimpleQueue(), script, show)
    return Told(out, script.lines, recorder)


@pytest.fixture(scope="module")
def episodes(told: Told, easy: Cell) -> list[Episode]:
    return read_dataset(told.out, contract_of(easy.spec))


def stamps_s(told: Told) -> np.ndarray:
    """Of the joint states in the session's log."""
    (log,) = (told.out.parent / "anna_arm").glob("*/log.mcap")
    with log.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        found = [c.header.stamp for _, _, _, c in reader.iter_decoded_messages(topics=["/joint_states"])]
    return np.array([stamp.sec + stamp.nanosec * 1e-9 for stamp in found])


def test_lerobots_own_loader_opens_what_was_kept(told: Told, episodes: list[Episode]) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset(repo_id="local/anna", root=told.out, video_backend="pyav")
    assert (dataset.num_episodes, dataset.fps) == (2, 20)
    assert dataset.num_frames == sum(len(e.action) for e in episodes)
    first = dataset[0]
    np.testing.assert_array_equal(first["observation.state"].numpy(), episodes[0].observation[0])
    assert bool(dataset[len(episodes[0].action) - 1]["next.success"])


def test_frames_are_joint_states_of_the_arm_one_control_period_apart(
    told: Told, easy: Cell, episodes: list[Episode]
) -> None:
    logged_s, period_s = stamps_s(told), easy.spec.period_s
    between_s = (logged_s[1:] + logged_s[:-1]) / 2
    for episode in episodes:
        apart_s = np.diff(episode.stamp_s)
        assert np.median(apart_s) == pytest.approx(period_s, abs=1e-3)
        np.testing.assert_array_equal(episode.late[1:], apart_s > 1.5 * period_s)
        frames_s = logged_s[:, None] + episode.stamp_s  # for each message that the first frame may be
        off_s = np.abs(logged_s[np.searchsorted(between_s, frames_s)] - frames_s).max(axis=1)
        assert off_s.min() < 2e-6, "every frame is a message of the log"


def test_what_is_recorded_is_what_was_commanded_and_who_commanded_it(easy: Cell, episodes: list[Episode]) -> None:
    contract = contract_of(easy.spec)
    for episode in episodes:
        assert episode.success
        assert (episode.operator, episode.seeds, len(episode.start)) == ("anna", None, 0)
        last = contract.unpack(episode.observation)["last_action"]
        np.testing.assert_array_equal(last[1:], episode.executed[:-1])
        np.testing.assert_array_equal(episode.action, episode.executed)
        assert 0 < episode.peak_force_N < 100
    corrected = np.flatnonzero(episodes[0].corrected)
    assert len(corrected) >= len(CORRECTED) - 1
    assert episodes[0].action[corrected[2], 2] > 0, "it was pulled up"
    assert not episodes[1].corrected.any()


def test_a_stop_is_told_with_its_reason_and_after_a_reset_it_goes_on(told: Told) -> None:
    why = "stopped: the operator pressed STOP"
    (ended,) = [i for i, line in enumerate(told.lines) if line.startswith("**Failed**") and why in line]
    assert told.lines[ended + 1].startswith(f"**Not ready**: {why} | Clear the stop (C)")
    assert any(line.startswith("**Done**") for line in told.lines[ended + 1 :])


def test_the_lineage_says_which_arm_it_was(told: Told, easy: Cell) -> None:
    lineage = read_lineage(told.out)
    assert lineage.made.by == "rlaas demos record"
    arm = {"arm": "virtual", "plant": "ur5e_worn", "seed": 0, "hardware": "ur5e", "bundle": None}
    assert lineage.made.settings == {"policy": "expert", **arm}
    assert [a.number for a in lineage.episodes] == sorted({a.number for a in lineage.episodes})
    assert lineage.start_axes == ()
    with pytest.raises(InputError, match=r"recorded on the virtual arm .*; these would be recorded on the real arm"):
        with at_arm(easy, Settings(2, "anna", arm="real"), told.out, Silent()):
            pass


def test_it_can_be_inspected_and_says_that_nobody_can_simulate_it_again(told: Told, tmp_path: Path, capsys) -> None:
    assert main(["demos", "inspect", str(told.out), "--out", str(tmp_path / "inspection")]) == 0
    content = json.loads((tmp_path / "inspection" / "inspection.json").read_text())
    assert content["counts"]["replayed"] == 0
    (said,) = [f for f in content["findings"] if f["check"] == "replay"]
    assert "2 of 2 episodes were recorded on an arm" in said["text"]
    assert "cannot be simulated again" in capsys.readouterr().out


def test_a_serial_port_reaches_the_plan_of_the_arms_processes(easy: Cell, tmp_path: Path) -> None:
    settings = Settings(2, "anna", arm="real", line=Line("/dev/null"))
    with pytest.raises(InputError, match="'ur5e' has no driver of LeRobot's"):
        with at_arm(easy, settings, tmp_path / "x", Silent()):
            pass


@pytest.mark.parametrize(
    ("cell", "message"),
    [("kitting", "only insertion cells are demonstrated on an arm"), ("peg_insertion_camera", "")],
)
def test_cells_that_cannot_go_onto_an_arm(cell: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        with at_arm(Cell.load(cell), Settings(1, "anna", arm="virtual"), tmp_path / "x", Silent()):
            pass
    assert not list(tmp_path.iterdir())
