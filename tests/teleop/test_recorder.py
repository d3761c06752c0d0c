"""Recording as a conversation: wishes, starts, and what is on disk after each that is kept."""

import re
import time
from pathlib import Path

import numpy as np
import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.data.episode import Episode
from robot_rlaas.data.lerobot import read_dataset
from robot_rlaas.data.lineage import Made, read_lineage
from robot_rlaas.env.batch import Outcome
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.jobs.growing import Growing, Settings
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.jobs.recording import recorder_of, simulation
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build
from robot_rlaas.teleop.recorder import Recorder, Wish, verdict
from robot_rlaas.teleop.session import Phase
from robot_rlaas.teleop.starts import Starts

SEEDS = Seeds(0, Space.DEMONSTRATE)


def at(cell, number: int, success: bool = True) -> Episode:
    """An episode of which only the start counts."""
    start = Starts(cell, SEEDS)._drawn(np.array([number]))[0]
    nothing = np.zeros((1, 4), np.float32)
    flag, observation = np.zeros(1, bool), np.zeros((1, contract_of(cell).observation_size), np.float32)
    return Episode(number, observation, nothing, nothing, flag, success, 0.0, start, flag, flag, flag, SEEDS)


def test_the_next_start_is_the_one_that_is_furthest_from_what_is_done(cell) -> None:
    starts = Starts(cell, SEEDS)
    assert starts.next(-1) == 0
    starts.add(at(cell, 0))
    drawn = starts._share(starts._drawn(np.arange(1, 17)))
    away = np.linalg.norm(drawn - starts._share(at(cell, 0).start), axis=1)
    assert starts.next(0) == 1 + away.argmax()
    assert starts.next(-1) != 0, "it is kept already"


def test_starts_that_are_asked_for_come_first(cell) -> None:
    starts = Starts(cell, SEEDS, [at(cell, 5)], first=(9, 5, 3))
    assert [starts.next(-1), starts.next(9)] == [9, 3], "5 is kept already"
    assert starts.next(3) > 3


def test_what_is_lacking_are_thirds_of_ranges_without_a_success(cell) -> None:
    starts = Starts(cell, SEEDS)
    everything = starts.lacking()
    assert everything[:3] == ["plate x -30 to -10 mm", "plate x -10 to 10 mm", "plate x 10 to 30 mm"]
    assert "plate yaw 3.33 to 10 deg" in everything
    assert len(everything) == 3 * 12
    starts.add(at(cell, 0, success=False))
    assert starts.lacking() == everything
    starts.add(at(cell, 0))
    left = starts.lacking()
    assert len(left) == 2 * 12
    assert len({re.split(r" -?\d", name)[0] for name in left}) == 12
    for number in range(1, 30):
        starts.add(at(cell, number))
    assert not starts.lacking()


def outcome(cell, success: bool = True, time_s: float = 3.0, force_N: float = 20.0, keep_out: bool = False) -> Outcome:
    steps = round(time_s / cell.period_s)
    return Outcome(0, success, time_s if success else np.inf, force_N, keep_out, 3 if success else 1, steps, 0, (), 0)


def test_the_verdict_is_the_tasks_own_and_says_what_the_cell_would_not_allow(cell) -> None:
    stages = ("approach", "search", "insert", "done")
    assert verdict(outcome(cell), cell, stages) == "**Done** in 3.0 s, at most 20 N"
    slow = verdict(outcome(cell, time_s=7, force_N=61, keep_out=True), cell, stages)
    assert slow.endswith("but slower than allowed and more force than allowed and the tool was in a keep-out box")
    assert verdict(outcome(cell, success=False), cell, stages) == "**Failed** after 3.0 s; got as far as: search"


@pytest.fixture(scope="module")
def easy(tmp_path_factory) -> Cell:
    spec = load_cell("peg_insertion")
    return Cell(spec, build(spec), tmp_path_factory.mktemp("cell"))


def recorder_at(cell: Cell, settings: Settings, out: Path) -> Recorder:
    backend = CpuBackend(cell.workcell, cell.spec, 1, nthread=1)
    return recorder_of(cell, backend, settings, out, time.monotonic)


def expert_records(recorder: Recorder, *afterwards: str) -> None:
    """The scripted expert as fast as it goes, and what is wished then."""
    recorder.do(Wish("record"))
    while recorder.session.phase == Phase.RECORDING:
        recorder.session.step()
    for wish in afterwards:
        recorder.do(Wish(wish))


