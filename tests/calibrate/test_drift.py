import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hidden_plant import Motion, cut_off, follow, known, write_mcap

from robot_rlaas.calibrate.drift.cusum import CLIP, cycles_to_notice, explain, update
from robot_rlaas.calibrate.drift.drift import drift
from robot_rlaas.calibrate.drift.production import Score, Scorer, cut, read_cycles
from robot_rlaas.calibrate.drift.watch import REFERENCE_CYCLES, begin, load
from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.cell.errors import InputError
from robot_rlaas.control.kinematics import Pose, solve, tool_pose

RATE_HZ = 100
PER_FILE = 5


def go(a: np.ndarray, b: np.ndarray, seconds: float) -> np.ndarray:
    """Setpoints of a minimum-jerk motion, without its first point."""
    s = np.linspace(0, 1, round(seconds * RATE_HZ) + 1)[1:, None]
    return a + (b - a) * (10 * s**3 - 15 * s**4 + 6 * s**5)


@pytest.fixture(scope="session")
def production(cell, workcell, home_rad):
    """Makes a production cycle: from rest at home to somewhere on the plate, a push into it, and back."""
    home = tool_pose(workcell.chain, home_rad[None])
    top_m = np.array(cell.task.plate.top_mm) / 1000

    def cycle(plant, rng: np.random.Generator) -> Motion:
        xy = top_m[:2] + rng.choice([-1, 1]) * rng.uniform(0.025, 0.045, 2)
        corners = np.array([[*xy, top_m[2] + 0.006], [*xy, top_m[2] - 0.002]])
        above, pushed = solve(workcell.chain, Pose(np.repeat(home.R, 2, axis=0), corners), np.tile(home_rad, (2, 1)))[0]
        rest = np.tile(home_rad, (40, 1))
        way = [rest, go(home_rad, above, 0.9), go(above, pushed, 0.4), go(pushed, above, 0.4), go(above, home_rad, 0.9)]
        return follow(workcell, plant, np.concatenate([*way, rest]), rng)

    return cycle


@pytest.fixture(scope="session")
def worn(hidden):
    """The same arm with 30 % more friction in its elbow."""
    friction = list(hidden.joint_friction_Nm)
    friction[2] *= 1.3
    return hidden.model_copy(update={"joint_friction_Nm": tuple(friction)})


@pytest.fixture(scope="session")
def calibration(workcell, hidden):
    return known(workcell, hidden)


@pytest.fixture(scope="session")
def scorer(cell, workcell, calibration):
    return Scorer(cell, workcell, calibration)


def record(folder, name, workcell, cycles: list[Motion], start_s: float):
    """One file of cycles, one after the other."""
    parts = []
    for cycle in cycles:
        parts.append(cycle._replace(time_s=cycle.time_s + start_s))
        start_s += cycle.time_s[-1] + 1 / RATE_HZ
    return write_mcap(folder / f"{name}.mcap", workcell, Motion(*map(np.concatenate, zip(*parts))))


