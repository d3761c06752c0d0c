"""A handling cell on a virtual arm, in simulated time: the job, its stops, what is seen, and who moves the gripper."""

from collections.abc import Callable

import numpy as np
import pytest
from handling_loop import HandlingLoop

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import Gripper, Plant, load_hardware
from robot_rlaas.cell.kinds import deployable, insertion_only
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.control.kinematics import Pose, tool_pose
from robot_rlaas.control.rotation import about_z
from robot_rlaas.deploy.around import Surroundings
from robot_rlaas.deploy.counts import Counts
from robot_rlaas.deploy.cycle import Phase
from robot_rlaas.deploy.events import Journal
from robot_rlaas.deploy.grip import GripGuard
from robot_rlaas.deploy.handling import Handling
from robot_rlaas.deploy.job import Sensed
from robot_rlaas.deploy.virtual_arm.handling import VirtualHandlingArm
from robot_rlaas.env.handling.expert import HandlingExpert
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.driving import Drives
from robot_rlaas.sim.model import build

CELL = load_cell("machine_tending")
NOMINAL, WORN = Plant(description="as the model"), Plant(description="slow", command_delay_s=0.02, servo_gain_scale=0.9)
STAGES = CELL.task.labels
HELD_MM, OPEN_MM = 40.0, 80.0


class Expert(HandlingExpert):
    """The scripted expert, whose gripper something may tell otherwise."""

    def __init__(self, cell: CellSpec) -> None:
        super().__init__(cell, contract_of(cell), 1)
        self.grip: Callable[[float], float] = lambda wanted: wanted

    def act(self, observation: np.ndarray) -> np.ndarray:
        action = super().act(observation)
        action[:, -1] = self.grip(action[0, -1])
        return action


def loop_of(attempts: int, plant: Plant = NOMINAL, seed: int = 0) -> tuple[HandlingLoop, Expert]:
    expert = Expert(CELL)
    return HandlingLoop(CELL, expert, attempts, plant, seed), expert


def at(loop: HandlingLoop, stage: str) -> Callable[[], bool]:
    return lambda: loop.cycle.phase is Phase.RUN and loop.cycle.stage == STAGES.index(stage)


def aperture_mm(loop: HandlingLoop) -> float:
    return 1000 * loop.arm.gripper.aperture_m(loop.arm.gripper_position)


def billet_m(loop: HandlingLoop) -> np.ndarray:
    return loop.arm.truth().base[0, 0]


def test_two_billets_are_tended_past_the_gate_and_the_arm_comes_home_past_it() -> None:
    loop, _ = loop_of(2, WORN)
    loop.until(lambda: loop.cycle.finished, 150)
    attempts = loop.arm.score.closed
    assert [a.success for a in attempts] == [r.success for r in loop.cycle.results] == [True, True]
    for mine, theirs in zip(loop.cycle.results, attempts):
        assert theirs.cycle_time_s <= mine.cycle_time_s < theirs.cycle_time_s + 0.5
    assert not any(a.keep_out for a in attempts)  # on the way home neither
    assert all(a.figures["zone_speed"] <= 1 and a.figures["touch_N"] == 0 for a in attempts)
    assert loop.supervisor.counts.violations == 0, loop.supervisor.counts.to_json()
    home = tool_pose(loop.arm.workcell.chain, np.deg2rad([CELL.robot.home_deg])).p[0]
    assert np.linalg.norm(loop.arm.truth().tool.p[0] - home) < 0.01


def test_a_stop_keeps_the_grip_and_where_the_part_could_be_picked_up_again_the_attempt_goes_on() -> None:
    loop, _ = loop_of(1)
    loop.until(at(loop, "wait_at_gate"))
    loop.until(lambda: billet_m(loop)[2] > 0.06)
    loop.stop()
    loop.run(0.5)
    standing = billet_m(loop).copy()
    loop.run(3.0)
    assert aperture_mm(loop) == pytest.approx(HELD_MM, abs=2)
    assert np.linalg.norm(billet_m(loop) - standing) < 1e-3
    loop.supervisor.reset(loop.arm.time_s)
    loop.until(lambda: loop.cycle.finished, 90)
    assert [a.success for a in loop.arm.score.closed] == [True]
    assert loop.phases.count(Phase.RUN) == 1
    assert loop.cycle.results[0].cycle_time_s < loop.arm.score.closed[0].cycle_time_s - 2.5  # it did not stand for that


