"""The virtual arm: the same physics as the training simulation, an individual's dynamics, honest books."""

import numpy as np
import pytest

from robot_rlaas.cell.hardware import Plant, load_plant
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.control.controller import ToolController
from robot_rlaas.control.kinematics import Pose, solve
from robot_rlaas.control.rotation import DOWN as TOOL_DOWN
from robot_rlaas.deploy.virtual_arm.arm import VirtualArm
from robot_rlaas.deploy.virtual_arm.score import Part, Scorekeeper
from robot_rlaas.env.insertion.task import task_frame
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build
from robot_rlaas.sim.variation import draw

CELL = load_cell("peg_insertion")
HOME = np.deg2rad(np.array(CELL.robot.home_deg))
NOMINAL = Plant(description="as the model says")
DOWN = np.array([[0.0, 0.0, -1.0, 0.0]])


def arm_with(seed: int = 3, **plant) -> VirtualArm:
    return VirtualArm(CELL, Plant(description="for a test", **plant), seed)


def descend(arm: VirtualArm, periods: int) -> np.ndarray:
    """Setpoints (periods, 10, k) straight down on the plate, from the model's own joint angles."""
    controller = ToolController(arm.workcell.chain, CELL.control, arm.workcell.envelope, 1)
    controller.reset(HOME[None])
    setpoints = []
    for _ in range(periods):
        controller.command(DOWN, controller.state(controller.targets[2]), np.eye(3)[None])
        setpoints.append(controller.setpoints(10)[0])
    return np.array(setpoints)


def test_with_a_nominal_plant_it_moves_and_touches_as_the_training_simulation_does():
    arm = VirtualArm(CELL, NOMINAL, 3)
    backend = CpuBackend(build(CELL), CELL, 1)
    ones, zeros = np.ones((1, 6)), np.zeros((1, 6))
    start = draw(CELL, Seeds(3, Space.DEPLOY), np.zeros(1))._replace(
        damping_scale=ones, gain_scale=ones, joint_friction_Nm=zeros, delay_s=np.zeros(1)
    )
    backend.reset(np.arange(1), start, HOME[None])
    peak_N = 0.0
    for setpoints in descend(arm, 10):
        for setpoint in setpoints[1::2]:
            reading = arm.tick(setpoint)
        physics = backend.step(np.repeat(setpoints[1::2], 2, axis=0)[None])
        peak_N = max(peak_N, float(physics.contact_N[0]))
        np.testing.assert_allclose(reading.q_rad, physics.q_rad[0], atol=1e-9)
    assert peak_N > 20
    assert arm.score.current.peak_force_N == pytest.approx(peak_N)


def test_the_wrench_is_what_the_plate_does_to_the_tool():
    arm = arm_with()
    before = arm.tick(HOME).wrench
    for setpoints in descend(arm, 9):
        for setpoint in setpoints[1::2]:
            reading = arm.tick(setpoint)
    force_N = (reading.wrench - before)[:3]
    assert force_N[2] < -20  # the tool's z points down; the plate pushes it up


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.05])
def test_a_command_takes_effect_after_the_plants_delay(delay_s):
    early, late = arm_with(), arm_with(command_delay_s=delay_s)
    paths = [np.array([a.tick(HOME + 0.01 * (i >= 5)).q_rad for i in range(40)]) for a in (early, late)]
    shift = round(delay_s / 0.01)
    np.testing.assert_allclose(paths[1][shift:], paths[0][: 40 - shift], atol=1e-6)
    np.testing.assert_allclose(paths[1][:5], np.broadcast_to(HOME, (5, 6)), atol=1e-9)


