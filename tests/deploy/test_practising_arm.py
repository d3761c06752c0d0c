"""Practice at an arm: attended round a virtual arm in simulated time, and once over real ROS nodes in real time."""

import json
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from samples import Notes
from wire import LATE_S, Line

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.data.attempts import kept
from robot_rlaas.data.episode import record
from robot_rlaas.deploy.demonstration import OnArm
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.tasks import expert_of
from robot_rlaas.files import write_atomic, write_json
from robot_rlaas.jobs import pipeline
from robot_rlaas.jobs.policies import load
from robot_rlaas.jobs.practising import Options
from robot_rlaas.jobs.practising_arm import AtArm, Attended, practise_on_arm
from robot_rlaas.learn.practice import Learner
from robot_rlaas.learn.practice_recipe import load_practice
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.teleop.recorder import Wish, run
from robot_rlaas.teleop.session import Phase

DOMAIN, PORT = 79, 18491
QUICK = load_practice("default").model_copy(update={"clone_epochs": 20, "critics_first": 50})
EXACT = load_practice("default").model_copy(update={"noise_std": (0.1, 0.0), "clone_epochs": 60})


class Person:
    """Lets things take their course, and lifts the tool for a while in the first attempt."""

    LIFTED = range(10, 16)

    def __init__(self, attended: Attended) -> None:
        self._attended = attended

    def __call__(self) -> Iterator[Wish]:
        session = self._attended.recorder.session
        frame = len(session._periods)
        if not self._attended.told and session.phase is Phase.RECORDING:
            if frame in self.LIFTED:
                yield Wish("nudge", (0.0, 0.0, 0.5, 0.0))
            elif frame == self.LIFTED.stop and session.taken_over:
                yield Wish("over")


@pytest.fixture(scope="module")
def practised(cell, workcell, tmp_path_factory: pytest.TempPathFactory) -> tuple[Options, Attended, Line]:
    """Three attempts: one that a person corrects, one that the supervisor changes, one that it stops."""
    options = Options("peg_insertion", Path(), EXACT, 1.0, 0, tmp_path_factory.mktemp("arm") / "out", False)
    env = BatchEnv(cell, workcell, CpuBackend(workcell, cell, 10), Seeds(0, Space.DEMONSTRATE))
    episodes = record(env, expert_of(cell, env.contract, 10), 10, 0.1, np.random.default_rng(0), lambda: None)
    learner = Learner(cell, episodes, EXACT, 0)
    learner.clone(episodes)
    write_atomic(options.network, learner.network())
    write_json(options.told, {"version": 100, "due": 0})
    line = Line(cell)
    attended = Attended(
        options, AtArm("virtual", "ur5e_worn", None), OnArm(line.station, line, scored=False), 0, {}, Notes()
    )
    person, joints = Person(attended), line.station.chain.joints

    def disturb() -> None:
        session = attended.recorder.session
        if session.phase is not Phase.RECORDING or len(session._periods) != 30:
            return
        if len(attended.told) == 1:
            line.supervisor.receive(joints, [9.0] * 6, LATE_S, line.arm.time_s)
        if len(attended.told) == 2:
            line.supervisor.fault("force", "the wrist feels too much", line.arm.time_s)

    def going_on() -> bool:
        return len(attended.told) == 3 and attended.recorder.session.phase is Phase.RECORDING

    def poll() -> Iterator[Wish]:
        if len(attended.told) == 1:
            write_json(options.told, {"version": 200, "due": 0})
        return chain(attended.poll(), person())

    run(attended.recorder, SimpleQueue(), poll, disturb, going_on)
    return options, attended, line


def test_what_a_person_did_is_marked(practised) -> None:
    first, *others = kept(practised[0].attempts)
    assert np.flatnonzero(first.corrected)[0] == Person.LIFTED[0]
    assert first.action[Person.LIFTED[2], 2] > 0, "it was pulled up"
    assert not first.corrected[-1], "and given back"
    assert not any(attempt.corrected.any() for attempt in others)


def test_each_attempt_says_which_network_acted(practised) -> None:
    assert [attempt.version for attempt in kept(practised[0].attempts)] == [100, 200, 200]


def test_an_attempt_is_cut_where_the_supervisor_changed_it_and_ended_where_it_stopped_it(practised) -> None:
    first, changed, stopped = kept(practised[0].attempts)
    assert first.ended
    assert (changed.ended, len(changed.action)) == (False, pytest.approx(30, abs=2))
    assert (stopped.ended, stopped.success) == (True, False)
    assert len(stopped.action) == pytest.approx(30, abs=2)


def test_a_stop_of_a_virtual_arm_is_cleared_and_parts_follow_each_other(practised) -> None:
    options, attended, line = practised
    assert (line.supervisor.latched, attended.recorder.session.phase) == (None, Phase.RECORDING)
    assert len(line.arm.score.closed) == 3
    assert attended.told == [attempt.success for attempt in kept(options.attempts)]


@pytest.mark.long
@pytest.mark.realtime
@pytest.mark.filterwarnings("ignore")
def test_in_real_time_the_learner_learns_beside_the_arm(cell, tmp_path: Path) -> None:
    few = load_recipe("default").model_copy(update={"demonstrations": 4})
    pipeline.demonstrate("peg_insertion", few, 0, tmp_path / "shown", Notes())
    options = Options("peg_insertion", tmp_path / "shown", QUICK, 0.5, 0, tmp_path / "practised", False)
    at, began_s = AtArm("virtual", "ur5e_worn", DOMAIN, PORT), time.monotonic()
    result = practise_on_arm(options, at, Notes())
    attempts = list(kept(options.attempts))
    assert 2 <= len(attempts) < 10
    assert result.text.startswith(f"{len(attempts)} attempts in 0.5 min")
    assert attempts[0].version < attempts[-1].version, "what it learned acts"
    assert time.monotonic() - began_s < 120
    assert load(options.out, cell, 1).kind == "policy"
    (log,) = (tmp_path / "practised_arm").glob("*/supervisor.json")
    counts = json.loads(log.read_text())
    assert counts["missed_periods"] < 0.02 * counts["periods"]
    practise_on_arm(options._replace(resume=True, minutes=0.15), at, Notes())
    assert len(list(kept(options.attempts))) > len(attempts)
