"""A cell as Gymnasium and Stable-Baselines3 see it: their own checks, and the same bits as the batched environment."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env

from robot_rlaas.assets import data_dir
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Space
from robot_rlaas.env.gym import CellEnv, CellVectorEnv
from robot_rlaas.env.tasks import expert_of
from robot_rlaas.sim.render import Renderer, RenderingUnavailable

CELL = "peg_insertion"
SHIPPED = sorted(path.stem for path in (data_dir("sim_assets") / "cells").glob("*.yaml"))
SEED = 3


@pytest.fixture(scope="module")
def env(cell) -> Iterator[CellEnv]:
    env = CellEnv(cell)
    yield env
    env.close()


@pytest.fixture(scope="module")
def can_render(workcell) -> None:
    try:
        with Renderer(workcell, 32, 32):
            pass
    except RenderingUnavailable as error:
        pytest.skip(str(error))


def expert(env: CellEnv | CellVectorEnv, count: int) -> Any:
    return expert_of(env.batch.cell, env.batch.contract, count)


def play(env: CellEnv, **reset: Any) -> list[tuple]:
    """An episode of the scripted expert: what reset returned, then what every step did."""
    policy = expert(env, 1)
    policy.reset(np.zeros(1, np.int64))
    told: list[tuple] = [env.reset(**reset)]
    while len(told) == 1 or not (told[-1][2] or told[-1][3]):
        told.append(env.step(policy.act(told[-1][0][None])[0]))
    return told


# Names

ANNOUNCED = """
import sys
{imports}
import gymnasium
from robot_rlaas.assets import data_dir
for path in (data_dir("sim_assets") / "cells").glob("*.yaml"):
    assert gymnasium.spec(f"rlaas/{{path.stem}}-v0").kwargs == {{"cell": path.stem}}
assert gymnasium.spec("rlaas/cell-v0")
print(gymnasium.spec("rlaas/peg_insertion-v0").id)
"""
LIGHT = """
import robot_rlaas, sys
for heavy in ("gymnasium", "mujoco", "numpy", "torch"):
    assert heavy not in sys.modules, heavy
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import gymnasium, robot_rlaas",
        f"{LIGHT}import gymnasium",
        f"{LIGHT}import importlib.util; importlib.util.find_spec('gymnasium'); import gymnasium.vector",
    ],
    ids=["after", "before", "before, looked up and imported by another"],
)
def test_every_cell_is_announced_whatever_is_imported_first(imports: str) -> None:
    script = ANNOUNCED.format(imports=imports)
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "rlaas/peg_insertion-v0", ran.stderr


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_cell_can_be_made_both_ways(name: str) -> None:
    single = gymnasium.make(f"rlaas/{name}-v0")
    many = gymnasium.make_vec(f"rlaas/{name}-v0", num_envs=2, vectorization_mode="vector_entry_point")
    observation, _ = single.reset(seed=SEED)
    observations, _ = many.reset(seed=SEED)
    assert single.spec is not None
    assert single.spec.id == f"rlaas/{name}-v0"
    assert observations[0].tobytes() == observation.tobytes()
    assert observations.shape == (2, *single.observation_space.shape)
    single.close()
    many.close()


def test_anybodys_cell_file_can_be_made(tmp_path: Path) -> None:
    shipped = (data_dir("sim_assets") / "cells" / f"{CELL}.yaml").read_text()
    mine = tmp_path / "mine.yaml"
    mine.write_text(shipped.replace(f"name: {CELL}", "name: mine"))
    env = gymnasium.make("rlaas/cell-v0", cell=str(mine))
    assert env.get_wrapper_attr("task") == "mine"
    env.reset(seed=0)
    env.close()
    with pytest.raises(InputError, match="neither a shipped name nor a file"):
        gymnasium.make("rlaas/cell-v0", cell="nowhere.yaml")


# Their own checks


def test_gymnasium_has_nothing_to_complain_about(cell) -> None:
    env = gymnasium.make(f"rlaas/{CELL}-v0").unwrapped
    check_env(env, skip_render_check=True)
    env.close()


def test_gymnasium_has_nothing_to_complain_about_pictures(can_render) -> None:
    env = gymnasium.make(f"rlaas/{CELL}-v0", render_mode="rgb_array").unwrapped
    check_env(env)
    env.close()