def test_a_stop_where_nothing_picks_the_part_up_again_ends_the_attempt_and_the_arm_brings_it_home() -> None:
    loop, _ = loop_of(2)
    loop.until(at(loop, "pass_gate"))
    loop.until(lambda: loop.arm.truth().tool.p[0, 1] > 0.1)
    loop.stop()
    loop.run(1.0)
    loop.supervisor.reset(loop.arm.time_s)
    loop.until(lambda: loop.cycle.phase is Phase.HOME, 30)
    while len(loop.arm.score.closed) < 1:
        loop.tick()
        assert loop.arm.score.closed or aperture_mm(loop) == pytest.approx(HELD_MM, abs=2)
    assert [r.success for r in loop.cycle.results] == [False]
    loop.until(lambda: loop.cycle.finished, 90)
    assert [r.success for r in loop.cycle.results] == [False, True]
    assert [a.success for a in loop.arm.score.closed] == [False, True]
    assert not loop.arm.score.closed[0].keep_out


def test_a_dropped_billet_is_a_failed_attempt_and_the_next_one_lies_in_the_tray() -> None:
    loop, expert = loop_of(2)
    loop.until(at(loop, "pass_gate"))
    expert.grip = lambda wanted: 1.0
    loop.until(lambda: loop.arm.score.ended, 10)
    assert not loop.arm.score.current.success
    assert loop.arm.score.current.stage == STAGES.index("pass_gate")
    expert.grip = lambda wanted: wanted
    loop.until(lambda: len(loop.arm.score.closed) == 1, 90)
    tray = np.array(next(f for f in CELL.task.fixtures if f.name == "tray").at_mm) / 1000
    assert np.abs(billet_m(loop) - tray).max() < 0.09
    loop.until(at(loop, "grasp_billet"), 20)


def test_parts_are_laid_anew_only_for_an_arm_that_is_out_of_the_way() -> None:
    loop, _ = loop_of(1)
    loop.until(at(loop, "wait_at_gate"))
    assert loop.arm.next_part() is None
    assert loop.arm.score.closed == []


def test_the_camera_is_off_by_no_more_than_the_cell_says_and_does_not_see_what_the_tool_hides() -> None:
    loop, _ = loop_of(1)
    off, pictures = [], 0
    while loop.cycle.phase is not Phase.RUN or loop.cycle.stage == 0:
        loop.tick()
        hidden = np.linalg.norm(billet_m(loop) - loop.arm.truth().tool.p[0]) < CELL.task.sight.hidden_mm / 1000
        if loop.arm.seen is not None:
            pictures += 1
            assert ("billet" in loop.arm.seen) is not hidden
            off += [1000 * (p - billet_m(loop)) for p, _ in loop.arm.seen.values()]
    assert pictures == pytest.approx(loop.arm.time_s / CELL.period_s, abs=1)
    assert np.abs(np.mean(off, axis=0)).max() < 1.6
    assert 0.1 < np.std(off, axis=0)[:2].max() < 0.6


def test_the_way_home_leads_by_both_sides_of_a_door_and_not_through_a_closed_one() -> None:
    workcell = build(CELL)
    job = Handling(CELL, workcell.chain, workcell.envelope)
    home = np.deg2rad(np.array(CELL.robot.home_deg))
    assert [q.tolist() for q in job.way_home(home)] == [home.tolist()]
    beyond = home + np.deg2rad([65, 0, 0, 0, 0, 0])
    behind, before, last = job.way_home(beyond)
    named = {label: stage for label, stage in zip(STAGES, CELL.task.stages)}
    passed = 1000 * tool_pose(workcell.chain, np.array([behind, before])).p
    assert passed == pytest.approx(np.array([named["pass_gate"].to_mm, named["wait_at_gate"].to_mm]), abs=0.1)
    path = behind + np.linspace(0, 1, 40)[:, None] * (before - behind)  # 2 s
    around = Surroundings(CELL.task, gripper())
    around.measure(["knuckle"], [0.4])
    around.see("billet", Pose(np.eye(3)[None], np.zeros((1, 3))))
    free = []
    for gate in (1.0, 0.0, 0.5, *[1.0] * 53):
        around.hear({"vise": 1.0, "gate": gate})
        job.sense(Sensed(0.0, home, np.zeros(6), None, around.now()))
        free.append(job.free(path))
        assert job.free(np.array([home, last]))
    assert free[:3] == [False] * 3  # nobody knows for how long it has been open, then it is closed
    assert free[3]  # it stays open for 3.6 s
    assert not free[-1]  # for 1 s


def test_what_a_cell_must_have_to_be_deployed() -> None:
    for name in ("machine_tending", "kitting", "peg_insertion"):
        deployable(load_cell(name))
    armless = CELL.model_copy(update={"robot": CELL.robot.model_copy(update={"hardware": "ur10e"})})
    with pytest.raises(InputError, match="names no gripper"):
        deployable(armless)
    with pytest.raises(InputError, match="nobody observes the plate"):
        deployable(load_cell("peg_insertion_camera"))
    with pytest.raises(InputError, match="takes --until deploy"):
        insertion_only(CELL)


def gripper() -> Gripper:
    return Gripper(joint="knuckle", closed=0.8, open=0.0, aperture_mm=(0, 50, 85))


