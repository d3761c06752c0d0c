"""Kinematics against MuJoCo, the spline's promises, and a filter that nothing gets past."""

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_rlaas.cell.spec import load_cell
from robot_rlaas.control.controller import ToolController
from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.control.kinematics import Pose, forward, solve, tool_pose
from robot_rlaas.control.rotation import matrix_from_vector, rotation_vector
from robot_rlaas.control.safety import filter_target, inside_keep_out
from robot_rlaas.sim.model import build

CELL = load_cell("peg_insertion")
WORK = build(CELL)
HOME = np.deg2rad(np.array(CELL.robot.home_deg))
PERIOD = CELL.period_s


def test_kinematics_agree_with_mujoco() -> None:
    data, rng = mujoco.MjData(WORK.model), np.random.default_rng(0)
    q = rng.uniform(-3, 3, (20, 6))
    pose, J = forward(WORK.chain, q)
    for i in range(len(q)):
        data.qpos[:6] = q[i]
        mujoco.mj_kinematics(WORK.model, data)
        mujoco.mj_comPos(WORK.model, data)
        jac = np.zeros((2, 3, WORK.model.nv))
        mujoco.mj_jacSite(WORK.model, data, jac[0], jac[1], WORK.model.site("tip").id)
        np.testing.assert_allclose(pose.p[i], data.site("tip").xpos, atol=1e-12)
        np.testing.assert_allclose(pose.R[i], data.site("tip").xmat.reshape(3, 3), atol=1e-12)
        np.testing.assert_allclose(J[i], np.concatenate(jac)[:, :6], atol=1e-12)


def test_published_ur5e_reach() -> None:
    """Stretched out, the flange is d4 + d6 = 0.2329 m beside and a2 + a3 = 0.8172 m in front of the shoulder."""
    flange = tool_pose(WORK.chain._replace(R_tool=np.eye(3), p_tool=np.zeros(3)), np.zeros((1, 6)))
    np.testing.assert_allclose(flange.p[0], [0.8172, 0.2329, 0.0628], atol=1e-6)


def test_inverse_kinematics_return_to_the_pose() -> None:
    rng = np.random.default_rng(1)
    q = HOME + rng.uniform(-0.3, 0.3, (10, 6))
    found, error = solve(WORK.chain, tool_pose(WORK.chain, q), np.broadcast_to(HOME, q.shape))
    assert error.max() < 1e-9
    np.testing.assert_allclose(tool_pose(WORK.chain, found).p, tool_pose(WORK.chain, q).p, atol=1e-9)


@given(st.lists(st.floats(-1.7, 1.7), min_size=3, max_size=3))
def test_rotation_vectors_round_trip(v: list[float]) -> None:
    vector = np.array([v])
    np.testing.assert_allclose(rotation_vector(matrix_from_vector(vector)), vector, atol=1e-7)


def test_the_spline_is_smooth_and_stays_within_its_targets() -> None:
    rng = np.random.default_rng(2)
    targets = np.cumsum(rng.normal(0, 0.02, (40, 6)), axis=0)
    phase = (np.arange(50) / 50)[:, None]
    curve = np.concatenate([setpoint(tuple(targets[i : i + 3]), phase) for i in range(38)])
    dt = PERIOD / 50
    speed = np.diff(curve, axis=0) / dt
    largest_step = np.abs(np.diff(targets, axis=0)).max(0) / PERIOD
    largest_change = np.abs(np.diff(targets, n=2, axis=0)).max(0) / PERIOD**2
    assert (np.abs(speed).max(0) <= largest_step + 1e-9).all()
    assert (np.abs(np.diff(speed, axis=0) / dt).max(0) <= largest_change + 1e-6).all()


def test_nothing_gets_past_the_filter() -> None:
    rng, n = np.random.default_rng(3), 500
    envelope = WORK.envelope
    last = rng.uniform(envelope.lower_rad, envelope.upper_rad, (n, 6))
    last = np.where(inside_keep_out(envelope, tool_pose(WORK.chain, last))[:, None], HOME, last)
    step = np.zeros_like(last)
    for _ in range(60):
        wanted = last + rng.standard_cauchy((n, 6)) * 0.3
        wanted[rng.random((n, 6)) < 0.02] = np.nan
        wanted[rng.random((n, 6)) < 0.02] = np.inf
        target = filter_target(WORK.chain, envelope, PERIOD, last, step, wanted).target_rad
        assert np.isfinite(target).all()
        assert (target >= envelope.lower_rad - 1e-9).all()
        assert (target <= envelope.upper_rad + 1e-9).all()
        assert (np.abs(target - last) <= envelope.speed_rad_s * PERIOD + 1e-9).all()
        assert (np.abs(target - last - step) <= envelope.acceleration_rad_s2 * PERIOD**2 + 1e-9).all()
        last, step = target, target - last


def test_the_filter_keeps_the_tool_out_of_the_clamp() -> None:
    """Drive the tool straight at the clamp: it must stop short of the box."""
    controller = ToolController(WORK.chain, CELL.control, WORK.envelope, 1)
    q = HOME[None].copy()
    controller.reset(q)
    blocked = False
    for _ in range(400):
        state = controller.state(q)
        filtered = controller.command(np.array([[0.0, 1.0, 0.0, 0.0]]), state, np.eye(3)[None])
        q = filtered.target_rad
        blocked |= bool(filtered.blocked[0])
        assert not inside_keep_out(WORK.envelope, tool_pose(WORK.chain, q))[0]
    assert blocked


def test_the_leash_bounds_the_lead() -> None:
    """The arm is held fast: the command must not run away from it."""
    controller = ToolController(WORK.chain, CELL.control, WORK.envelope, 1)
    q = HOME[None]
    controller.reset(q)
    for _ in range(50):
        controller.command(np.array([[0.0, 0.0, -1.0, 0.0]]), controller.state(q), np.eye(3)[None])
    lead = controller.state(q).lead[0]
    assert np.linalg.norm(lead[:3]) == pytest.approx(CELL.control.leash_mm / 1000, rel=0.05)


def test_a_step_moves_the_tool_by_that_step() -> None:
    controller = ToolController(WORK.chain, CELL.control, WORK.envelope, 1)
    q = HOME[None]
    controller.reset(q)
    start = tool_pose(WORK.chain, q)
    filtered = controller.command(np.array([[0.5, 0.0, 0.0, 0.5]]), controller.state(q), np.eye(3)[None])
    moved: Pose = tool_pose(WORK.chain, filtered.target_rad)
    np.testing.assert_allclose(moved.p[0] - start.p[0], [0.003, 0, 0], atol=2e-5)
    turned = rotation_vector(moved.R @ np.swapaxes(start.R, 1, 2))[0]
    np.testing.assert_allclose(np.rad2deg(turned), [0, 0, 1.0], atol=0.02)
