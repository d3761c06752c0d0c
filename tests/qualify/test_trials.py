"""Qualification episodes: all of them, in order, each with the start it really had."""

import numpy as np

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.qualify.trials import START_AXES, run_trials, starts_of
from robot_rlaas.sim.variation import draw


def test_a_trial_keeps_its_own_start_though_its_row_goes_on(make_env, cell) -> None:
    """Five rows run twelve episodes: every row is used again."""
    env, ended = make_env(5, space=Space.QUALIFY, first=3, nthread=1), []
    trials = run_trials(env, InsertionExpert(cell, env.contract, 5), 12, ended.append)
    assert [trial.outcome.episode for trial in trials] == list(range(3, 15))
    assert sum(ended) >= 12
    drawn = draw(cell, Seeds(0, Space.QUALIFY), np.arange(3, 15))
    np.testing.assert_array_equal([trial.start for trial in trials], starts_of(drawn))


def test_start_axes_are_in_their_units(cell) -> None:
    d = draw(cell, Seeds(0, Space.SHOW), np.arange(200))
    starts = dict(zip(START_AXES, starts_of(d).T, strict=True))
    np.testing.assert_allclose(starts["hand_z_mm"] / 1e3, d.hand_m[:, 2])
    np.testing.assert_allclose(np.deg2rad(starts["hand_ry_deg"]), d.hand_rad[:, 1])
    np.testing.assert_allclose(starts["delay_ms"] / 1e3, d.delay_s)
    np.testing.assert_allclose(starts["gain_scale"], d.gain_scale.mean(1))
    for name, (low, high) in (
        ("plate_yaw_deg", cell.variation.plate_yaw_deg),
        ("bias_yaw_deg", cell.variation.plate_bias_deg),
        ("hand_rz_deg", cell.variation.hand_offset_deg),
        ("friction", cell.variation.friction),
        ("joint_friction_Nm", cell.variation.joint_friction_Nm),
        ("damping_scale", cell.variation.joint_damping_scale),
    ):
        assert low <= starts[name].min() < starts[name].max() <= high
