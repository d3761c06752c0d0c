"""Hostile commands by the million: does any target leave the limits, and what does it cost to see to that?"""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bench.measurements import CELL, Figure, at_least, at_most
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.control.capsules import Capsules, axes_of, distances
from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.control.kinematics import SerialChain, tool_pose
from robot_rlaas.control.safety import Envelope, filter_target, inside_keep_out, tool_corners, zone_use
from robot_rlaas.deploy.counts import Counts
from robot_rlaas.deploy.events import Journal
from robot_rlaas.deploy.limited import Limiter
from robot_rlaas.sim.capsules import capsules_of
from robot_rlaas.sim.model import build

COMMANDS, ROWS = 1_000_000, 1_000  # through the filter, in so many rows
WHOLE, RESTART = 100_000, 2_000  # through all of it, one by one; after so many it begins anew at home
ZONE = {"name": "hands", "center_mm": [380, -180, 200], "size_mm": [200, 200, 400], "speed_mm_s": 150}


def safety_fuzz() -> dict[str, Figure]:
    """Adversarial commands through the safety filter, and through all that stands between a policy and the arm."""
    plain = load_cell(CELL)
    outside, whole_outside, whole_s = 0, 0, []
    for cell in (plain, _with_zone(plain)):
        workcell, rng = build(cell), np.random.default_rng(0)
        arm = Fuzzed(cell, workcell.chain, workcell.envelope, capsules_of(cell, workcell))
        outside += sum(_broken(arm, path) for path in np.moveaxis(_filtered(arm, rng), 1, 0))
        for _ in range(0, WHOLE // 2, RESTART):
            path, seconds = _run(arm, rng)
            whole_outside += _broken(arm, path) + _touched(arm, path)
            whole_s += seconds
        print(f"  {len(whole_s):,} commands, {outside} and {whole_outside} outside", flush=True)
    cost_us, whole_us = ((1e6 * np.percentile(seconds, [50, 99])).tolist() for seconds in (_filter_s(plain), whole_s))
    return {
        "safety_fuzz/commands": at_least(COMMANDS, "1", 1e6),
        "safety_fuzz/outside": at_most(outside, "1", 0),
        "safety_fuzz/filter": at_most(cost_us[0], "us", 150),
        "safety_fuzz/filter_p99": Figure(cost_us[1], "us", None, None),
        "safety_fuzz/whole/commands": Figure(len(whole_s), "1", None, None),
        "safety_fuzz/whole/outside": at_most(whole_outside, "1", 0),
        "safety_fuzz/whole/cost": Figure(whole_us[0], "us", None, None),
        "safety_fuzz/whole/cost_p99": Figure(whole_us[1], "us", None, None),
        "safety_fuzz/supervised": at_most(_supervised(), "1", 0),
    }


def _supervised() -> int:
    """1 where a search with the test's own actions finds what makes a supervisor's setpoints leave a limit."""
    where, search = "tests/deploy/test_safety_fuzz.py", "--hypothesis-profile=search"
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "--timeout=1200", search, where]).returncode


class Fuzzed(NamedTuple):
    """What is fuzzed."""

    cell: CellSpec
    chain: SerialChain
    envelope: Envelope
    capsules: Capsules


