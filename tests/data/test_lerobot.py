"""Demonstrations on disk: LeRobot reads them, we read them, and damage is noticed."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.data.episode import record
from robot_rlaas.data.lerobot import read_dataset, write_dataset
from robot_rlaas.env.insertion.expert import InsertionExpert


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    from robot_rlaas.cell.seeds import Seeds, Space
    from robot_rlaas.cell.spec import load_cell
    from robot_rlaas.env.batch import BatchEnv
    from robot_rlaas.sim.cpu import CpuBackend
    from robot_rlaas.sim.model import build

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
        write_dataset(path, env.contract, episodes, cell.description, {"cell_hash": cell.hash, "seed": 0})
    return path, env.contract, episodes


def test_what_is_read_is_what_was_recorded(recorded) -> None:
    path, contract, episodes = recorded
    again = read_dataset(path, contract)
    assert [e.number for e in again] == [0, 1, 2, 3, 4]
    for a, b in zip(again, episodes):
        for name in ("observation", "action", "executed", "reward"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert a.success == b.success


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
    import shutil

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
    with pytest.raises(InputError, match="generate it again"):
        read_dataset(tmp_path / "nothing", recorded[1])
