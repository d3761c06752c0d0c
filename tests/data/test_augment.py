"""New demonstrations of a few: what is moved, what is answered, what is kept, and that it is what it says."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from samples import Notes

from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.control.controller import ToolState
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.rotation import DOWN, about_z
from robot_rlaas.data.augment import augment
from robot_rlaas.data.episode import Episode, record, start_axes
from robot_rlaas.data.lerobot import read_dataset, write_dataset
from robot_rlaas.data.lineage import Made, lineage_of, read_lineage
from robot_rlaas.data.retarget import Retarget, less, stretched
from robot_rlaas.data.segments import segments_of
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.insertion import task as insertion
from robot_rlaas.env.tasks import contract_of, expert_of
from robot_rlaas.jobs import demos
from robot_rlaas.jobs.pipeline import Cell


def demonstrated(name: str, count: int) -> list[Episode]:
    cell = Cell.load(name)
    env = cell.env(count, Seeds(0, Space.DEMONSTRATE))
    expert = expert_of(cell.spec, env.contract, count)
    episodes = record(env, expert, count, 0.1, np.random.default_rng(0), lambda: None)
    return [episode for episode in episodes if episode.success]


def written(path: Path, cell: CellSpec, episodes: list[Episode]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lerobot's and datasets' own
        lineage = lineage_of(cell, contract_of(cell), start_axes(cell), Made(by="a test"))
        write_dataset(path, lineage, episodes)
    return path


@pytest.fixture(scope="module")
def insertions() -> list[Episode]:
    return demonstrated("peg_insertion", 8)


@pytest.fixture(scope="module")
def tendings() -> list[Episode]:
    return demonstrated("machine_tending", 4)


def test_a_way_begins_elsewhere_and_ends_where_it_did() -> None:
    way = np.array([[0.10, 0.0, 0.0, 0.0], [0.10, 0.0, 0.2, 0.0], [0.05, 0.0, 0.2, 0.1], [0.0, 0.0, 0.0, 0.2]])
    end, way_m = np.repeat(way[-1:], 4, axis=0), np.full(4, 0.10)
    np.testing.assert_array_equal(stretched(way, end, way_m, np.zeros((4, 4))), way)
    moved = stretched(way, end, way_m, np.tile([0.0, 0.04, 0.0, 0.0], (4, 1)))
    np.testing.assert_allclose(moved[:, 1], [0.04, 0.04, 0.02, 0.0])  # straight up first, then straight across
    np.testing.assert_array_equal(moved[:, [0, 2, 3]], way[:, [0, 2, 3]])


def test_a_turn_is_taken_the_short_way() -> None:
    turned = less(np.array([[0.1, 0.0, 0.0, 3.0]]), np.array([[0.0, 0.0, 0.0, -3.0]]))
    np.testing.assert_allclose(turned, [[0.1, 0.0, 0.0, 6.0 - 2 * np.pi]])


@pytest.mark.parametrize("name", ["insertions", "tendings"])
def test_where_a_demonstration_was_made_it_is_done_again_as_it_was(name: str, request) -> None:
    episode = request.getfixturevalue(name)[0]
    cell = load_cell({"insertions": "peg_insertion", "tendings": "machine_tending"}[name])
    policy = Retarget(cell, contract_of(cell), 1, [episode])
    policy.reset(np.arange(1))
    again = np.concatenate([policy.act(seen[None]) for seen in episode.observation])
    np.testing.assert_allclose(again, episode.action, atol=1e-5)


def test_at_an_object_turned_by_90_degrees_the_tool_goes_the_same_way_turned(insertions, cell) -> None:
    contract, quarter = contract_of(cell), about_z(np.array([np.pi / 2]))
    lead = np.array([[0.001, 0.0, -0.002]])
    steps = []
    for R in (about_z(np.zeros(1)), quarter):
        frame = Pose(R, np.array([[0.5, 0.1, 0.06]]))
        at = frame.p + (R @ np.array([[0.02, -0.01, 0.03]])[..., None])[..., 0]
        tool = ToolState(Pose(R @ DOWN, at), np.concatenate([(R @ lead[..., None])[..., 0], np.zeros((1, 3))], axis=1))
        still = np.zeros((1, 6)), np.zeros((1, 4)), np.zeros(1), insertion.untouched(1)
        seen, _ = insertion.observe(cell, frame, tool, *still)
        policy = Retarget(cell, contract, 1, insertions)
        policy.reset(np.arange(1))
        steps.append((R @ policy.act(contract.pack(seen))[:, :3, None])[0, :, 0])
    np.testing.assert_allclose(steps[1], quarter[0] @ steps[0], atol=1e-5)
    assert np.linalg.norm(steps[0]) > 0.5


def test_it_answers_to_a_lead_as_the_demonstrator_did(insertions, cell) -> None:
    """In the hole, the expert takes back half of a sideways lead per period: nobody has told the policy."""
    contract = contract_of(cell)
    policy, expert = Retarget(cell, contract, 1, insertions), expert_of(cell, contract, 1)
    seen = next(e for e in insertions if e.observation.shape[0] > 60).observation[-12][None]
    more = seen.copy()
    contract.unpack(more)["lead_position"][:, 0] += 0.0006  # a tenth of a step
    answers = []
    for who in (policy, expert):
        answers.append(who.act(more)[0, 0] - who.act(seen)[0, 0])
    assert answers[1] == pytest.approx(-0.05, abs=1e-5)
    assert answers[0] == pytest.approx(answers[1], abs=0.01)


def test_stages_are_read_from_what_is_seen() -> None:
    cell = Cell.load("machine_tending")
    env = cell.env(2, Seeds(0, Space.SHOW))
    expert, segments = expert_of(cell.spec, env.contract, 2), segments_of(cell.spec, env.contract)
    seen, at, fresh = env.reset(), np.zeros(2, int), np.ones(2, bool)
    visited = set()
    for _ in range(200):
        at = segments.segment(at, seen, fresh)
        np.testing.assert_array_equal(at, env.task.believed)
        visited |= set(at.tolist())
        step = env.step(expert.act(seen))
        seen, fresh = step.observation, step.done
    assert len(visited) >= 5


def test_what_is_kept_succeeds_again_to_the_bit(insertions, cell, workcell, tmp_path: Path) -> None:
    few = written(tmp_path / "few", cell, [*insertions[:3], insertions[3]._replace(success=False, operator="anna")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = demos.augment(few, 6, 30, 0.1, 0, tmp_path / "many", Notes())
    assert result.passed, result.text
    lineage, episodes = read_lineage(tmp_path / "many"), read_dataset(tmp_path / "many", contract_of(cell))
    assert lineage.made.by == "rlaas demos augment"
    assert [parent.name for parent in lineage.made.parents] == ["few"]
    assert lineage.made.left_out == ("episode 3 failed: nothing is taken from it",)
    assert len(episodes) == 6
    numbers = [e.number for e in episodes]
    assert numbers == sorted(set(numbers))
    for episode in episodes:
        assert episode.seeds is not None
        assert (episode.seeds.space, episode.operator, episode.success) == (Space.AUGMENT, "scripted", True)
        assert episode.seeds.key, "two datasets that are augmented with one seed must not share starts"
        env = Cell(cell, workcell, tmp_path).env(1, episode.seeds, first=episode.number)
        seen, ended = [env.reset()[0].copy()], []
        for action in episode.executed:
            step = env.step(action[None])
            seen.append(step.observation[0].copy())
            ended += step.outcomes
        np.testing.assert_array_equal(np.array(seen[:-1]), episode.observation)
        assert [outcome.success for outcome in ended] == [True]


def test_a_job_with_a_gripper_and_a_gate(tendings) -> None:
    cell = Cell.load("machine_tending")
    env = cell.env(8, Seeds(0, Space.AUGMENT))
    done = augment(env, tendings, 8, 8, 0.1, np.random.default_rng(0), lambda kept, tried: None)
    assert done.tried == 8
    assert len(done.kept) >= 6


def test_demonstrations_that_lead_nowhere(insertions, make_env, cell, tmp_path: Path) -> None:
    env: BatchEnv = make_env(4, space=Space.AUGMENT)
    told: list[tuple[int, int]] = []
    short = [episode.take(slice(0, 10)) for episode in insertions]
    done = augment(env, short, 2, 6, 0.0, np.random.default_rng(0), lambda kept, tried: told.append((kept, tried)))
    assert (done.kept, done.tried, told) == ([], 6, [(0, n + 1) for n in range(6)])
    assert done.past == [("approach", 6, 0)]
    few = written(tmp_path / "few", cell, short)
    with pytest.raises(StageError, match=r"0 of 3 attempts succeeded; nothing is written\n  approach: 0 of 3 got past"):
        demos.augment(few, 2, 3, 0.0, 0, tmp_path / "many", Notes())
    assert not (tmp_path / "many").exists()


def test_nothing_to_do_again(insertions, cell, tmp_path: Path) -> None:
    few = written(tmp_path / "few", cell, [insertions[0]._replace(success=False)])
    with pytest.raises(InputError, match="none of its episodes succeeded"):
        demos.augment(few, 2, 3, 0.1, 0, tmp_path / "many", Notes())
    with pytest.raises(InputError, match="take the place of one that it is made of"):
        demos.augment(few, 2, 3, 0.1, 0, few, Notes())
    with pytest.raises(InputError, match="name a dataset"):
        demos.augment(tmp_path / "none", 2, 3, 0.1, 0, tmp_path / "many", Notes())
