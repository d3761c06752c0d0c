"""A cell's further limits: measured by hand-computed figures, broken and kept by scripted policies, judged."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest

from robot_rlaas.cell.limits import further_limits
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose, tool_pose
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.gauges import Gauges, Reading
from robot_rlaas.qualify.claims import Plan, judge
from robot_rlaas.qualify.failures import clusters
from robot_rlaas.qualify.statistics import Verdict
from robot_rlaas.qualify.trials import Trial, stream
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import Workcell, build

ZONE = {"name": "plate", "center_mm": (500, 0, 150), "size_mm": (400, 400, 300), "speed_mm_s": 30}
ASKED: dict[str, dict[str, Any]] = {  # all of them so that a dozen flawless episodes pass
    "sustained_force": {"force_N": 20, "duration_s": 0.5, "rate": 0.4},
    "contact_impulse_Ns": {"limit": 4, "quantile": 0.6, "above_N": 10},
    "speed_zones": {"zones": (ZONE,), "rate": 0.4},
    "joint_margin": {"margin_deg": 58, "rate": 0.4},
    "untouched": {"surfaces": ({"name": "table"},), "rate": 0.4},
}
COUNT = 12
ONE = np.arange(1)


def asking(cell: CellSpec, *names: str) -> CellSpec:
    """The cell without its keep-out box, with these requirements, and over after 5 s."""
    said = cell.model_dump()
    said["requirements"] |= {name: ASKED[name] for name in names}
    said["requirements"]["cycle_time_s"]["limit"] = said["task"]["timeout_s"] = 5
    return CellSpec.model_validate({**said, "keep_out": ()})


def gauges(cell: CellSpec, workcell: Workcell, *names: str) -> tuple[CellSpec, Gauges]:
    asked = asking(cell, *names)
    envelope = build(asked).envelope if "speed_zones" in names else workcell.envelope
    return asked, Gauges(asked, workcell.chain, envelope, 1)


def reading(workcell: Workcell, cell: CellSpec, forces_N=(0.0,), touch_N=0.0, q_deg=None, moved_m=(0, 0, 0)) -> Reading:
    q = np.deg2rad(np.array([cell.robot.home_deg if q_deg is None else q_deg]))
    tool = tool_pose(workcell.chain, q)
    return Reading(np.array([forces_N]), np.array([touch_N]), q, Pose(tool.R, tool.p + np.array(moved_m)))


def test_an_impulse_is_that_of_the_hardest_contact(cell, workcell) -> None:
    """Time steps of 10 ms. 0.5 and 0.6 N s, a break of one step, and 0.2 + 0.9 across the end of a period."""
    asked, of = gauges(cell, workcell, "contact_impulse_Ns")
    of.begin(ONE, reading(workcell, asked))
    seen = []
    for forces in ((50, 60, 10, 0, 20), (90, 9, 30, 30, 0), (0, 0, 0, 0, 0)):
        of.read(ONE, reading(workcell, asked, forces))
        seen.append(of.of(0)["impulse_Ns"])
    assert seen == pytest.approx([1.1, 1.1, 1.1])
    of.begin(ONE, reading(workcell, asked))
    of.read(ONE, reading(workcell, asked, (0, 0, 0, 0, 70)))
    of.read(ONE, reading(workcell, asked, (90, 20, 0, 90, 0)))
    assert of.of(0)["impulse_Ns"] == pytest.approx(1.8), "a contact goes on from one period to the next"


def test_force_for_long_is_counted_in_periods_on_end(cell, workcell) -> None:
    asked, of = gauges(cell, workcell, "sustained_force")
    of.begin(ONE, reading(workcell, asked))
    for peak in (21, 25, 20, 30, 30, 30, 0):
        of.read(ONE, reading(workcell, asked, (0.0, peak)))
    assert of.of(0) == {"pressed_s": pytest.approx(3 * asked.period_s)}


def test_speed_counts_in_the_zone_alone(cell, workcell) -> None:
    """6 mm per period of 50 ms are 120 mm/s, four times what the zone allows; far above it nobody cares."""
    asked, of = gauges(cell, workcell, "speed_zones")
    high = (0.0, 0.0, 0.5)
    of.begin(ONE, reading(workcell, asked, moved_m=high))
    of.read(ONE, reading(workcell, asked, moved_m=(0.05, 0.0, 0.5)))
    assert of.of(0)["zone_speed"] == 0.0
    of.begin(ONE, reading(workcell, asked))
    of.read(ONE, reading(workcell, asked, moved_m=(0.0, 0.0, -0.006)))
    assert of.of(0)["zone_speed"] == pytest.approx(4.0)
    of.read(ONE, reading(workcell, asked, moved_m=(0.0, 0.001, -0.006)))
    assert of.of(0)["zone_speed"] == pytest.approx(4.0), "the fastest period counts"


def test_turning_makes_corners_fast(cell, workcell) -> None:
    """By 0.1 rad per period about the tool's axis: its corners are hypot(36, 46) mm from it."""
    asked, of = gauges(cell, workcell, "speed_zones")
    home = reading(workcell, asked)
    turn = np.array([[[np.cos(0.1), -np.sin(0.1), 0], [np.sin(0.1), np.cos(0.1), 0], [0, 0, 1]]])
    of.begin(ONE, home)
    of.read(ONE, home._replace(tool=Pose(turn @ home.tool.R, home.tool.p)))
    chord_m = 2 * np.hypot(0.036, 0.046) * np.sin(0.05)
    assert of.of(0)["zone_speed"] == pytest.approx(chord_m / asked.period_s / 0.03, rel=1e-3)


