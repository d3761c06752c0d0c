"""Every shipped insertion cell can be checked, and its scripted expert can do it."""

import pytest

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import cell_path
from robot_rlaas.env.tasks import expert_of
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.sim.check import check

EPISODES = 48
CELLS = ("connector_mating", "gear_meshing", "peg_insertion_round", "peg_insertion_tight")


@pytest.mark.parametrize("name", CELLS)
def test_the_cell_holds_and_its_expert_can_do_it(name: str) -> None:
    """At least 80 % of many episodes, so at least two thirds of these few, but for one run in thousands."""
    cell = Cell.load(name)
    check(cell.spec, cell_path(name))
    env = cell.env(EPISODES, Seeds(0, Space.SHOW))
    expert, observation, ended = expert_of(cell.spec, env.contract, EPISODES), env.reset(), {}
    while len(ended) < EPISODES:
        step = env.step(expert.act(observation))
        expert.reset(step.rows)
        ended |= {outcome.episode: outcome for outcome in step.outcomes if outcome.episode < EPISODES}
        observation = step.observation
    assert sum(outcome.success for outcome in ended.values()) >= 2 * EPISODES // 3
    assert max(outcome.stage for outcome in ended.values()) == len(env.task.stages) - 1
