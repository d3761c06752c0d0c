"""Force for too long: measured in the simulation and on the virtual arm, charged, claimed, and named when it fails."""

import numpy as np
import pytest
from samples import watch_forces

from robot_rlaas.cell.requirements import SustainedForceRequirement
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.qualify.claims import good, limits
from robot_rlaas.qualify.failures import failure_kind
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import Workcell

LIMIT = SustainedForceRequirement(force_N=20, duration_s=1, rate=0.01)


@pytest.fixture(scope="module")
def gentle(cell: CellSpec) -> CellSpec:
    return cell.model_copy(update={"requirements": cell.requirements.model_copy(update={"sustained_force": LIMIT})})


def test_the_longest_time_on_end_counts(gentle: CellSpec, workcell: Workcell) -> None:
    """Press on the plate, beside the hole, until the time is over: against an account kept beside the environment."""
    env = BatchEnv(gentle, workcell, CpuBackend(workcell, gentle, 4), Seeds(0, Space.SHOW))
    forces = watch_forces(env)
    env.reset()
    cost, ended = np.zeros(4), []
    for i in range(env.cell.horizon):
        step = env.step(np.tile([0.3, 0.0, -0.4 if i % 60 < 45 else 0.6, 0.0], (4, 1)))
        cost += step.terms["sustained_force"]
        ended += step.outcomes
    assert len(ended) == 4, "beside the hole nobody succeeds"
    for outcome, row, paid in zip(ended, np.array(forces).T, cost):
        runs = "".join("x" if force > LIMIT.force_N else " " for force in row).split()
        longest_s = max(map(len, runs), default=0) * env.cell.period_s
        assert outcome.figures == {"pressed_s": pytest.approx(longest_s)}
        assert paid == pytest.approx(-np.clip(2.0 * longest_s / LIMIT.duration_s - 1.0, 0.0, 1.0)), "half of it is free"
    assert any(outcome.figures["pressed_s"] > LIMIT.duration_s for outcome in ended)


def _outcome(pressed_s: float, **more) -> Outcome:
    good = {"episode": 0, "success": True, "cycle_time_s": 3.0, "peak_force_N": 30.0, "keep_out": False, "stage": 3}
    rest = {"steps": 60, "reward": 1.0, "stage_s": (1.0, 2.0, 3.0), "peak_at_s": 1.0}
    return Outcome(**{**good, **rest, **more}, figures={"pressed_s": pressed_s})


def test_it_is_a_claim_only_where_the_cell_asks_for_it(cell: CellSpec, gentle: CellSpec) -> None:
    outcomes = [_outcome(0.95), _outcome(1.0)]
    assert "sustained_force" not in limits(cell)
    assert good(cell, outcomes).all()
    assert limits(gentle)["sustained_force"] == 0.99
    column = list(limits(gentle)).index("sustained_force")
    assert good(gentle, outcomes)[:, column].tolist() == [True, False]


def test_a_failure_is_called_so(cell: CellSpec, gentle: CellSpec) -> None:
    assert failure_kind(gentle, _outcome(1.2)) == "pressed"
    assert failure_kind(gentle, _outcome(1.2, peak_force_N=90.0)) == "force"
    assert failure_kind(gentle, _outcome(0.9)) is None
    assert failure_kind(cell, _outcome(1.2)) is None