def test_a_worn_arm_lags_behind_a_nominal_one_and_its_sensors_are_noisy():
    nominal, worn = VirtualArm(CELL, NOMINAL, 0), VirtualArm(CELL, load_plant("ur5e_worn", 6), 0)
    ramp = HOME + np.arange(50)[:, None] * [0.003, 0, 0, 0, 0, 0]
    paths = [np.array([arm.tick(q).q_rad for q in ramp]) for arm in (nominal, worn)]
    assert np.all(paths[1][20:, 0] < paths[0][20:, 0] - 1e-3)
    still = np.array([VirtualArm(CELL, load_plant("ur5e_worn", 6), s).tick(None).wrench for s in range(20)])
    assert 0.5 < still[:, 0].std() < 2.0


def test_the_same_seed_brings_the_same_parts_and_the_camera_is_biased():
    one, other, third = arm_with(5), arm_with(5), arm_with(6)
    for arm in (one, other, third):
        arm.tick(None)
    seen = [[], [], []]
    for _ in range(3):
        for arm, poses in zip((one, other, third), seen):
            poses.append(arm.observed_plate.p[0])
            assert arm.next_part() is not None
            arm.tick(None)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert np.abs(np.subtract(seen[0], seen[2])[:, :2]).max() > 0.001
    true = np.array(CELL.task.plate.top_mm)[:2] / 1000 + draw(CELL, Seeds(5, Space.DEPLOY), np.arange(3)).plate_xy_m
    error = np.abs(np.array(seen[0])[:, :2] - true)
    assert 0 < error.max() <= 0.001


def test_no_part_is_changed_under_a_tool_that_is_not_clear():
    arm = arm_with()
    for setpoints in descend(arm, 10):
        for setpoint in setpoints[1::2]:
            arm.tick(setpoint)
    plate = arm.observed_plate
    assert arm.next_part() is None
    assert arm.observed_plate is plate
    for _ in range(100):
        arm.tick(HOME)
    closed = arm.next_part()
    assert closed is not None
    assert (closed.episode, closed.started, closed.success) == (0, True, False)
    assert closed.peak_force_N > 20
    assert arm.score.current.episode == 1


def test_an_attempt_that_never_left_home_is_a_failure():
    arm = arm_with()
    for _ in range(20):
        arm.tick(HOME)
    closed = arm.next_part()
    assert closed is not None
    assert (closed.started, closed.success, closed.cycle_time_s) == (False, False, None)


def watch(score: Scorekeeper, path: np.ndarray, start_s: float = 0.0) -> None:
    for i, q in enumerate(path):
        score.watch(start_s + (i + 1) * 0.01, q, 0.0)


def test_success_after_the_timeout_does_not_count():
    workcell = build(CELL)
    hole = task_frame(CELL, np.zeros((1, 2)), np.zeros(1))
    part = Part(0, hole, np.zeros((1, 3)), np.eye(3)[None])
    deep = Pose(TOOL_DOWN[None], hole.p - [[0, 0, CELL.task.depth_mm / 1000 + 1e-4]])
    inside, error = solve(workcell.chain, deep, HOME[None])
    assert error[0] < 1e-6
    quick, slow = (Scorekeeper(CELL, workcell.chain, workcell.envelope, part) for _ in range(2))
    way = HOME + np.linspace(0, 1, 100)[:, None] * (inside[0] - HOME)
    late = HOME + np.linspace(0, 1, round(CELL.task.timeout_s * 100) + 200)[:, None] * (inside[0] - HOME)
    for score, path in ((quick, way), (slow, late)):
        watch(score, np.tile(HOME, (5, 1)))
        watch(score, path, 0.05)
        score.next(part)
    assert quick.closed[0].success
    assert quick.closed[0].cycle_time_s == pytest.approx(1.0, abs=0.05)
    assert (slow.closed[0].success, slow.closed[0].cycle_time_s) == (False, None)


def test_the_books_note_a_keep_out_box():
    arm = arm_with()
    away = HOME.copy()
    away[0] += np.arctan2(0.16, 0.5)
    for share in np.linspace(0, 1, 100):
        arm.tick(HOME + share * (away - HOME))
    assert arm.score.current.keep_out