def _filtered(arm: Fuzzed, rng: np.random.Generator) -> np.ndarray:
    """Half of COMMANDS in ROWS from home on -> the targets that were taken, (n, ROWS, k)."""
    home = np.deg2rad(np.array(arm.cell.robot.home_deg))
    wishes = [_Adversary(rng, arm.envelope, arm.cell.period_s) for _ in range(ROWS)]
    path = [np.tile(home, (ROWS, 1))] * 2
    with np.errstate(all="ignore"):
        for _ in range(COMMANDS // 2 // ROWS):
            last, step = path[-1], path[-1] - path[-2]
            wanted = np.array([wish.next(*row) for wish, row in zip(wishes, zip(last, step))])
            now = filter_target(arm.chain, arm.envelope, arm.cell.period_s, last, step, wanted)
            path.append(now.target_rad)
    return np.array(path)


def _run(arm: Fuzzed, rng: np.random.Generator) -> tuple[np.ndarray, list[float]]:
    """RESTART commands from home on -> the targets that were taken, and the seconds that each took."""
    limiter = Limiter(*arm[1:3], arm.cell.period_s, arm.capsules, Counts(arm.chain.joints), Journal())
    wishes, seconds = _Adversary(rng, arm.envelope, arm.cell.period_s), []
    path = [np.deg2rad(np.array(arm.cell.robot.home_deg))] * 2
    for _ in range(RESTART):
        last, step = path[-1], path[-1] - path[-2]
        wanted = wishes.next(last, step)
        start = time.perf_counter()
        with np.errstate(all="ignore"):
            target, _ = limiter.safe(last, step, wanted, False, 0.0)
        seconds.append(time.perf_counter() - start)
        path.append(target)
    return np.array(path), seconds


def _filter_s(cell: CellSpec) -> list[float]:
    """Seconds of the filter alone, command by command, in the shipped cell."""
    workcell, rng, seconds = build(cell), np.random.default_rng(0), []
    chain, envelope, period_s = workcell.chain, workcell.envelope, cell.period_s
    home, still = np.deg2rad(np.array([cell.robot.home_deg])), np.zeros((1, len(cell.robot.home_deg)))
    for wanted in home + rng.normal(0, 0.1, (20_000, 1, home.shape[1])):
        start = time.perf_counter()
        filter_target(chain, envelope, period_s, home, still, wanted)
        seconds.append(time.perf_counter() - start)
    return seconds


class _Adversary:
    """Wishes of every kind, some for a while: plausible ones as fast as they can be, and nonsense."""

    def __init__(self, rng: np.random.Generator, envelope: Envelope, period_s: float) -> None:
        self._rng, self._envelope, self._step = rng, envelope, envelope.speed_rad_s * period_s
        self._left, self._kind, self._direction = 0, 0, np.zeros(len(self._step))

    def next(self, last: np.ndarray, step: np.ndarray) -> np.ndarray:
        rng, low, high = self._rng, self._envelope.lower_rad, self._envelope.upper_rad
        if self._left == 0:
            self._left, self._kind = int(rng.integers(1, 60)), int(rng.integers(9))
            self._direction = rng.uniform(-1.5, 1.5, len(last)) * self._step * (rng.random(len(last)) < 0.7)
        self._left -= 1
        nonsense = rng.choice([np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 0.0], len(last))
        return (
            lambda: last + self._direction,
            lambda: last + self._direction,
            lambda: last - step * 3,
            lambda: last + self._direction * (-1) ** self._left,
            lambda: np.where(self._direction > 0, high, low),
            lambda: np.where(self._direction > 0, high + 1, low - 1),
            lambda: last + rng.normal(0, 1, len(last)) * self._step,
            lambda: np.where(rng.random(len(last)) < 0.5, nonsense, last + self._direction),
            lambda: rng.uniform(2 * low, 2 * high),
        )[self._kind]()


def _broken(arm: Fuzzed, path: np.ndarray) -> int:
    """How many targets of a path (n, k) break a joint's limit or a speed zone's."""
    cell, chain, envelope, _ = arm
    step, tiny, period_s = np.diff(path, axis=0), 1e-9, cell.period_s
    wrong = (path < envelope.lower_rad - tiny).any(1) | (path > envelope.upper_rad + tiny).any(1)
    wrong[1:] |= (np.abs(step) > envelope.speed_rad_s * period_s + tiny).any(1)
    wrong[2:] |= (np.abs(np.diff(step, axis=0)) > envelope.acceleration_rad_s2 * period_s**2 + tiny).any(1)
    if len(envelope.zone_speed_m_s):
        corners = tool_corners(envelope, tool_pose(chain, path))
        wrong[1:] |= zone_use(envelope, corners[:-1], corners[1:], period_s) > 1.0
    return int(wrong.sum())


def _touched(arm: Fuzzed, path: np.ndarray) -> int:
    """At how many setpoints, five to a period, the tool is in a box or the arm touches a box, the table or itself."""
    _, chain, envelope, capsules = arm
    thirds = path[:-2], path[1:-1], path[2:]
    setpoints = np.concatenate([setpoint(thirds, u) for u in (0.2, 0.4, 0.6, 0.8, 1.0)])
    wrong = inside_keep_out(envelope, tool_pose(chain, setpoints))
    some = axes_of(capsules, chain, setpoints[::5])
    wrong[::5] |= distances(capsules, some, envelope.keep_out_min_m, envelope.keep_out_max_m).min(axis=1) <= 0
    return int(wrong.sum())


def _with_zone(cell: CellSpec) -> CellSpec:
    content = cell.model_dump()
    content["requirements"] |= {
        "speed_zones": {"zones": [ZONE], "rate": 0.01},
        "joint_margin": {"margin_deg": 5, "rate": 0.01},
    }
    return CellSpec.model_validate(content)


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"safety_fuzz": safety_fuzz}
