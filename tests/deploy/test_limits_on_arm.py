"""A cell's further limits on an arm: enforced where they can be, and measured where somebody can."""

from collections.abc import Iterator

import numpy as np
import pytest

from robot_rlaas.cell.hardware import load_plant
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.control.controller import ToolController
from robot_rlaas.control.joint_path import path_to
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.control.safety import tool_corners, zone_use
from robot_rlaas.deploy.counts import Counts
from robot_rlaas.deploy.supervisor import Supervisor
from robot_rlaas.deploy.virtual_arm.arm import VirtualArm
from robot_rlaas.jobs.qualification_arm import _leave_open, outcome_of
from robot_rlaas.sim.model import Workcell, build

TICK_S, AGE_S = 0.01, 0.002
ZONE = {"name": "plate", "center_mm": (500, 0, 150), "size_mm": (300, 300, 200), "speed_mm_s": 40}


@pytest.fixture(scope="module")
def limited() -> CellSpec:
    said = load_cell("peg_insertion").model_dump()
    said["requirements"] |= {
        "contact_impulse_Ns": {"limit": 5, "quantile": 0.95, "above_N": 5},
        "speed_zones": {"zones": [ZONE], "rate": 0.01},
        "joint_margin": {"margin_deg": 10, "rate": 0.01},
        "untouched": {"surfaces": [{"name": "table"}], "rate": 0.01},
    }
    return CellSpec.model_validate({**said, "keep_out": ()})


@pytest.fixture(scope="module")
def workcell(limited) -> Workcell:
    return build(limited)


def played(
    workcell: Workcell, home: np.ndarray, period_s: float, targets: Iterator[np.ndarray]
) -> tuple[Counts, np.ndarray]:
    """A supervisor of an arm that follows at once gets a target per period: its counts, every setpoint it sent."""
    supervisor, rng = Supervisor(workcell.chain, workcell.envelope, period_s, TICK_S), np.random.default_rng(0)
    joints, now_s, sent = workcell.chain.joints, 0.0, [home]
    for target in targets:
        for tick in range(round(period_s / TICK_S)):
            now_s += TICK_S
            supervisor.feel(rng.normal(0.0, 0.1, 6).tolist(), now_s)
            supervisor.measure(joints, list(sent[-1] + rng.normal(0.0, 1e-5, len(joints))), now_s)
            if tick == 0:
                assert supervisor.receive(joints, list(target), AGE_S, now_s) is None
            setpoint = supervisor.tick(now_s)
            sent += [] if setpoint is None else [setpoint]
    return supervisor.counts, np.array(sent)


def fastest(workcell: Workcell, path: np.ndarray) -> float:
    """The largest share of the zone's speed between two setpoints."""
    corners = tool_corners(workcell.envelope, tool_pose(workcell.chain, path))
    return float(zone_use(workcell.envelope, corners[:-1], corners[1:], TICK_S).max())


def test_a_sender_that_knows_no_zone_is_slowed_down(limited, workcell) -> None:
    """Every joint swings as fast as joints may; the same targets go through where there is no zone."""
    home = np.deg2rad(np.array(limited.robot.home_deg))
    swing = [home + 0.15 * np.sin(0.3 * i) * np.array([1, 1, -1, 0.5, 0, 1]) for i in range(60)]
    counts, path = played(workcell, home, limited.period_s, iter(swing))
    assert counts.slowed > 20
    assert counts.violations >= counts.slowed
    assert fastest(workcell, path) <= 1.0
    free = workcell.envelope._replace(
        zone_min_m=np.zeros((0, 3)), zone_max_m=np.zeros((0, 3)), zone_speed_m_s=np.zeros(0)
    )
    counts, path = played(workcell._replace(envelope=free), home, limited.period_s, iter(swing))
    assert counts.slowed == 0
    assert fastest(workcell, path) > 2.0


