"""Whoever kills the recorder loses the attempt in progress, and nothing else."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from robot_rlaas.cell.spec import load_cell
from robot_rlaas.data.lerobot import read_dataset
from robot_rlaas.env.tasks import contract_of

RECORDS = """
import sys, time, warnings
from pathlib import Path
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.jobs.growing import Settings
from robot_rlaas.jobs.recording import recorder_of
from robot_rlaas.data.lerobot import warm_up
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.teleop.recorder import Wish
from robot_rlaas.teleop.session import Phase

warnings.simplefilter("ignore")
warm_up()
settings, out = Settings(99, "expert", policy="expert"), Path(sys.argv[1])
cell = Cell.load("peg_insertion")
backend = CpuBackend(cell.workcell, cell.spec, 1, nthread=1)
recorder = recorder_of(cell, backend, settings, out, time.monotonic)
while True:
    recorder.do(Wish("record"))
    while recorder.session.phase == Phase.RECORDING:
        recorder.session.step()
    number = recorder.session.outcome.episode
    recorder.do(Wish("keep"))
    print(number, flush=True)
"""
KILLS, FIRST = 2, 2


@pytest.mark.filterwarnings("ignore")
def test_a_dataset_opens_after_its_recorder_was_killed_at_any_moment(tmp_path: Path) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    out, rng, kept = tmp_path / "demos", random.Random(0), []
    contract = contract_of(load_cell("peg_insertion"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for _ in range(KILLS):
        with subprocess.Popen([sys.executable, "-c", RECORDS, str(out)], stdout=subprocess.PIPE, env=environment) as it:
            assert it.stdout is not None
            kept += [int(it.stdout.readline()) for _ in range(FIRST)]
            threading.Timer(rng.uniform(0.0, 1.0), it.send_signal, [signal.SIGKILL]).start()
            kept += [int(line) for line in it.stdout if line.endswith(b"\n")]
        episodes = read_dataset(out, contract)
        assert [e.number for e in episodes][: len(kept)] == kept
        assert len(episodes) - len(kept) <= 1, "one may be on disk that was not told any more"
        kept = [e.number for e in episodes]
        dataset = LeRobotDataset(repo_id="local/demos", root=out, video_backend="pyav")
        assert dataset.num_episodes == len(episodes)
        assert dataset.num_frames == sum(len(e.action) for e in episodes)
        last = dataset[dataset.num_frames - 1]
        np.testing.assert_array_equal(last["action"].numpy(), episodes[-1].action[-1])
    assert len(kept) >= KILLS * FIRST
