"""A session whose tool has a gripper, for devices to move."""

import time

import pytest

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.teleop.pilot import Pilot
from robot_rlaas.teleop.session import Session
from robot_rlaas.teleop.simulated import Simulated


@pytest.fixture(scope="module")
def kitting() -> Cell:
    return Cell.load("kitting")


@pytest.fixture
def session(kitting: Cell) -> Session:
    backend = CpuBackend(kitting.workcell, kitting.spec, 1, nthread=1)
    env = BatchEnv(kitting.spec, kitting.workcell, backend, Seeds(0, Space.DEMONSTRATE), restart=False)
    session = Session(Simulated(env, time.monotonic), Pilot(kitting.spec.control, env.contract), "anna")
    session.ready(0)
    return session