def test_a_grippers_positions_are_told_from_its_table() -> None:
    known = gripper()
    assert [known.position(s) for s in (0, 0.25, 1)] == pytest.approx([0.8, 0.6, 0.0])
    assert known.share(0.6) == pytest.approx(0.25)
    assert [known.aperture_m(p) for p in (0.8, 0.6, 0.4, 0.2, -1.0)] == pytest.approx([0, 0.025, 0.05, 0.0675, 0.085])
    with pytest.raises(ValueError, match="both closed and open"):
        Gripper(joint="a", closed=1.0, open=1.0, aperture_mm=(0, 1))


@pytest.mark.parametrize("name", ["machine_tending", "kitting"])
def test_the_profiles_apertures_are_those_of_the_model(name: str) -> None:
    cell = load_cell(name)
    workcell = build(cell)
    batch, known = CpuBackend(workcell, cell, 1).batch, load_hardware(cell.robot.hardware).moved_gripper
    drives = Drives(cell, workcell.model, batch, len(workcell.profile.joints))
    for share in np.linspace(0.25, 1, 9):  # from some millimetres on
        opening = np.concatenate([[share], np.ones(drives.count - 1)])[None]
        told = known.aperture_m(known.position(float(share) * cell.task.grip.open_share))
        assert told == pytest.approx(drives.aperture_m(opening)[0], abs=5e-4)


def test_an_arm_without_a_gripper_is_no_arm_for_a_handling_cell() -> None:
    other = load_hardware("ur10e")
    with pytest.raises(InputError, match="names no gripper"):
        _ = other.moved_gripper


def guard() -> GripGuard:
    return GripGuard(gripper(), 0.05, Counts(("a",)), Journal())


@pytest.mark.parametrize(
    ("names", "position", "age_s", "said"),
    [
        (["knuckle"], [float("nan")], 0.0, "no number"),
        (["knuckle"], [0.81], 0.0, "beyond its range"),
        (["knuckle"], [-0.01], 0.0, "beyond its range"),
        (["finger"], [0.4], 0.0, "of knuckle alone"),
        (["knuckle"], [], 0.0, "of knuckle alone"),
        (["knuckle"], [0.4], 1.0, "too old"),
    ],
)
def test_nonsense_does_not_reach_the_gripper(names, position, age_s, said) -> None:
    counts, journal = Counts(("a",)), Journal()
    own = GripGuard(gripper(), 0.05, counts, journal)
    assert own.receive(names, position, age_s, 1.0, stands=False) is None
    assert (counts.rejected["grip"], counts.violations) == (1, 1)
    (event,) = journal
    assert said in event.line


def test_what_is_within_its_range_reaches_the_gripper_but_nothing_while_the_arm_has_to_stand() -> None:
    assert guard().receive(["knuckle"], [0.8], 0.01, 1.0, stands=False) == 0.8
    own = guard()
    assert own.receive(["knuckle"], [0.0], 0.01, 1.0, stands=True) is None
    assert own._counts.violations == 0


def test_nothing_is_known_of_a_cell_until_all_of_it_was_heard() -> None:
    around = Surroundings(CELL.task, gripper())
    lies = Pose(about_z(np.array([0.1])), np.array([[0.4, -0.3, 0.02]]))
    around.measure(["elbow", "knuckle"], [1.0, 0.4])
    around.see("billet", lies)
    around.hear({"vise": 1.0})
    assert around.now() is None
    around.hear({"gate": 0.5})
    now = around.now()
    assert now is not None
    assert (now.aperture_m[0], now.openings.tolist()) == (0.05, [[1.0, 0.5]])
    assert now.sighting.yaw[0, 0] == pytest.approx(0.1)
    assert now.sighting.fresh.tolist() == [[True]]
    assert around.now().sighting.fresh.tolist() == [[False]]  # once is not twice


def test_parts_that_are_seen_while_they_are_laid_anew_do_not_count() -> None:
    around = Surroundings(CELL.task, gripper())
    lies = Pose(about_z(np.array([0.1])), np.array([[0.4, -0.3, 0.02]]))
    around.measure(["knuckle"], [0.4])
    around.hear({"vise": 1.0, "gate": 1.0})
    around.see("billet", lies)
    around.forget()
    around.see("billet", lies)
    assert around.now() is None
    around.expect()
    around.see("billet", lies)
    assert around.now() is not None


def test_doors_go_on_by_their_own_clock_while_parts_are_laid_anew() -> None:
    arm, gate = VirtualHandlingArm(CELL, NOMINAL, 1), []
    for i in range(1000):
        arm.tick(None)
        gate.append(arm.openings["gate"])
        if i == 500:
            assert arm.next_part() is not None
    assert np.abs(np.diff(gate)).max() < 0.05
    assert min(gate) < 0.02
    assert max(gate) > 0.98