def test_the_margin_is_to_the_nearest_limit(cell, workcell) -> None:
    """The elbow turns to 180 degrees: at 130 it is 8 degrees inside a margin of 58."""
    asked, of = gauges(cell, workcell, "joint_margin")
    of.begin(ONE, reading(workcell, asked))
    of.read(ONE, reading(workcell, asked))
    assert of.of(0)["into_margin_deg"] == 0.0
    bent = [0.0, -90.0, 130.0, -123.0, -90.0, 0.0]
    of.read(ONE, reading(workcell, asked, q_deg=bent))
    assert of.of(0)["into_margin_deg"] == pytest.approx(8.0, abs=1e-3)


def test_a_limit_costs_at_most_one_and_is_charged_as_it_is_used(cell, workcell) -> None:
    asked, of = gauges(cell, workcell, "contact_impulse_Ns", "untouched")
    of.begin(ONE, reading(workcell, asked))
    paid = []
    for force, touch in ((0.0, 0.0), (76.0, 0.25), (200.0, 9.0)):
        of.read(ONE, reading(workcell, asked, (force,), touch))
        paid.append([float(cost[0]) for cost in of.costs().values()])
    np.testing.assert_allclose(paid, [[0, 0], [0.5, 0.5], [1, 1]], atol=1e-9)


def test_what_diverged_leaves_the_figures_as_they_were(cell, workcell) -> None:
    asked, of = gauges(cell, workcell, *ASKED)
    of.begin(ONE, reading(workcell, asked))
    of.read(ONE, reading(workcell, asked, (30.0,), 2.0))
    before, now = of.of(0), reading(workcell, asked)
    lost = Pose(np.nan * now.tool.R, np.nan * now.tool.p)
    of.read(ONE, Reading(np.nan * now.forces_N, np.nan * now.touch_N, np.nan * now.q_rad, lost))
    assert of.of(0) == before
    assert all(np.isfinite(cost).all() for cost in of.costs().values())


Policy = Callable[[int], list[float]]


class Scripted:
    """Does the same in every row, period by period."""

    def __init__(self, script: Policy) -> None:
        self._script, self._steps = script, 0

    def reset(self, ids: np.ndarray) -> None: ...

    def act(self, observation: np.ndarray) -> np.ndarray:
        self._steps += 1
        return np.tile(self._script(self._steps - 1), (len(observation), 1))


def episodes(asked: CellSpec, script: Policy, unfiltered: bool = False) -> list[Trial]:
    workcell = build(asked)
    env = BatchEnv(asked, workcell, CpuBackend(workcell, asked, COUNT), Seeds(0, Space.SHOW))
    if unfiltered:
        free = asked.model_copy(update={"requirements": asked.requirements.model_copy(
            update={"speed_zones": None, "joint_margin": None})})  # fmt: skip
        env.controller.envelope = build(free).envelope
    return list(islice(stream(env, Scripted(script), lambda _: None), COUNT))


def still(_: int) -> list[float]:
    return [0.0, 0.0, 0.0, 0.0]


def press(step: int) -> list[float]:
    """Onto the plate, well beside the hole."""
    return [0.5, 0.0, -0.5, 0.0] if step < 40 else [0.0, 0.0, -1.0, 0.0]