@pytest.mark.filterwarnings("ignore")
def test_what_is_kept_is_on_disk_and_recording_goes_on_where_it_was_left(easy, tmp_path: Path) -> None:
    out, settings = tmp_path / "anna", Settings(episodes=3, operator="anna", policy="expert")
    recorder = recorder_at(easy, settings, out)
    expert_records(recorder, "discard")
    assert not out.exists()
    first = int(recorder.session.place.env.episode[0])
    expert_records(recorder, "again")
    assert recorder.session.place.env.episode[0] == first
    assert recorder.told().now == f"**Ready**: start {first}"
    expert_records(recorder)
    assert "Keep it (V)" in recorder.told().todo
    recorder.do(Wish("keep"))
    assert recorder.told().now.startswith("Kept, and on disk. **Ready**")
    recorder.do(Wish("discard"))
    assert recorder.told().now.startswith("**Ready**")
    assert [e.number for e in read_dataset(out, contract_of(easy.spec))] == [first]
    recorder = recorder_at(easy, settings, out)
    assert recorder.told().data.startswith("1 of 3 successes kept.")
    expert_records(recorder, "keep", "keep")
    lineage = read_lineage(out)
    assert [a.operator for a in lineage.episodes] == ["anna", "anna"]
    assert len({a.number for a in lineage.episodes}) == 2
    assert lineage.made == Made(by="rlaas demos record", settings={"policy": "expert"})
    assert not recorder.complete


def test_the_force_is_told_while_it_is_felt_and_a_success_that_pressed_is_advised_against(easy, tmp_path: Path) -> None:
    limit_N = easy.spec.requirements.contact_force_N.limit
    recorder = recorder_at(easy, Settings(1, "anna"), tmp_path / "x")
    session = recorder.session
    x, y, z = session.pilot.goal.p
    assert recorder.told().todo.endswith("The task has to be done in 8 s.")
    recorder.do(Wish("goal", (x + 0.03, y + 0.03, z - 0.2, 0.0)))  # beside the hole, and far into the plate
    for _ in range(100):
        session.step()
    assert session.peak_N >= session.felt_N > 3
    said = f"feels **{session.felt_N:.0f} N**, at most {session.peak_N:.0f} so far, {limit_N:g} allowed"
    assert said in recorder.told().now
    session.outcome, session.phase = outcome(easy.spec, force_N=limit_N + 1), Phase.ENDED
    assert recorder.told().todo.endswith("better not keep it.")
    session.outcome = outcome(easy.spec, force_N=limit_N - 1)
    assert not recorder.told().todo.endswith("better not keep it.")


def test_moving_the_tool_begins_and_takes_over(easy, tmp_path: Path) -> None:
    recorder = recorder_at(easy, Settings(1, "anna", policy="expert"), tmp_path / "x")
    session = recorder.session
    recorder.do(Wish("record"))
    session.step()
    assert not session.taken_over
    recorder.do(Wish("nudge", (0, 0, -1, 0)))
    assert session.taken_over
    recorder.do(Wish("over"))
    assert not session.taken_over
    recorder.do(Wish("again"))
    recorder.do(Wish("goal", (0.5, 0, 0.1, 0)))
    assert session.phase == Phase.RECORDING
    assert session.taken_over
    np.testing.assert_array_equal(session.pilot.goal.p, (0.5, 0, 0.1))


@pytest.mark.filterwarnings("ignore")
def test_another_cells_dataset_is_refused(easy, tmp_path: Path) -> None:
    out = tmp_path / "anna"
    recorder = recorder_at(easy, Settings(1, "anna", policy="expert"), out)
    expert_records(recorder, "keep")
    with pytest.raises(InputError, match="another cell than peg_insertion_tight"):
        Growing(out, load_cell("peg_insertion_tight"), Made(by="a test"), ())


@pytest.mark.filterwarnings("ignore")
def test_what_the_cameras_see_is_kept_with_it(tmp_path: Path) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    cell, out = Cell.load("peg_insertion_camera"), tmp_path / "anna"
    with simulation(cell) as backend:
        recorder = recorder_of(cell, backend, Settings(2, "anna", policy="expert"), out, time.monotonic)
        seen = recorder.session.place.pictures["wrist"].astype(int)
        expert_records(recorder)
        steps = recorder.session.outcome.steps
        recorder.do(Wish("keep"))
        expert_records(recorder, "keep")
    dataset = LeRobotDataset(repo_id="local/anna", root=out, video_backend="pyav")
    assert dataset.num_episodes == 2
    for frame, same in ((0, True), (steps - 1, False)):
        stored = 255 * dataset[frame]["observation.images.wrist"].numpy().transpose(1, 2, 0)
        assert (np.abs(stored - seen).mean() < 4) == same
