"""Demonstrations on disk: LeRobot reads them, we read them, and damage is noticed."""

import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.data.episode import record, start_axes
from robot_rlaas.data.lerobot import append_episode, read_dataset, write_dataset
from robot_rlaas.data.lineage import Made, lineage_of, read_lineage
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    cell = load_cell("peg_insertion")
    work = build(cell)
    env = BatchEnv(cell, work, CpuBackend(work, cell, 6), Seeds(0, Space.DEMONSTRATE))
    ended = []
    rng = np.random.default_rng(0)
    episodes = record(env, InsertionExpert(cell, env.contract, 6), 5, 0.1, rng, lambda: ended.append(1))
    assert len(ended) == 5
    path = tmp_path_factory.mktemp("data") / "demonstrations"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lerobot's and datasets' own
        write_dataset(path, lineage_of(cell, env.contract, start_axes(cell), Made(by="a test")), episodes)
    return path, env.contract, episodes


def test_what_is_read_is_what_was_recorded(recorded) -> None:
    path, contract, episodes = recorded
    again = read_dataset(path, contract)
    assert [e.number for e in again] == [0, 1, 2, 3, 4]
    for a, b in zip(again, episodes):
        for name in ("observation", "action", "executed", "reward", "stamp_s", "late", "corrected"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert (a.success, a.seeds, a.operator, a.recorded_at) == (b.success, b.seeds, b.operator, b.recorded_at)
    assert read_lineage(path).sequences == [{"seed": 0, "space": "DEMONSTRATE", "key": []}]


def test_an_episode_simulated_again_is_the_same_to_the_bit(recorded) -> None:
    path, contract, _ = recorded
    lineage = read_lineage(path)
    work = build(lineage.spec)
    for episode in read_dataset(path, contract)[:2]:
        env = BatchEnv(lineage.spec, work, CpuBackend(work, lineage.spec, 1), episode.seeds, restart=False)
        seen = [env.reset(episode=episode.number)[0].copy()]
        for action in episode.executed:
            step = env.step(action[None])
            seen.append(step.observation[0].copy())
        np.testing.assert_array_equal(np.array(seen[:-1]), episode.observation)
        assert step.outcomes[0].success == episode.success
        assert step.outcomes[0].peak_force_N == episode.peak_force_N


@pytest.mark.filterwarnings("ignore")
def test_episodes_are_added_one_by_one_with_their_pictures(recorded, tmp_path: Path) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    path, contract, episodes = recorded
    short = [e.take(slice(0, 5)) for e in episodes[:3]]
    taken = [
        e._replace(pictures={"wrist": np.full((5, 64, 64, 3), 40 * (i + 1), np.uint8)}) for i, e in enumerate(short)
    ]
    urgency = os.sched_getscheduler(0), os.sched_getparam(0)
    grown, lineage = tmp_path / "grown", read_lineage(path).model_copy(update={"episodes": ()})
    write_dataset(grown, lineage, taken[:1], cameras={"wrist": (64, 64)})
    before = {file: file.read_bytes() for file in grown.rglob("*") if file.is_file()}
    held = tmp_path / "held"
    shutil.copytree(grown, held, copy_function=os.link)
    for episode in taken[1:]:
        append_episode(grown, episode)
    changed = {
        file.name for file, content in before.items() if (held / file.relative_to(grown)).read_bytes() != content
    }
    assert not changed, "what stood there before was written into"
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == urgency, "the encoder takes real-time priority"
    assert [e.number for e in read_dataset(grown, contract)] == [0, 1, 2]
    dataset = LeRobotDataset(repo_id="local/grown", root=grown)
    assert dataset.num_episodes == 3
    brightness = [float(dataset[5 * i + 2]["observation.images.wrist"].mean()) * 255 for i in range(3)]
    np.testing.assert_allclose(brightness, [40, 80, 120], atol=3)


def test_noise_is_executed_but_not_taught(recorded) -> None:
    _, _, episodes = recorded
    differs = [np.abs(e.action - e.executed).max() for e in episodes]
    assert max(differs) > 0.05
    assert all(np.abs(e.executed).max() <= 1 for e in episodes)


@pytest.mark.filterwarnings("ignore")
def test_lerobot_loads_every_frame(recorded) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    path, _, episodes = recorded
    dataset = LeRobotDataset(repo_id="local/demonstrations", root=path)
    assert dataset.num_episodes == 5
    assert dataset.fps == 20
    frames = [dataset[i] for i in range(dataset.num_frames)]
    assert len(frames) == sum(len(e.action) for e in episodes)
    np.testing.assert_array_equal(frames[3]["observation.state"].numpy(), episodes[0].observation[3])
    assert dataset.features["observation.state"]["names"][0] == "tool_position.x"
    assert sum(bool(f["next.done"]) for f in frames) == 5


def test_a_truncated_dataset_is_refused(recorded, tmp_path: Path) -> None:
    path, contract, _ = recorded
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    file = next((copy / "data").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cannot be read"):
        read_dataset(copy, contract)
    file.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        read_dataset(copy, contract)


def test_another_contract_is_refused(recorded) -> None:
    path, contract, _ = recorded
    with pytest.raises(InputError, match="another contract"):
        read_dataset(path, contract._replace(rate_hz=10.0))


def test_no_dataset_at_all(tmp_path: Path, recorded) -> None:
    with pytest.raises(InputError, match="name a dataset"):
        read_dataset(tmp_path / "nothing", recorded[1])