def test_sb3_has_nothing_to_complain_about(env: CellEnv) -> None:
    sb3_check_env(env)


def test_sb3_trains_on_it() -> None:
    vec_env = make_vec_env(f"rlaas/{CELL}-v0", n_envs=2, seed=SEED)
    model = PPO("MlpPolicy", vec_env, n_steps=32, batch_size=32, n_epochs=1, device="cpu", seed=0)
    before = [p.clone() for p in model.policy.parameters()]
    model.learn(64)
    assert model.num_timesteps == 64
    assert any((p != q).any() for p, q in zip(model.policy.parameters(), before))
    vec_env.close()


# The same bits


def test_an_episode_is_the_same_bits_alone_in_a_row_and_in_the_batch(env: CellEnv, make_env) -> None:
    rows, horizon = 6, env.batch.cell.horizon
    many = CellVectorEnv(rows, CELL)
    batch = make_env(rows, SEED, Space.TRAIN)
    policies = expert(many, rows), expert(many, rows)
    observation, infos = many.reset(seed=SEED)
    reference = batch.reset()
    assert infos["episode_number"].tolist() == list(range(rows))
    alone = {row: play(env, seed=SEED, options={"episode": row}) for row in (0, 2, 5)}
    running = set(alone)
    for t in range(1, horizon + 1):
        observation, reward, terminated, truncated, infos = many.step(policies[0].act(observation))
        step = batch.step(policies[1].act(reference))
        reference = step.observation
        assert observation.tobytes() == step.observation.tobytes()
        assert reward.tobytes() == step.reward.tobytes()
        for row in sorted(running):
            seen, earned, ended, timed_out, info = alone[row][t]
            assert seen.tobytes() == step.final_observation[row].tobytes()
            assert (earned, ended, timed_out) == (reward[row], terminated[row], truncated[row])
            assert info["reward_terms"] == {name: values[row] for name, values in step.terms.items()}
            if ended or timed_out:
                assert info["outcome"] == step.outcomes[step.rows.tolist().index(row)].flat
                running.remove(row)
    assert not running
    many.close()


def test_the_vector_environment_is_what_gymnasium_makes_of_single_ones() -> None:
    """Everything that it returns, over three episodes, against Gymnasium's own vector environment."""
    theirs = SyncVectorEnv([lambda: CellEnv(CELL)], autoreset_mode=AutoresetMode.SAME_STEP)
    ours = CellVectorEnv(1, CELL)
    for space in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert getattr(ours, space) == getattr(theirs, space)
    assert ours.metadata == theirs.metadata
    mine, yours = ours.reset(seed=SEED), theirs.reset(seed=SEED)
    policy, ended = expert(ours, 1), 0
    while ended < 3:
        assert data_equivalence(mine, yours, exact=True)
        action = policy.act(mine[0]).astype(np.float32)
        mine, yours = ours.step(action), theirs.step(action)
        ended += int(mine[2][0] or mine[3][0])
    assert data_equivalence(mine, yours, exact=True)
    assert mine[4]["final_info"]["outcome"]["episode"][0] == 2
    for env in (ours, theirs):
        env.close()


def test_gymnasiums_own_account_of_an_episode_agrees() -> None:
    env = RecordEpisodeStatistics(CellVectorEnv(4, CELL))
    observation, _ = env.reset(seed=SEED)
    policy, ended = expert(env.unwrapped, 4), 0
    while ended < 4:
        observation, _, terminated, truncated, infos = env.step(policy.act(observation))
        for row in np.flatnonzero(terminated | truncated):
            outcome = {name: values[row] for name, values in infos["final_info"]["outcome"].items()}
            assert infos["episode"]["l"][row] == outcome["steps"]
            assert infos["episode"]["r"][row] == pytest.approx(outcome["reward"])
            ended += 1
    env.close()


def test_workers_run_the_same_episodes() -> None:
    """Gymnasium's processes, one cell each, against one process."""
    observations = []
    for mode in ("async", "sync"):
        env = gymnasium.make_vec(f"rlaas/{CELL}-v0", num_envs=2, vectorization_mode=mode)
        env.reset(seed=SEED)
        env.action_space.seed(0)
        observations.append([env.step(env.action_space.sample())[0] for _ in range(3)])
        env.close()
    np.testing.assert_array_equal(observations[0], observations[1])


