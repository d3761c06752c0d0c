"""Whatever is sent, and whenever, every setpoint stays within all limits.

`--hypothesis-profile=search` draws new examples, and many: `make bench ONLY=safety_fuzz` does.
"""

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from supervised import CELL, CHAIN, ENVELOPE, HOME, PERIOD_S, TICK_S, WORKCELL, Bench

from robot_rlaas.control.capsules import axes_of, distances
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.control.safety import inside_keep_out
from robot_rlaas.deploy.arm import Arm
from robot_rlaas.sim.capsules import capsules_of

ARM = Arm(capsules=capsules_of(CELL, WORKCELL))
STEP = ENVELOPE.speed_rad_s * PERIOD_S

share = st.floats(-2.5, 2.5)  # of the largest step
drive = st.tuples(st.lists(share, min_size=6, max_size=6), st.integers(1, 25), st.integers(3, 7))
nonsense = st.sampled_from([math.nan, math.inf, -math.inf, 1e308, 5e-324, 7.0, 0.0])
target = st.lists(nonsense, max_size=8)
names = st.one_of(
    st.just(CHAIN.joints),
    st.permutations(CHAIN.joints),
    st.lists(st.sampled_from([*CHAIN.joints, "finger_joint", ""]), max_size=7),
)
age = st.one_of(st.just(0.002), st.floats(-1.0, 1.0), st.just(math.nan))
PRESSES = {"press": 400.0, "pull": -400.0}  # N, for so long that the setpoint is eased back
nonsense_target = st.tuples(target, names, age)
disturbance = st.sampled_from(["force", *PRESSES, "silent", "lost", "frozen", "away", "reset"])
action = st.one_of(drive, drive.map(lambda d: d), drive.filter(lambda d: d[1] > 3), nonsense_target, disturbance)


def act(bench: Bench, what) -> None:
    """A stream in one direction, one bad target, or something that happens to the arm."""
    if isinstance(what, str):
        disturb(bench, what)
        bench.run(1.2 if what in PRESSES else 0.4 if what == "lost" else 0.06)
        disturb(bench, "reset")
    elif isinstance(what[1], int):
        direction, count, ticks = what
        for _ in range(count):
            at = bench.path[-1] if bench.sent else HOME
            bench.give(at + np.array(direction) * STEP)
            bench.run(ticks * TICK_S)
    else:
        wish, who, age_s = what
        bench.give(np.array(wish), who, age_s)
        bench.run(TICK_S)


def disturb(bench: Bench, what: str) -> None:
    bench.force = (0.0, 0.0, {"force": 400.0, **PRESSES}.get(what, 5.0))
    bench.follows = 0.95 if what in PRESSES else 1.0
    bench.speaks = set() if what in ("silent", "lost") else {"joint_states", "wrench"}
    bench.frozen = {"joint_states"} if what == "frozen" else set()
    if what == "away":
        bench.now_s += 0.13
    if what == "reset":
        bench.supervisor.reset(bench.now_s)


FAST, STILL = ([0.0, 0.0, 0.0, 0.0, 0.0, 2.0], 2, 4), ([0.0] * 6, 2, 3)
NO_TARGET = ([], CHAIN.joints, 0.002)


@given(st.lists(action, min_size=5, max_size=25))
@example([STILL, STILL, FAST, NO_TARGET, "frozen", STILL])  # it took what a frozen sensor repeats for where the arm is
@example([STILL, STILL, FAST, FAST, FAST, "lost", STILL])  # it asked how far an arm had moved that it had not heard of
def test_no_setpoint_leaves_the_limits(actions):
    bench = Bench(ARM)
    for what in actions:
        act(bench, what)
    bench.run(0.5)
    if len(bench.sent) < 3:
        return
    path, time_s = bench.path, np.array([s.time_s for s in bench.sent])
    assert np.isfinite(path).all()
    assert (path >= ENVELOPE.lower_rad - 1e-9).all()
    assert (path <= ENVELOPE.upper_rad + 1e-9).all()
    gap_s = np.diff(time_s)[:, None]
    assert (np.abs(np.diff(path, axis=0)) <= ENVELOPE.speed_rad_s * gap_s * (1 + 1e-9) + 1e-9).all()
    even = np.isclose(gap_s[1:, 0], TICK_S) & np.isclose(gap_s[:-1, 0], TICK_S)
    bends = np.abs(np.diff(path, 2, axis=0))[even]
    assert (bends <= ENVELOPE.acceleration_rad_s2 * TICK_S**2 * (1 + 1e-6)).all()
    assert not inside_keep_out(ENVELOPE, tool_pose(CHAIN, path)).any()
    axes = axes_of(ARM.capsules, CHAIN, path)
    assert distances(ARM.capsules, axes, ENVELOPE.keep_out_min_m, ENVELOPE.keep_out_max_m).min() > 0
    assert not bench.moving
