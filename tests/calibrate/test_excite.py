import numpy as np
import pytest

from robot_rlaas.calibrate.log import MIN_REVERSALS, reversals
from robot_rlaas.calibrate.servo.arm import Arm
from robot_rlaas.calibrate.servo.excite import demand, excitation, passes_filter, worth
from robot_rlaas.cell.errors import InputError
from robot_rlaas.control.kinematics import points, tool_pose
from robot_rlaas.control.safety import filter_target
from robot_rlaas.sim.model import build

SEEDS = range(3)


@pytest.fixture(scope="module", params=SEEDS)
def motion(request, workcell, cell, home_rad):
    return excitation(workcell, home_rad, 8.0, cell.control.rate_hz, np.random.default_rng(request.param))


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
    assert min(reversals(column) for column in setpoints.T) > 2 * MIN_REVERSALS
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
    arm = Arm(workcell)
    draws = [(np.random.default_rng(6), 3), *((rng, 1) for rng in [np.random.default_rng(6)] * 3)]
    chosen, *alone = (worth(arm, excitation(workcell, home_rad, 6.0, 20.0, rng, n)) for rng, n in draws)
    assert chosen == max(alone) > min(alone) + 1.0


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