# Episodes


def test_success_terminates_and_the_timeout_truncates(env: CellEnv) -> None:
    told = play(env, seed=0)
    info = told[-1][4]
    assert told[-1][2:4] == (True, False)
    assert info["is_success"]
    assert info["outcome"]["steps"] == len(told) - 1
    assert info["outcome"]["reward"] == pytest.approx(sum(step[1] for step in told[1:]))
    assert not any(step[4]["is_success"] for step in told[1:-1])
    assert all(sum(step[4]["reward_terms"].values()) == pytest.approx(step[1]) for step in told[1:])
    env.reset()
    for t in range(env.batch.cell.horizon):
        *_, terminated, truncated, info = env.step(np.zeros(env.action_space.shape, np.float32))
        assert truncated == (t + 1 == env.batch.cell.horizon)
        assert not terminated
    assert not info["is_success"]
    assert info["outcome"]["cycle_time_s"] == np.inf


def test_episodes_count_up_and_can_be_named(env: CellEnv) -> None:
    first, _ = env.reset(seed=SEED)
    assert [env.reset()[1]["episode_number"] for _ in range(2)] == [1, 2]
    assert env.reset(options={"episode": 7})[1] == {"episode_number": 7}
    assert env.reset(options={"of another tool": True})[1] == {"episode_number": 8}
    again, info = env.reset(seed=SEED)
    assert info["episode_number"] == 0
    assert again.tobytes() == first.tobytes()
    assert env.reset(seed=SEED + 1)[0].tobytes() != first.tobytes()


def test_without_a_seed_no_two_environments_run_the_same(cell) -> None:
    one, other = CellEnv(cell), CellEnv(cell)
    assert one.reset()[0].tobytes() != other.reset()[0].tobytes()


def test_an_episode_is_begun_once(env: CellEnv, monkeypatch) -> None:
    """The batch would begin the next one by itself; a single environment must not pay for that as well."""
    begun, reset = [], env.batch.backend.reset
    monkeypatch.setattr(env.batch.backend, "reset", lambda ids, *rest: begun.append(ids) or reset(ids, *rest))
    for _ in range(2):
        play(env)
    assert len(begun) == 2


def test_there_are_no_steps_beyond_the_end(cell, env: CellEnv) -> None:
    with pytest.raises(ResetNeeded):
        CellEnv(cell).step(np.zeros(4))
    play(env, seed=0)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(env.action_space.shape))
    env.reset()


@pytest.mark.parametrize("episode", [-1, 1.5, "3"])
def test_a_number_that_no_episode_has_is_refused(env: CellEnv, episode: Any) -> None:
    with pytest.raises(InputError, match="episode"):
        env.reset(options={"episode": episode})


def test_unknown_names_are_refused_with_those_that_exist(cell) -> None:
    with pytest.raises(InputError, match="space='TEST'; allowed are DEMONSTRATE, TRAIN"):
        CellEnv(cell, space="TEST")
    with pytest.raises(InputError, match="rows are episodes of one seed"):
        CellVectorEnv(2, cell).reset(seed=[1, 2])  # pyright: ignore[reportArgumentType]


# Pictures


def test_pictures_show_the_episode_that_runs(cell, can_render) -> None:
    env = CellEnv(cell, render_mode="rgb_array", camera="close", size_px=(160, 120))
    many = CellVectorEnv(2, cell, render_mode="rgb_array", camera="close", size_px=(160, 120))
    env.reset(seed=SEED, options={"episode": 1})
    many.reset(seed=SEED)
    picture, rows = env.render(), many.render()
    assert picture is not None
    assert rows is not None
    assert (picture.shape, picture.dtype) == ((120, 160, 3), np.uint8)
    np.testing.assert_array_equal(rows[1], picture)
    assert (rows[0] != picture).mean() > 0.05
    assert env.metadata["render_fps"] == many.metadata["render_fps"] == 20
    for one in (env, many):
        one.close()
        one.close()


def test_without_opengl_everything_but_pictures_works(cell, monkeypatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    env = CellEnv(cell, render_mode="rgb_array")
    env.reset(seed=SEED)
    env.step(np.zeros(env.action_space.shape, np.float32))
    with pytest.raises(RenderingUnavailable, match="MUJOCO_GL"):
        env.render()
    env.close()
    assert CellEnv(cell).render() is None
