"""Held-out draws really lie outside what was trained on, and the gap shows."""

import numpy as np
import pytest

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import Variation
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.env.insertion.task import contract
from robot_rlaas.qualify.held_out import (
    EVERYTHING,
    REACHES,
    SHAPE,
    edges,
    gap_json,
    held_out_report,
    held_out_settings,
    sensitivity_report,
    sensitivity_settings,
)
from robot_rlaas.qualify.statistics import difference
from robot_rlaas.qualify.trials import run_trials
from robot_rlaas.sim.variation import draw

SEEDS = Seeds(0, Space.HELD_OUT, (1, 2))
DRAWN = {  # factor -> what the draw holds, in the cell file's unit
    "plate_bias_mm": lambda d: d.bias_xy_m * 1e3,
    "plate_bias_deg": lambda d: np.rad2deg(d.bias_yaw_rad),
    "hand_offset_mm": lambda d: d.hand_m * 1e3,
    "hand_offset_deg": lambda d: np.rad2deg(d.hand_rad),
    "friction": lambda d: d.friction,
    "joint_friction_Nm": lambda d: d.joint_friction_Nm,
    "servo_gain_scale": lambda d: d.gain_scale,
    "command_delay_s": lambda d: d.delay_s,
}


def test_every_held_out_factor_has_a_setting(cell) -> None:
    names = [s.name for s in held_out_settings(cell, cell.variation)]
    assert names == [*DRAWN, SHAPE, EVERYTHING]


@pytest.mark.parametrize("factor", DRAWN)
def test_held_out_draws_lie_beyond_what_was_trained_on(cell, factor: str) -> None:
    trained = cell.variation.model_copy(update={"plate_bias_mm": (-1.3, 1.3)})
    setting = next(s for s in held_out_settings(cell, trained) if s.name == factor)
    values = DRAWN[factor](draw(setting.cell, SEEDS, np.arange(200), setting.beyond))
    low, high = cell.held_out.ranges[factor]
    inner = getattr(trained, factor)
    assert values.min() >= low
    assert values.max() <= high
    assert not ((values > inner[0]) & (values < inner[1])).any()
    assert (values <= inner[0]).any() == (low < inner[0])
    assert (values >= inner[1]).any() == (high > inner[1])


def test_nothing_else_changes(cell) -> None:
    setting = held_out_settings(cell, cell.variation)[0]
    with_it, without = (draw(c, SEEDS, np.arange(5), b) for c, b in ((setting.cell, setting.beyond), (cell, {})))
    np.testing.assert_array_equal(with_it.plate_xy_m, without.plate_xy_m)
    np.testing.assert_array_equal(with_it.hand_m, without.hand_m)
    assert not np.array_equal(with_it.bias_xy_m, without.bias_xy_m)


def test_a_factor_that_was_trained_on_after_all_is_left_out(cell) -> None:
    wide = Variation.model_validate({**cell.variation.model_dump(), "plate_bias_mm": (-2, 2)})
    assert "plate_bias_mm" not in [s.name for s in held_out_settings(cell, wide)]


def test_the_shape_is_another_plate(cell) -> None:
    shape = next(s for s in held_out_settings(cell, cell.variation) if s.name == SHAPE)
    assert (shape.cell.task.plate.clearance_mm, shape.cell.task.plate.chamfer_mm) == (0.4, 0.8)
    assert shape.cell.variation == cell.variation


def test_sensitivity_draws_lie_at_the_edge(cell) -> None:
    found = {}
    for factor, reach, setting in sensitivity_settings(cell):
        found.setdefault(factor, []).append(reach)
        low, high = getattr(cell.variation, factor)
        values = DRAWN[factor](draw(setting.cell, SEEDS, np.arange(50), setting.beyond)) if factor in DRAWN else None
        if values is not None:
            assert edges(setting) == ("both" if (values < (low + high) / 2).any() else "upper")
        if factor == "plate_bias_mm":
            values = np.abs(DRAWN[factor](draw(setting.cell, SEEDS, np.arange(50), setting.beyond)))
            assert (values >= reach - 0.06).all()
            assert (values <= reach + 1e-9).all()
        if factor == "command_delay_s":
            values = DRAWN[factor](draw(setting.cell, SEEDS, np.arange(50), setting.beyond))
            assert (values > 0).all()
    assert found["plate_bias_mm"] == list(REACHES)
    assert found["command_delay_s"] == [r for r in REACHES if 0.025 * (1 + r) <= 0.095]


@pytest.mark.parametrize(("a", "b"), [((100, 100), (100, 100)), ((56, 70), (48, 80)), ((9, 10), (3, 10))])
def test_newcombe(a, b) -> None:
    """Against the examples of Newcombe (1998), table II, method 10: two-sided 95 % is one-sided 97.5 %."""
    published = {
        ((56, 70), (48, 80)): (0.0524, 0.3339),
        ((9, 10), (3, 10)): (0.1705, 0.8090),
    }
    found = difference(*a, *b, confidence=0.975)
    if (a, b) in published:
        assert (found.lower, found.upper) == pytest.approx(published[a, b], abs=5e-5)
    assert found.lower < found.value < found.upper or found.value == 0 != found.upper


def test_bounds_of_many_gaps_are_wider() -> None:
    alone, many = gap_json(99, 100, 90, 100, 1), gap_json(99, 100, 90, 100, 10)
    assert (alone["lower_95"], alone["upper_95"]) == difference(99, 100, 90, 100)[1:]
    assert (many["lower_95"], many["upper_95"]) == difference(99, 100, 90, 100, confidence=0.995)[1:]
    assert many["lower_95"] < alone["lower_95"] < many["value"] < alone["upper_95"] < many["upper_95"]


@pytest.fixture
def expert(cell):
    return InsertionExpert(cell, contract(cell), 16)


def test_the_gap_of_a_policy_that_cannot_cope_shows(cell, make_env, expert) -> None:
    nominal = [t.outcome for t in run_trials(make_env(16, nthread=1), expert, 16, lambda n: None)]
    held_out = {"plate_bias_mm": (-6.0, 6.0)}
    hard = cell.model_copy(update={"held_out": type(cell.held_out).model_validate(held_out)})
    inner = cell.variation.model_copy(update={"plate_bias_mm": (-5.5, 5.5)})
    entries = held_out_report(hard, inner, lambda rows: expert, SEEDS, 16, nominal, lambda n: None)
    assert [e["factor"] for e in entries] == ["plate_bias_mm"]
    assert entries[0]["gap"]["lower_95"] > 0.3
    assert 16 * cell.period_s < entries[0]["simulated_s"] <= 16 * cell.task.timeout_s


def test_sensitivity_names_the_factor_that_breaks_first(cell, make_env, expert, monkeypatch) -> None:
    nominal = [t.outcome for t in run_trials(make_env(16, nthread=1), expert, 16, lambda n: None)]
    monkeypatch.setattr("robot_rlaas.qualify.held_out.REACHES", (1.0, 6.0))
    only = {n: (v, v) for n, (v, _) in cell.variation if n not in ("plate_bias_mm", "plate_yaw_deg")}
    few = cell.model_copy(update={"variation": cell.variation.model_copy(update=only)})
    report = sensitivity_report(few, lambda rows: expert, SEEDS, 16, nominal, lambda n: None)
    assert list(report["curves"]) == ["plate_yaw_deg", "plate_bias_mm"]
    assert report["breaks_first"]["reach"] == 6.0
    assert report["breaks_at"]["plate_bias_mm"] == 6.0