@pytest.fixture(scope="session")
def days(tmp_path_factory, workcell, production, hidden, worn):
    """A day as calibrated, and one with more friction, in files."""
    folder, rng = tmp_path_factory.mktemp("production"), np.random.default_rng(0)
    days, at_s = [], 0.0
    for day, (plant, count) in enumerate(((hidden, REFERENCE_CYCLES + 2 * PER_FILE), (worn, 3 * PER_FILE))):
        days.append([])
        for i in range(count // PER_FILE):
            cycles = [production(plant, rng) for _ in range(PER_FILE)]
            days[-1].append(record(folder, f"{day}_{i:02}", workcell, cycles, at_s))
            at_s += 60.0
    return days


@pytest.fixture(scope="session")
def watched(tmp_path_factory, cell, workcell, calibration, days):
    """Both days, with a break between them: what was found, the state, and what was said."""
    state, said = tmp_path_factory.mktemp("watch") / "drift.json", []
    first = drift(cell, workcell, calibration, days[0], state, said.append)
    before = state.read_bytes()
    return first, before, drift(cell, workcell, calibration, days[1], state, said.append), state, said


def test_names_the_joint_whose_friction_rose(watched, hidden):
    first, _, found, _, said = watched
    assert first is None
    assert found is not None
    assert (found.name, found.joint) == ("joint_friction_Nm", "elbow_joint")
    assert found.cycle - 60 <= 10
    assert 58 <= found.since <= 62
    rise = 0.3 * hidden.joint_friction_Nm[2]
    assert found.lower_95 < rise < found.upper_95
    assert found.upper_95 - found.lower_95 < 0.5 * rise
    assert "joint_friction_Nm of elbow_joint has changed by +0.4" in said[-1]


def test_says_what_the_motions_do_not_show(watched):
    told = next(line for line in watched[4] if "reference" in line)
    assert "hardly show a change of" in told
    assert "armature_scale of shoulder_pan_joint" in told
    assert "joint_friction_Nm of elbow_joint" not in told
    assert "already" not in told


def test_what_was_seen_is_not_counted_again(tmp_path, cell, workcell, calibration, days, watched):
    state = tmp_path / "drift.json"
    state.write_bytes(watched[1])
    assert drift(cell, workcell, calibration, days[0][-2:], state, lambda text: None) is None
    assert state.read_bytes() == watched[1]


def test_a_finished_watch_keeps_its_finding(cell, workcell, calibration, days, watched):
    content = watched[3].read_bytes()
    assert drift(cell, workcell, calibration, days[1][-1:], watched[3], lambda text: None) == watched[2]
    assert watched[3].read_bytes() == content


def test_picture_names_the_alarm(watched):
    content = watched[3].with_suffix(".svg").read_bytes()
    ids = [element.get("id", "") for element in ET.fromstring(content).iter()]
    assert sum(i.startswith("axes_") for i in ids) == 6


def test_arm_that_is_not_the_calibrated_one(monkeypatch, cell, workcell, worn, days):
    monkeypatch.setattr("robot_rlaas.calibrate.drift.watch.REFERENCE_CYCLES", 2 * PER_FILE)
    said = []
    drift(cell, workcell, known(workcell, worn), days[0][:2], None, said.append)
    told = next(line for line in said if "reference" in line)
    assert "already differs from its calibration, most likely in joint_friction_Nm of elbow_joint by -0.4" in told


def test_contact_is_not_scored(cell, workcell, scorer, production, hidden):
    motion = production(hidden, np.random.default_rng(9))
    (log,) = cut(JointLog(motion.time_s, motion.q_rad, motion.time_s, motion.command_rad))
    in_contact = tool_pose(workcell.chain, log.q_rad).p[:, 2] < cell.task.plate.top_mm[2] / 1000 + 0.001
    assert in_contact.sum() > 10
    score = scorer.score(log)
    pushed = scorer.score(log._replace(q_rad=log.q_rad + 0.0005 * in_contact[:, None]))
    np.testing.assert_array_equal(pushed.value, score.value)
    assert np.abs(score.value).max() < 6


def test_cycles_are_cut_at_rests(workcell, days, tmp_path, production, hidden):
    cycles = read_cycles(days[0][0], workcell)
    assert len(cycles) == PER_FILE
    assert all(2.5 < np.ptp(log.time_s) < 3.5 for _, log in cycles)
    assert np.all(np.diff([at for at, _ in cycles]) > 3e9)
    motion, said = production(hidden, np.random.default_rng(8)), []
    kept = np.abs(motion.time_s - 1.5) > 0.2
    path = write_mcap(tmp_path / "gap.mcap", workcell, Motion(*(column[kept] for column in motion)))
    assert read_cycles(path, workcell, said.append) == []
    assert said == ["gap.mcap: 1 of 1 cycles have gaps and are left out"]


def test_of_a_recording_that_was_cut_off_the_cycles_before_are_scored(workcell, days, tmp_path):
    said = []
    cycles = read_cycles(cut_off(days[0][0], tmp_path / "day.mcap", 0.7), workcell, said.append)
    assert 2 <= len(cycles) < PER_FILE
    whole = read_cycles(days[0][0], workcell)
    np.testing.assert_array_equal(cycles[0][1].q_rad, whole[0][1].q_rad)
    (line,) = said
    assert line.startswith("day.mcap: cut off: what came after")


def made_up(rng, count: int, p: int, shift: np.ndarray | float = 0.0) -> list[Score]:
    """Scores of independent parameters whose changes shift them by 3 standard deviations."""
    return [Score(rng.standard_normal(p) + shift, np.full(p, 3.0), 9.0 * np.eye(p)) for _ in range(count)]


@pytest.fixture
def made_up_watch(calibration, scorer):
    suspects = scorer.suspects[:10]
    watch = begin(calibration, suspects)
    for score in made_up(np.random.default_rng(0), REFERENCE_CYCLES, len(suspects)):
        watch = update(watch, score, suspects)
    return watch, suspects


def test_no_false_alarm_in_five_thousand_cycles(made_up_watch):
    watch, suspects = made_up_watch
    for score in made_up(np.random.default_rng(1), 5000, len(suspects)):
        watch = update(watch, score, suspects)
    assert watch.found is None


def test_one_odd_cycle_raises_no_alarm(made_up_watch):
    watch, suspects = made_up_watch
    watch = update(watch, Score(np.full(10, 1e6), np.full(10, 3.0), 9.0 * np.eye(10)), suspects)
    assert watch.found is None
    assert max(watch.level) <= CLIP


def test_notices_as_soon_as_it_says(made_up_watch):
    watch, suspects = made_up_watch
    expected = cycles_to_notice(watch.reference)[4]
    shift, rng, n = 3.0 * (np.arange(10) == 4), np.random.default_rng(2), 0
    while not watch.found:
        watch, n = update(watch, made_up(rng, 1, 10, shift)[0], suspects), n + 1
    assert 0.5 * expected < n < 2 * expected
    assert (watch.found.name, watch.found.joint) == (suspects[4].name, suspects[4].joint)
    assert watch.found.since == REFERENCE_CYCLES
    assert watch.found == explain(watch, suspects)


def test_run_length_holds_under_the_worst_scores_allowed():
    """Mean 1/2, variance 1, full weight: the mean run to an alarm of any of m CUSUMs is at least `cycles`."""
    m, cycles, runs, rng = 10, 200, 400, np.random.default_rng(3)
    level, alarm = np.zeros((runs, m)), np.full(runs, 20 * cycles)
    for t in range(20 * cycles):
        level = np.maximum(0.0, level + rng.standard_normal((runs, m)) - 0.5)
        alarm = np.where((level.max(axis=1) >= np.log(m * cycles)) & (alarm > t), t + 1, alarm)
    assert alarm.mean() > cycles


def test_says_when_two_cannot_be_told_apart(made_up_watch):
    """Gain and damping that always lean together."""
    watch, suspects = made_up_watch
    twins = np.eye(10)
    twins[0, 2] = twins[2, 0] = 0.999
    rng, root = np.random.default_rng(4), np.linalg.cholesky(twins)
    watch = watch.model_copy(update={"reference": begin_reference(watch), "cycles": 0})
    for n in range(200):
        shift = 3.0 * twins[0] if n >= REFERENCE_CYCLES else 0.0
        score = Score(root @ rng.standard_normal(10) + shift, np.full(10, 3.0), 9.0 * twins)
        watch = update(watch, score, suspects) if not watch.found else watch
    assert watch.found is not None
    assert len({str(watch.found), *watch.found.alike}) == 2


def begin_reference(watch):
    zero = (0.0,) * 10
    return watch.reference.model_copy(
        update={"cycles": 0, "value": zero, "response": zero, "outer": (zero,) * 10, "information": (zero,) * 10}
    )


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: "",
        lambda text: text[:-50],
        lambda text: "[1]",
        lambda text: text.replace('"rlaas_drift":1', '"rlaas_drift":2'),
        lambda text: text.replace('"level":[', '"level":[0.0,'),
        lambda text: text.replace('"cycles":', '"cycle":', 1),
    ],
)
def test_state_that_is_none_is_refused(tmp_path, calibration, scorer, watched, edit):
    (tmp_path / "drift.json").write_text(edit(watched[1].decode()))
    with pytest.raises(InputError, match=r"drift\.json: not the state of a watch.*\n  fix: name another file"):
        load(tmp_path / "drift.json", calibration, scorer.suspects)


def test_state_of_another_calibration_is_refused(cell, workcell, worn, days, watched):
    with pytest.raises(InputError, match=r"drift\.json: this watch is of another calibration"):
        drift(cell, workcell, known(workcell, worn), days[1], watched[3])


def test_unfit_calibrations_are_refused(cell, workcell, calibration):
    bad = calibration.model_copy(update={"accepted": False, "reason": "no"})
    with pytest.raises(InputError, match="the calibration was not accepted: no\n  fix: calibrate again"):
        Scorer(cell, workcell, bad)
    joints = ("a", *calibration.heldout.joints[1:])
    bad = calibration.model_copy(update={"heldout": calibration.heldout.model_copy(update={"joints": joints})})
    with pytest.raises(InputError, match="the calibration is for the joints a, shoulder_lift"):
        Scorer(cell, workcell, bad)


def test_log_without_commands_is_refused(tmp_path, workcell, days):
    topics = workcell.profile.topics.model_copy(update={"command": "/elsewhere"})
    other = workcell._replace(profile=workcell.profile.model_copy(update={"topics": topics}))
    with pytest.raises(InputError, match=r"no message on /elsewhere\n  fix: record joint states and commands"):
        read_cycles(days[0][0], other)
