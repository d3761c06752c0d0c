"""Observations, sorted by the episode they are of."""

from itertools import islice

import numpy as np

from robot_rlaas.cell.seeds import Space
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.qualify.observed import Observed
from robot_rlaas.qualify.trials import stream


def test_each_episode_gets_its_own_in_order_of_time():
    """Two rows; episode 0 ends after two periods, and 2 follows it in its row."""
    observed = Observed(3)
    periods = (((0, 1), (0, 10)), ((0, 1), (1, 11)), ((2, 1), (20, 12)), ((2, 3), (21, 30)))
    for episodes, values in periods:
        observed.note(np.array(episodes), np.array(values, dtype=np.float32)[:, None])
    assert [part[:, 0].tolist() for part in observed.of([1, 0, 2])] == [[10, 11, 12], [0, 1], [20, 21]]
    assert observed.of([3, 4]) == [], "no more than the first three are kept"
    assert Observed(3).of([0]) == []


def test_a_streams_episodes_are_all_there(make_env, cell):
    """As many observations as control periods, and the clock in each says which it is."""
    env, observed = make_env(5, space=Space.QUALIFY, first=3, nthread=1), Observed(12)
    expert = InsertionExpert(cell, env.contract, 5)
    trials = list(islice(stream(env, expert, lambda ended: None, observed), 12))
    seen = observed.of([trial.outcome.episode for trial in trials])
    assert [len(part) for part in seen] == [trial.outcome.steps for trial in trials]
    for part in seen:
        elapsed = env.contract.unpack(part)["clock"][:, 2] * cell.horizon
        np.testing.assert_allclose(elapsed, np.arange(len(part)), atol=1e-3)
