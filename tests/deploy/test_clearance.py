"""What looks ahead: keep-out boxes, table and the arm itself, along the way on which it would come to rest."""

import numpy as np
import pytest
from supervised import CELL, CHAIN, ENVELOPE, HOME, PERIOD_S, WORKCELL, Bench, on_time

from robot_rlaas.control.capsules import axes_of, distances
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.control.safety import inside_keep_out
from robot_rlaas.deploy.clearance import MARGIN_M, Clearance
from robot_rlaas.deploy.supervisor import Arm
from robot_rlaas.sim.capsules import capsules_of

CAPSULES = capsules_of(CELL, WORKCELL)
TOP_STEP = ENVELOPE.speed_rad_s * PERIOD_S


def least_m(path: np.ndarray) -> float:
    """The least distance of the arm to anything on a path of setpoints."""
    axes = axes_of(CAPSULES, CHAIN, path)
    return float(distances(CAPSULES, axes, ENVELOPE.keep_out_min_m, ENVELOPE.keep_out_max_m).min())


def fast(bench: Bench, direction: np.ndarray) -> None:
    """As fast as joints may, for as long as it takes to get anywhere."""
    steps = np.minimum(np.arange(1, 61), 60)[:, None]
    ramp = np.cumsum(np.minimum(steps / 3, 1.0), axis=0) * 0.98 * TOP_STEP
    bench.run(3.5, on_time(HOME + ramp * direction, bench.now_s + 0.001))


@pytest.mark.parametrize(
    ("direction", "cause", "words"),
    [
        ((1, 0, 0, 0, 0, 0), "keep_out", "keep-out box"),  # into the clamp
        ((0, 1, 0, 0, 0, 0), "collision", "the table"),
        ((0, 0, 1, 0, 0, 0), "collision", ""),  # folds the elbow
        ((0, -0.3, 1, 0.6, 0.4, 0), "collision", ""),
    ],
)
def test_at_top_speed_the_arm_stops_before_anything_is_near(direction, cause, words):
    bench = Bench(Arm(capsules=CAPSULES))
    fast(bench, np.array(direction, dtype=float))
    assert bench.counts.blocked > 0
    event = next(e for e in bench.events() if e.what == "blocked")
    assert event.cause == cause
    assert words in event.text
    assert not event.value >= event.limit
    assert least_m(bench.path) > 0.5 * MARGIN_M
    assert not inside_keep_out(ENVELOPE, tool_pose(CHAIN, bench.path)).any()


def test_without_capsules_the_tool_alone_keeps_out_of_boxes():
    bench = Bench()
    fast(bench, np.eye(6)[0])
    assert bench.counts.blocked > 0
    assert not inside_keep_out(ENVELOPE, tool_pose(CHAIN, bench.path)).any()
    deep = Bench()
    fast(deep, np.eye(6)[1])
    assert deep.counts.blocked == 0
    assert least_m(deep.path) < 0


def test_from_too_near_it_may_move_away_and_not_nearer():
    clearance = Clearance(CHAIN, ENVELOPE, PERIOD_S, CAPSULES)
    low = HOME.copy()
    while least_m(low[None]) > 0.5 * MARGIN_M:
        low += np.deg2rad([0, 0.05, 0, 0, 0, 0])
    assert clearance.blocks(low, low + np.deg2rad([0, 0.05, 0, 0, 0, 0])) is not None
    assert clearance.blocks(low, low - np.deg2rad([0, 0.05, 0, 0, 0, 0])) is None
    assert clearance.blocks(low, low) is None


def test_skipped_looks_miss_nothing():
    """A random walk past everything: what a fresh look finds, a look with a memory finds too."""
    rng, at, step = np.random.default_rng(0), HOME.copy(), np.zeros(6)
    remembers, blocked = Clearance(CHAIN, ENVELOPE, PERIOD_S, CAPSULES), 0
    for _ in range(600):
        change = ENVELOPE.acceleration_rad_s2 * PERIOD_S**2
        wanted = np.clip(step + rng.uniform(-1, 1, 6) * change, -TOP_STEP, TOP_STEP)
        found = remembers.blocks(at, at + wanted)
        fresh = Clearance(CHAIN, ENVELOPE, PERIOD_S, CAPSULES).blocks(at, at + wanted)
        assert (found is None) == (fresh is None)
        blocked += found is not None
        step = wanted if found is None else step - np.clip(step, -change, change)
        at = at + step
    assert 5 < blocked < 500
