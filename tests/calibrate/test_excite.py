import numpy as np
import pytest

from robot_rlaas.calibrate.log import MIN_REVERSALS, reversals
from robot_rlaas.calibrate.servo.arm import Arm
from robot_rlaas.calibrate.servo.excite import (
    CREEP,
    CREEP_CYCLES,
    RISEN,
    SWEEP_CYCLES,
    demand,
    excitation,
    multisine,
    passes_filter,
    sweep,
    worth,
)
from robot_rlaas.cell.errors import InputError
from robot_rlaas.control.kinematics import points, tool_pose
from robot_rlaas.control.safety import filter_target
from robot_rlaas.sim.model import build


@pytest.fixture(scope="module", params=[(0, multisine), (1, multisine), (2, sweep), (3, sweep)])
def motion(request, workcell, cell, home_rad):
    seed, kind = request.param
    rng = np.random.default_rng(seed)
    return excitation(workcell, home_rad, 8.0, cell.control.rate_hz, rng, candidates=3, kinds=(kind,))


def test_safety_filter_leaves_every_target_as_it_is(motion, workcell):
    before = last = motion.targets_rad[:1]
    for wanted in motion.targets_rad:
        out = filter_target(workcell.chain, workcell.envelope, 0.05, last, last - before, wanted[None])
        np.testing.assert_allclose(out.target_rad[0], wanted, atol=1e-9)
        assert not out.limited.any()
        assert not out.blocked.any()
        before, last = last, out.target_rad


def test_tool_stays_over_the_plate(motion, workcell, cell):
    tool = tool_pose(workcell.chain, motion.setpoints(500))
    lowest_m = points(tool, workcell.envelope.guarded_m)[:, :, 2].min()
    assert lowest_m > cell.task.plate.top_mm[2] / 1000 + 0.009


def test_starts_and_ends_at_rest_at_home(motion, home_rad):
    setpoints = motion.setpoints(100)
    for end in (setpoints[:3], setpoints[-3:]):
        np.testing.assert_allclose(end, np.tile(home_rad, (3, 1)), atol=1e-9)


def test_tells_something_and_saturates_nothing(motion, workcell):
    setpoints = motion.setpoints(100)
    assert min(reversals(column) for column in setpoints.T) > MIN_REVERSALS
    arm = Arm(workcell)
    share = arm.peak_torque_Nm(setpoints, 100) / arm.torque_limit_Nm
    assert share.max() <= 0.71
    taken = demand(arm, motion, workcell.envelope)  # of the tightest of speed, acceleration and torque
    assert taken.min() > 0.7
    assert taken.max() <= 1.0


def test_two_motions_differ(motions):
    short = len(motions[1].targets_rad)
    assert np.abs(motions[0].targets_rad[:short] - motions[1].targets_rad).max() > 0.02


def test_takes_the_candidate_that_tells_most(workcell, cell, home_rad):
    arm, rng, kinds = Arm(workcell), np.random.default_rng(6), (multisine, sweep, multisine)
    alone = [worth(arm, excitation(workcell, home_rad, 7.0, 20.0, rng, 1, (kind,))) for kind in kinds]
    chosen = worth(arm, excitation(workcell, home_rad, 7.0, 20.0, np.random.default_rng(6), 3))
    assert chosen == max(alone) > min(alone) + 1.0


def test_in_a_sweep_one_joint_swings_while_the_others_rest_and_then_all_creep():
    up = np.interp(np.arange(240), [0, 20, 220, 239], [0.0, 1.0, 1.0, 0.0])
    swings = sweep(up, 0.05, 6, np.random.default_rng(0))
    moving = np.abs(swings) > 1e-9
    assert not moving[up < RISEN].any()
    risen = np.cumsum(up >= RISEN)
    creeping = risen >= 1 + (1 - CREEP) * (risen[-1] - 1)
    assert moving[~creeping].sum(axis=1).max() == 1
    assert moving[~creeping].any(axis=0).all()
    assert min(reversals(column) for column in swings[~creeping].T) >= 2 * SWEEP_CYCLES - 1
    assert moving[creeping].sum(axis=1).max() == 6
    assert np.abs(swings[creeping]).max() < 0.2 * np.abs(swings).max()
    assert min(reversals(column) for column in swings[creeping].T) >= 2 * CREEP_CYCLES[0] - 1


def test_too_short_is_refused(workcell, home_rad):
    with pytest.raises(InputError, match=r"too short\n  fix: take \d"):
        excitation(workcell, home_rad, 2.0, 20.0, np.random.default_rng(0))


def test_no_room_is_refused(cell, home_rad):
    boxed = cell.model_dump()
    boxed["keep_out"] = [{"name": "hood", "center_mm": (500, 0, 230), "size_mm": (400, 400, 20)}]
    crowded = build(type(cell).model_validate(boxed))
    with pytest.raises(InputError, match="no excitation fits"):
        excitation(crowded, home_rad, 8.0, 20.0, np.random.default_rng(0))


def test_filter_check_notices_a_jump(motion, workcell):
    jumpy = motion._replace(targets_rad=motion.targets_rad + 0.2 * (np.arange(len(motion.targets_rad)) > 50)[:, None])
    assert passes_filter(workcell, motion)
    assert not passes_filter(workcell, jumpy)
