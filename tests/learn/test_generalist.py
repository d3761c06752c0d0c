"""Several cells as one environment to learn in, and what comes out of it for one of them."""

import itertools

import numpy as np
import pytest

from bench.generalist import CELLS, Judged, Trained, between, train
from bench.joined import ABOUT_THE_CELL, Experts, Joined, about, settled
from robot_rlaas.bundle.network import OnnxPolicy
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.data.episode import record
from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.env.tasks import contract_of, expert_of
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.learn.improve import make_model
from robot_rlaas.learn.network import acted, export_onnx
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.learn.vec_env import BatchVecEnv

ROWS = 3
SMOKE = load_recipe("smoke").model_copy(update={"validate_every": 10, "demonstrations": 4, "validation_episodes": 8})


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return [Cell.load(name) for name in ("peg_insertion_tight", "gear_meshing")]


def envs(cells: list[Cell]) -> list[BatchEnv]:
    return [cell.env(ROWS, Seeds(4, Space.SHOW)) for cell in cells]


def test_rows_live_as_they_would_alone(cells) -> None:
    alone, rng = envs(cells), np.random.default_rng(0)
    joined, ended = Joined(envs(cells), telling=True), []
    seen = joined.reset()
    expected = np.concatenate([env.reset() for env in alone])
    for _ in range(250):  # longer than the longest episode
        np.testing.assert_array_equal(joined.plain(seen), expected)
        np.testing.assert_array_equal(joined.observation, seen)
        action = rng.uniform(-1, 1, (2 * ROWS, 4))
        step, steps = joined.step(action), [e.step(a) for e, a in zip(alone, np.split(action, 2))]
        expected, seen = np.concatenate([s.observation for s in steps]), step.observation
        for name in ("reward", "done", "truncated"):
            np.testing.assert_array_equal(getattr(step, name), np.concatenate([getattr(s, name) for s in steps]))
        np.testing.assert_array_equal(step.rows, np.flatnonzero(step.done))
        np.testing.assert_allclose(sum(step.terms.values()), step.reward)
        final = np.concatenate([s.final_observation for s in steps])
        np.testing.assert_array_equal(joined.plain(step.final_observation), final)
        own = [o._replace(episode=2 * o.episode + i) for i, s in enumerate(steps) for o in s.outcomes]
        assert step.outcomes == own
        ended += [outcome.episode for outcome in own]
    assert len(set(ended)) == len(ended) >= 2 * ROWS
    np.testing.assert_array_equal(joined.episode % 2, [0] * ROWS + [1] * ROWS)


def test_no_number_is_missing_where_one_cell_was_ahead(cells) -> None:
    """Else whoever waits for so many numbers in a row waits for ever."""
    joined = Joined([cell.env(ROWS, Seeds(4, Space.SHOW), first=5 * i) for i, cell in enumerate(cells)], telling=True)
    joined.reset()
    assert sorted(joined.episode) == list(range(10, 10 + 2 * ROWS))


def test_every_row_says_what_sets_its_cell_apart(cells) -> None:
    joined = Joined(envs(cells), telling=True)
    told = joined.contract.unpack(joined.reset())
    np.testing.assert_allclose(told["plate"], [[0.2, 0.5, 20]] * ROWS + [[0.25, 1.0, 18]] * ROWS)
    np.testing.assert_allclose(told["timeout"], [[12]] * ROWS + [[10]] * ROWS)
    np.testing.assert_allclose(told["part"], [[1, 0, 0]] * ROWS + [[0, 0, 1]] * ROWS)
    assert Joined(envs(cells), telling=False).contract == cells[0].env(1, Seeds(0, Space.SHOW)).contract


def test_no_two_cells_are_told_alike() -> None:
    specs = [*(load_cell(name) for name in CELLS), between()]
    for one, other in itertools.combinations(specs, 2):
        assert (about(one) != about(other)).any()
    assert len(about(specs[0])) == sum(len(feature.axes) for feature in ABOUT_THE_CELL)


def test_cells_of_other_contracts_are_refused(cells) -> None:
    handling = Cell.load("machine_tending").env(1, Seeds(0, Space.SHOW))
    with pytest.raises(InputError, match="machine_tending and gear_meshing have different contracts"):
        Joined([*envs(cells[1:]), handling], telling=True)


def test_each_expert_acts_for_its_own_rows_and_all_are_recorded(cells) -> None:
    joined, rng = Joined(envs(cells), telling=True), np.random.default_rng(0)
    episodes = record(joined, Experts(joined), 2 * ROWS, 0.0, rng, lambda: None)
    own = [record(e, expert_of(e.cell, e.contract, ROWS), ROWS, 0.0, rng, lambda: None) for e in envs(cells)]
    assert [episode.number for episode in episodes] == list(range(2 * ROWS))
    for i, alone in enumerate(own):
        for one, other in zip(episodes[i::2], alone):
            np.testing.assert_array_equal(one.action, other.action)
            np.testing.assert_array_equal(joined.plain(one.observation), other.observation)
            np.testing.assert_array_equal(one.start, other.start)


@pytest.mark.parametrize("cell", [0, 1])
def test_a_settled_network_does_what_the_whole_one_does_in_that_cell(cells, cell) -> None:
    joined, rng = Joined(envs(cells), telling=True), np.random.default_rng(0)
    seen = joined.reset()
    mean, std = rng.normal(0, 1, (2, seen.shape[1]))
    model = make_model(BatchVecEnv(joined), SMOKE, mean, np.abs(std) + 0.5, 0, "cpu")
    network, rows = export_onnx(model.policy), joined.split(seen)[cell]
    contract = contract_of(cells[cell].spec)
    mine, others = (OnnxPolicy(settled(network, about(cells[i].spec)), contract) for i in (cell, 1 - cell))
    np.testing.assert_allclose(mine.act(joined.plain(rows)), acted(model.policy, rows), atol=1e-6)
    assert np.abs(others.act(joined.plain(rows)) - acted(model.policy, rows)).max() > 1e-4


@pytest.mark.parametrize("names", [CELLS[:1], CELLS[:2]])
def test_training_spends_its_budget_and_no_more(names) -> None:
    steps = 5000
    trained: Trained = train(names, SMOKE, steps)
    update = SMOKE.rollout_steps * SMOKE.simulations
    assert steps * len(names) - update < trained.steps <= steps * len(names)
    assert trained.told == (len(names) > 1)
    assert trained.core_s > 0
    assert trained.looked > 0
    for name in names:
        spec = load_cell(name)
        action = trained.policy_for(spec).act(np.zeros((1, contract_of(spec).observation_size), np.float32))
        assert action.shape == (1, 4)
        assert np.isfinite(action).all()


def outcome(episode: int, success: bool, force_N: float) -> Outcome:
    return Outcome(episode, success, 1.0, force_N, False, 3, 20, 0.0, (), 0.0)


def test_figures_are_of_the_same_starts() -> None:
    mine = Judged([outcome(i, True, float(i)) for i in range(100)], 1e-5)
    theirs = Judged([outcome(i, i >= 20, 0.0) for i in range(100)], 1e-5)
    difference = mine.better_than(theirs)
    assert difference.value == pytest.approx(0.2)
    assert 0.1 < difference.lower < 0.2 < difference.upper < 0.3
    assert mine.force_N == 94.0
    figures = theirs.figures("here")
    assert figures["here/success"].value == 0.8
    assert figures["here/lower_95"].value < 0.8
    assert figures["here/inference"].value == pytest.approx(10)
