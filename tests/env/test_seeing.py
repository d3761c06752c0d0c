"""Cells with cameras as environments: pictures on request, a plate that no observation speaks of, a teacher."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.gym import CellEnv, CellVectorEnv
from robot_rlaas.env.insertion.told import observed
from robot_rlaas.env.tasks import contract_of, expert_of
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import Workcell, build
from robot_rlaas.sim.render import Renderer, RenderingUnavailable
from robot_rlaas.sim.variation import draw

CELL = "peg_insertion_camera"
SEED = 3


@pytest.fixture(scope="module")
def cell() -> CellSpec:
    return load_cell(CELL)


@pytest.fixture(scope="module")
def workcell(cell: CellSpec) -> Workcell:
    return build(cell)


@pytest.fixture(scope="module")
def can_render(workcell: Workcell) -> None:
    try:
        with Renderer(workcell, 32, 32):
            pass
    except RenderingUnavailable as error:
        pytest.skip(str(error))


def env_of(cell: CellSpec, workcell: Workcell, rows: int, space: Space = Space.SHOW) -> BatchEnv:
    return BatchEnv(cell, workcell, CpuBackend(workcell, cell, rows), Seeds(0, space))


# Pictures on request


def test_gymnasium_and_sb3_have_nothing_to_complain_about(cell, can_render) -> None:
    env = gymnasium.make(f"rlaas/{CELL}-v0", cameras=True).unwrapped
    check_env(env, skip_render_check=True)
    sb3_check_env(env)
    seen, _ = env.reset(seed=SEED)
    assert list(env.observation_space) == ["cell", "state", "wrist"]
    assert seen["state"].shape == (contract_of(cell).observation_size,)
    assert (seen["wrist"].shape, seen["wrist"].dtype) == ((96, 96, 3), np.uint8)
    env.close()
    env.close()


def test_the_vector_environment_is_what_gymnasium_makes_of_single_ones(can_render) -> None:
    """Everything that it returns, pictures and last pictures included, over two episodes."""
    theirs = SyncVectorEnv([lambda: CellEnv(CELL, cameras=True)], autoreset_mode=AutoresetMode.SAME_STEP)
    ours = CellVectorEnv(1, CELL, cameras=True)
    assert ours.observation_space == theirs.observation_space
    policy, ended = expert_of(ours.batch.cell, ours.batch.contract, 1), 0
    ours.batch.tell(policy)
    mine, yours = ours.reset(seed=SEED), theirs.reset(seed=SEED)
    while ended < 2:
        assert data_equivalence(mine, yours, exact=True)
        action = policy.act(mine[0]["state"])
        mine, yours = ours.step(action), theirs.step(action)
        ended += int(mine[2][0] or mine[3][0])
    assert data_equivalence(mine, yours, exact=True)
    assert (mine[4]["final_obs"][0]["wrist"] != mine[0]["wrist"][0]).any()
    for env in (ours, theirs):
        env.close()


def test_a_row_sees_what_it_would_see_alone(can_render) -> None:
    alone, many = CellEnv(CELL, cameras=True), CellVectorEnv(3, CELL, cameras=True)
    seen, _ = alone.reset(seed=SEED, options={"episode": 2})
    rows, _ = many.reset(seed=SEED)
    for _ in range(2):
        for name in rows:
            np.testing.assert_array_equal(rows[name][2], seen[name])
        seen, *_ = alone.step(np.array([0.5, 0, -1, 0.2]))
        rows, *_ = many.step(np.tile([0.5, 0, -1, 0.2], (3, 1)))
    kept = rows["wrist"].copy()
    many.step(np.zeros((3, 4)))
    np.testing.assert_array_equal(rows["wrist"], kept)
    alone.close()
    many.close()


def test_who_does_not_ask_for_pictures_pays_for_none(cell, monkeypatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    env = CellEnv(cell)
    assert isinstance(env.reset(seed=SEED)[0], np.ndarray)
    assert isinstance(env.batch.backend, CpuBackend)
    seeing = CellEnv(cell, cameras=True)
    with pytest.raises(RenderingUnavailable, match="MUJOCO_GL"):
        seeing.reset(seed=SEED)
    seeing.close()
    with pytest.raises(InputError, match="the cell 'peg_insertion' has no cameras"):
        CellEnv("peg_insertion", cameras=True)


# A plate that no observation speaks of


def test_the_observation_does_not_say_where_the_plate_lies(cell, workcell) -> None:
    env, twin = env_of(cell, workcell, 2), env_of(observed(cell), workcell, 2)
    starts = draw(cell, Seeds(0, Space.SHOW), np.zeros(2))
    starts.plate_xy_m[:], starts.plate_yaw_rad[:] = [(0.02, -0.03), (-0.01, 0.0)], (0.1, -0.1)
    one, other = env.reset(starts=starts)
    assert one.tobytes() == other.tobytes()
    told, elsewhere = twin.reset(starts=starts)
    assert (told != elsewhere).any()
    assert {f.frame for f in (*env.contract.observation, *env.contract.action)} == {"nominal", "-"}
    np.testing.assert_array_equal(env.task.frame.R, np.tile(np.eye(3), (2, 1, 1)))
    np.testing.assert_allclose(env.task.frame.p, np.tile([0.5, 0.0, 0.06], (2, 1)))


# A teacher that knows


def test_the_teacher_acts_as_it_would_if_the_plate_were_observed(cell, workcell) -> None:
    """The same motion in the cell and in its observed twin: the expert's action there, turned from the hole's frame."""
    env, twin = env_of(cell, workcell, 6), env_of(observed(cell), workcell, 6)
    teacher = expert_of(cell, env.contract, 6)
    env.tell(teacher)
    expert = expert_of(twin.cell, twin.contract, 6)
    hidden, seen = env.reset(), twin.reset()
    c, s = np.cos(env.draw.plate_yaw_rad), np.sin(env.draw.plate_yaw_rad)
    off = []
    for _ in range(50):
        taught, told = teacher.act(hidden), expert.act(seen)
        x, y = told[:, :2].T
        wanted = np.stack([c * x - s * y, s * x + c * y], axis=1)
        wanted /= np.maximum(1.0, np.abs(wanted).max(axis=1, keepdims=True))
        off.append(np.abs(taught - np.concatenate([wanted, told[:, 2:]], axis=1)).max(axis=1))
        x, y = taught[:, :2].T
        same = np.column_stack([c * x + s * y, c * y - s * x, taught[:, 2:]])
        hidden, seen = env.step(taught).observation, twin.step(same).observation
    assert np.max(off[:10]) < 1e-3
    assert np.mean(np.array(off) < 2e-3) > 0.98  # a rounding error can turn it from one rule to the next


def test_the_teacher_succeeds(cell, workcell) -> None:
    env = env_of(cell, workcell, 60)
    teacher, ended = expert_of(cell, env.contract, 60), {}
    env.tell(teacher)
    observation = env.reset()
    while len(ended) < 60:
        step = env.step(teacher.act(observation))
        observation = step.observation
        ended |= {o.episode: o.success for o in step.outcomes if o.episode < 60}
    assert sum(ended.values()) >= 57


def test_a_teacher_whom_nobody_told_says_so(cell, workcell) -> None:
    env = env_of(cell, workcell, 1)
    with pytest.raises(StageError, match=r"call `BatchEnv\.tell`"):
        expert_of(cell, env.contract, 1).act(env.reset())
