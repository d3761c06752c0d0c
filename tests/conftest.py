"""Shared by all tests: the shipped cell, compiled once."""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import Workcell, build

settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
settings.register_profile("search", settings.get_profile("same"), derandomize=False, max_examples=2500)
settings.load_profile("same")


@pytest.fixture(scope="session", autouse=True)
def settings_of_nobody(tmp_path_factory) -> None:
    """Keys are made and trusted in a folder of the tests' own."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session")
def cell() -> CellSpec:
    return load_cell("peg_insertion")


@pytest.fixture(scope="session")
def workcell(cell: CellSpec) -> Workcell:
    return build(cell)


@pytest.fixture
def make_env(cell: CellSpec, workcell: Workcell) -> Callable[..., BatchEnv]:
    def make(nsim: int, seed: int = 0, space: Space = Space.SHOW, first: int = 0, nthread: int = 0) -> BatchEnv:
        return BatchEnv(cell, workcell, CpuBackend(workcell, cell, nsim, nthread), Seeds(seed, space), first)

    return make
