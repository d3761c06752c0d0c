"""Which episodes are trained on where a policy fails."""

import numpy as np

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.qualify.focus import FEWEST, FIRST, Focus, failing, focus_of
from robot_rlaas.qualify.trials import START_AXES, starts_of
from robot_rlaas.sim.variation import draw

TRAIN = Seeds(3, Space.TRAIN)


def test_a_share_of_the_numbers_is_replaced_in_turn() -> None:
    half, quarter = (Focus(share, np.array([100, 101, 102]), 0.1, 0.5) for share in (0.5, 0.25))
    assert half(np.arange(8)).tolist() == [0, 100, 2, 101, 4, 102, 6, 100]
    assert quarter(np.arange(8)).tolist() == [0, 1, 2, 100, 4, 5, 6, 101]
    assert half(np.array([5])).tolist() == [102]  # whatever is asked beside it


def test_an_episode_is_begun_by_its_number(make_env, cell) -> None:
    env = make_env(4)
    env._order = Focus(0.5, np.array([70, 71]), 0.1, 0.5)
    env.reset()
    assert env.episode.tolist() == [0, 70, 2, 71]
    expected = draw(cell, env.seeds, env.episode)
    assert env.draw.plate_xy_m.tobytes() == expected.plate_xy_m.tobytes()


def test_the_model_tells_what_fails() -> None:
    """Failing beyond a bound in one of three figures."""
    rng = np.random.default_rng(0)
    seen, asked = rng.normal(size=(1000, 3)), rng.normal(size=(1000, 3))
    risk = failing(seen, seen[:, 1] > 1.2, asked)
    fails = asked[:, 1] > 1.2
    assert risk[fails].mean() > 0.6
    assert risk[~fails].mean() < 0.06


def report(cell, count: int) -> dict:
    """A policy that fails where the part sits off in x in the hand, `count` times at most."""
    seeds, numbers = Seeds(0, Space.QUALIFY, (1, 2)), np.arange(300)
    off = np.abs(starts_of(draw(cell, seeds, numbers))[:, START_AXES.index("hand_x_mm")])
    failed = np.flatnonzero(off > 0.8)[:count].tolist()
    told = {"seed": 0, "space": "QUALIFY", "key": [1, 2], "per_episode": {"episode": numbers.tolist()}}
    return told | {"failures": [{"episodes": failed}]}


def test_starts_are_chosen_where_a_policy_fails(cell) -> None:
    focus = focus_of(cell, cell, TRAIN, report(cell, 300))
    assert focus is not None
    assert focus.numbers.min() >= FIRST
    assert len(set(focus.numbers.tolist())) == len(focus.numbers)
    chosen = np.abs(starts_of(draw(cell, TRAIN, focus.numbers))[:, START_AXES.index("hand_x_mm")])
    assert np.mean(chosen > 0.8) > 0.5  # of all, a fifth
    assert focus.chosen_risk > 2 * focus.risk


def test_too_few_failures_tell_nothing(cell) -> None:
    assert focus_of(cell, cell, TRAIN, report(cell, FEWEST - 1)) is None
