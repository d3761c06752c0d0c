"""A filter that keeps the tool slow in a speed zone, whatever is wished for, and out of joint margins."""

import numpy as np
import pytest

from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.control.controller import ToolController
from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.control.safety import ZONE_SHARE, Envelope, filter_target, tool_corners, zone_use
from robot_rlaas.sim.model import Workcell, build

SLOW = {"name": "slow", "center_mm": (500, 0, 200), "size_mm": (160, 160, 200), "speed_mm_s": 100}
CREEP = {"name": "creep", "center_mm": (500, 0, 60), "size_mm": (500, 500, 100), "speed_mm_s": 30}


@pytest.fixture(scope="module", params=["peg_insertion", "connector_mating"])
def zoned(request: pytest.FixtureRequest) -> tuple[CellSpec, Workcell]:
    """An arm of six joints and one of seven, with slow acceleration; both may be fast outside two zones."""
    said = load_cell(request.param).model_dump()
    said["requirements"] |= {
        "speed_zones": {"zones": [SLOW, CREEP], "rate": 0.01},
        "joint_margin": {"margin_deg": 5, "rate": 0.01},
    }
    cell = CellSpec.model_validate({**said, "keep_out": ()})
    return cell, build(cell)


def use(workcell: Workcell, period_s: float, path: np.ndarray) -> np.ndarray:
    """(t - 1, n) share of the zones' limits along a path (t, n, k) of joint angles, `period_s` apart."""
    corners = np.array([tool_corners(workcell.envelope, tool_pose(workcell.chain, q)) for q in path])
    return zone_use(workcell.envelope, corners[:-1], corners[1:], period_s)


def test_no_wish_makes_the_tool_fast_in_a_zone(zoned) -> None:
    """200 arms, 60 periods of wild wishes: targets keep 95 % of the limit, and so do the setpoints between them."""
    cell, workcell = zoned
    rng, n, period_s = np.random.default_rng(0), 200, cell.period_s
    home = np.deg2rad(np.array(cell.robot.home_deg))
    k = len(home)
    last = home + rng.uniform(-0.3, 0.3, (n, k))
    step, targets, slowed = np.zeros_like(last), [last, last], np.zeros(n, bool)
    goal = home + rng.uniform(-0.6, 0.6, (n, k))
    for _ in range(60):
        fresh = rng.random(n) < 0.1
        goal[fresh] = home + rng.uniform(-0.6, 0.6, (fresh.sum(), k))
        wanted = np.where(rng.random((n, 1)) < 0.1, last + 0.3 * rng.standard_cauchy((n, k)), goal)
        wanted[rng.random((n, k)) < 0.02] = np.nan
        done = filter_target(workcell.chain, workcell.envelope, period_s, last, step, wanted)
        last, step = done.target_rad, done.target_rad - last
        assert (np.abs(step) <= workcell.envelope.speed_rad_s * period_s + 1e-9).all()
        assert (np.abs(step - (targets[-1] - targets[-2])) <= _most(workcell.envelope, period_s) + 1e-9).all()
        targets.append(last)
        slowed |= done.slowed
    shares = use(workcell, period_s, np.array(targets))
    assert shares.max() <= ZONE_SHARE + 1e-9
    assert shares.max() > 0.9 * ZONE_SHARE
    assert slowed.mean() > 0.5
    phase = (np.arange(10) + 1.0)[:, None, None] / 10
    triples = zip(targets, targets[1:], targets[2:])
    fine = np.concatenate([setpoint(triple, phase) for triple in triples])
    assert use(workcell, period_s / 10, fine).max() <= 1.0


def _most(envelope: Envelope, period_s: float) -> np.ndarray:
    return envelope.acceleration_rad_s2 * period_s**2


def test_targets_stay_out_of_the_margin(zoned) -> None:
    """5 degrees, and half a degree for what a servo overshoots."""
    cell, workcell = zoned
    chain, envelope, n = workcell.chain, workcell.envelope, 100
    ends = np.array(workcell.profile.position_limit_rad)
    room = np.minimum(envelope.lower_rad - np.maximum(chain.lower_rad, ends[:, 0]),
                      np.minimum(chain.upper_rad, ends[:, 1]) - envelope.upper_rad)  # fmt: skip
    np.testing.assert_allclose(np.rad2deg(room), 5.5)
    rng, last = np.random.default_rng(1), np.tile(np.deg2rad(np.array(cell.robot.home_deg)), (n, 1))
    step, nearest = np.zeros_like(last), np.full(last.shape[1], np.inf)
    goal = rng.choice([-9.0, 9.0], last.shape)
    for _ in range(400):
        target = filter_target(chain, envelope, cell.period_s, last, step, goal).target_rad
        last, step = target, target - last
        nearest = np.minimum(nearest, np.minimum(last - envelope.lower_rad, envelope.upper_rad - last).min(axis=0))
    assert nearest.min() >= -1e-9
    assert nearest.max() < 0.02, "they go as far as they may"


def test_a_zone_elsewhere_changes_nothing(zoned) -> None:
    cell, workcell = zoned
    away = np.array([[-2.0, 0.0, 0.0]])
    there = workcell.envelope._replace(
        zone_min_m=workcell.envelope.zone_min_m + away, zone_max_m=workcell.envelope.zone_max_m + away
    )
    none = workcell.envelope._replace(zone_min_m=away[:0], zone_max_m=away[:0], zone_speed_m_s=np.zeros(0))
    last = np.deg2rad(np.array([cell.robot.home_deg])) + np.random.default_rng(2).uniform(-0.3, 0.3, (50, 1))
    one, other, slow = (
        filter_target(workcell.chain, envelope, cell.period_s, last, 0.0 * last, last + 0.5)
        for envelope in (there, none, workcell.envelope)
    )
    np.testing.assert_array_equal(one.target_rad, other.target_rad)
    assert (one.slowed.any(), slow.slowed.any()) == (False, True)


def test_it_brakes_before_the_zone_and_not_in_it(zoned) -> None:
    """Straight down at full speed: when the tool reaches the plate's zone, it already is as slow as it has to be."""
    cell, workcell = zoned
    controller = ToolController(workcell.chain, cell.control, workcell.envelope, 1)
    q = np.deg2rad(np.array([cell.robot.home_deg]))
    controller.reset(q)
    path = [q]
    for _ in range(60):
        down = np.array([[0.0, 0.0, -1.0, 0.0]])
        path.append(controller.command(down, controller.state(path[-1]), np.eye(3)[None]).target_rad)
    heights = np.array([tool_pose(workcell.chain, q).p[0, 2] for q in path])
    speed = -np.diff(heights) / cell.period_s
    entered = np.flatnonzero(heights < 0.11)[0]
    assert speed[entered - 2 :].max() <= 0.03
    assert speed[-1] == pytest.approx(0.03 * ZONE_SHARE, rel=0.05), "and no slower"


def test_an_envelope_without_zones_is_read_as_ever(zoned) -> None:
    _, workcell = zoned
    content = workcell.envelope.to_json()
    again = Envelope.from_json(content)
    np.testing.assert_array_equal(again.zone_speed_m_s, [0.1, 0.03])
    old = {key: value for key, value in content.items() if not key.startswith("zone_")}
    assert Envelope.from_json(old).zone_min_m.shape == (0, 3)
    assert len(Envelope.from_json(old).zone_speed_m_s) == 0