def beside(step: int) -> list[float]:
    """Past the plate's edge and down to the table."""
    return [0.0, -1.0, 0.0, 0.0] if step < 50 else [0.0, 0.0, -1.0, 0.0]


def up_and_down(step: int) -> list[float]:
    return [0.0, 0.0, 1.0 if step % 40 < 20 else -0.5, 0.0]


def closer(step: int) -> list[float]:
    """Towards the arm's base, so that the elbow bends."""
    return [-1.0, 0.0, 0.3, 0.0]


BREAKS = {  # requirement: who breaks it with the safety filter as it is, or without it; what the failure is called
    "sustained_force": (press, False, "pressed"),
    "contact_impulse_Ns": (press, False, "impulse"),
    "speed_zones": (up_and_down, True, "fast"),
    "joint_margin": (closer, True, "margin"),
    "untouched": (beside, False, "touched"),
}
NAMES = {"contact_impulse_Ns": "contact_impulse"}


@pytest.mark.parametrize("requirement", BREAKS)
def test_who_breaks_it_fails_and_who_keeps_it_passes(cell, requirement: str) -> None:
    asked, name = asking(cell, requirement), NAMES.get(requirement, requirement)
    breaker, unfiltered, kind = BREAKS[requirement]
    broken, kept = episodes(asked, breaker, unfiltered), episodes(asked, still)
    for trials, verdict in ((broken, Verdict.FAIL), (kept, Verdict.PASS)):
        judged = judge(asked, iter(trials), Plan(COUNT, sequential=False))
        assert judged.verdicts[name] == verdict, [trial.outcome.figures for trial in trials]
    done = {"success": True, "cycle_time_s": 3.0, "peak_force_N": 1.0}
    otherwise = [trial._replace(outcome=trial.outcome._replace(**done)) for trial in broken]
    assert {cluster.kind for cluster in clusters(asked, otherwise)} == {kind}
    if unfiltered:
        limit = further_limits(asked)[0]
        assert all(limit.kept(trial.outcome) for trial in episodes(asked, breaker)), "the filter sees to that"


def test_a_cell_that_asks_for_nothing_measures_nothing(make_env) -> None:
    env = make_env(2)
    env.reset()
    step = env.step(np.zeros((2, 4)))
    assert env._gauges.figures == {}
    assert set(step.terms) == {"progress", "done", "time", "force", "keep_out", "effort"}


def test_what_is_charged_is_one_term_each(cell) -> None:
    asked = asking(cell, "contact_impulse_Ns", "untouched")
    workcell = build(asked)
    env = BatchEnv(asked, workcell, CpuBackend(workcell, asked, 2), Seeds(0, Space.SHOW))
    env.reset()
    script = Scripted(beside)
    steps = [env.step(script.act(env.observation)) for _ in range(asked.horizon)]
    paid = {name: np.sum([step.terms[name] for step in steps], axis=0) for name in ("contact_impulse", "untouched")}
    for row, outcome in zip(steps[-1].rows, steps[-1].outcomes):
        hit, touch = outcome.figures["impulse_Ns"], outcome.figures["touch_N"]
        assert paid["contact_impulse"][row] == pytest.approx(-np.clip((hit - 3.2) / 1.2, 0.0, 1.0))
        assert paid["untouched"][row] == pytest.approx(-np.clip(touch / 0.5, 0.0, 1.0))
    assert min(np.min(total) for total in paid.values()) == pytest.approx(-1.0)


@pytest.mark.parametrize("requirement", ASKED)
def test_what_is_kept_of_an_episode_is_all_that_it_goes_on_from(cell, workcell, requirement: str) -> None:
    (asked, one), (_, other) = (gauges(cell, workcell, requirement) for _ in range(2))
    one.begin(ONE, reading(workcell, asked))
    for forces_N, moved_m in (((30.0, 30.0), (0, 0, -0.2)), ((15.0, 40.0), (0, 0.02, -0.2))):
        one.read(ONE, reading(workcell, asked, forces_N, 3.0, moved_m=moved_m))
    for kept, written in zip(one.memory, other.memory, strict=True):
        written[:] = kept
    last = reading(workcell, asked, (50.0, 50.0), 1.0, moved_m=(0.01, 0.02, -0.2))
    for gauge in (one, other):
        gauge.read(ONE, last)
    assert other.of(0) == one.of(0)
    assert requirement == "joint_margin" or all(figure > 0 for figure in one.of(0).values())