def test_a_policy_that_went_through_the_filter_is_left_alone(limited, workcell) -> None:
    """It is the same filter, and sees the same targets."""
    home = np.deg2rad(np.array(limited.robot.home_deg))
    controller = ToolController(workcell.chain, limited.control, workcell.envelope, 1)
    controller.reset(home[None])
    actions = np.repeat(np.random.default_rng(0).choice([-1.0, 1.0], (10, 1, 4)), 8, axis=0)

    def wild() -> Iterator[np.ndarray]:
        q = home[None]
        for action in actions:
            q = controller.command(action, controller.state(q), np.eye(3)[None]).target_rad
            yield q[0]

    counts, path = played(workcell, home, limited.period_s, wild())
    assert (counts.slowed, counts.violations) == (0, 0)
    assert 0.8 < fastest(workcell, path) <= 1.0


def test_the_way_home_is_as_slow_as_the_zones_want(limited, workcell) -> None:
    home = np.deg2rad(np.array(limited.robot.home_deg))
    controller = ToolController(workcell.chain, limited.control, workcell.envelope, 1)
    controller.reset(home[None] + np.array([0.3, 0.1, -0.1, 0.0, 0.0, 0.2]))
    counts, path = played(workcell, controller.targets[2, 0], limited.period_s, iter(path_to(controller, home).targets))
    assert counts.violations == 0
    np.testing.assert_allclose(path[-1], home, atol=0.01)
    assert fastest(workcell, path) <= 1.0


def test_the_virtual_arm_keeps_the_books_of_them(limited) -> None:
    """Swung sideways out of the zone's hands, without a supervisor, and down beside the plate to the table."""
    arm = VirtualArm(limited, load_plant("ur5e_worn", 6), 0)
    home = np.deg2rad(np.array(limited.robot.home_deg))
    beside, low = home.copy(), home.copy()
    beside[0] -= 0.4
    low[:] = beside
    low[1] += 0.35
    for start, end, seconds in ((home, home, 0.2), (home, beside, 0.8), (beside, low, 1.5)):
        for share in np.linspace(0, 1, round(seconds / arm.tick_s)):
            arm.tick(start + share * (end - start))
    closed = arm.score.current
    assert set(closed.figures) == {"impulse_Ns", "zone_speed", "into_margin_deg", "touch_N"}
    assert closed.figures["zone_speed"] > 2.0
    assert closed.figures["touch_N"] > 5.0
    assert closed.figures["impulse_Ns"] > 1.0
    assert closed.figures["into_margin_deg"] == 0.0
    one = outcome_of(limited, 0, {**closed._asdict(), "cycle_time_s": None})
    assert one.figures == closed.figures


def test_an_arm_tells_nothing_of_touches(limited) -> None:
    told = {
        "success": True,
        "cycle_time_s": 3.0,
        "peak_force_N": 30.0,
        "figures": {"impulse_Ns": 2.0, "zone_speed": 0.9},
    }
    figures = outcome_of(limited, 0, told).figures
    assert figures == {"impulse_Ns": 2.0, "zone_speed": 0.9, "into_margin_deg": 0.0, "touch_N": 0.0}


def test_a_real_arms_report_leaves_touches_open(limited) -> None:
    row = {"text": "share of parts", "value": 0.0, "lower_95": 0.0, "upper_95": 0.003, "verdict": "PASS"}
    rows = [{"name": name, **row} for name in ("keep_out", "speed_zones", "untouched")]
    columns = {"success": [True], "stage": ["done"], "keep_out": [False], "zone_speed": [0.9], "touch_N": [0.0]}
    report = {"requirements": rows, "per_episode": columns}
    _leave_open(report, limited, blocked=0)
    assert [item["verdict"] for item in report["requirements"]] == ["PASS", "PASS", "UNDECIDED"]
    assert rows[2] == {
        "name": "untouched",
        "text": "share of parts: no sensor of the arm tells",
        **dict.fromkeys(("value", "lower_95", "upper_95")),
        "verdict": "UNDECIDED",
    }
    assert report["per_episode"] == columns | {"touch_N": [None], "stage": ["done"]}
