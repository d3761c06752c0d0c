"""The change of frame as matrices: what a teacher that is told does, and what a network can do."""

import numpy as np
import pytest

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.env.insertion.told import Told
from robot_rlaas.env.insertion.turning import into_hole, out_of_hole
from robot_rlaas.env.tasks import contract_of

QUARTER = np.array([[0.01, 0.02, np.pi / 2]])  # a plate that lies there, turned by a quarter


@pytest.fixture(scope="module")
def cell() -> CellSpec:
    return load_cell("peg_insertion_camera")


@pytest.fixture(scope="module")
def contract(cell: CellSpec) -> Contract:
    return contract_of(cell)


class Listener:
    """Remembers what it was shown, and answers with what it was told to."""

    def __init__(self, answer: np.ndarray) -> None:
        self.answer, self.shown = answer, np.zeros(0)

    def reset(self, ids: np.ndarray) -> None: ...

    def act(self, observation: np.ndarray) -> np.ndarray:
        self.shown = observation
        return self.answer


class There:
    """All that `Told` asks an environment for."""

    def __init__(self, plate: np.ndarray) -> None:
        self.draw = self
        self.plate_xy_m, self.plate_yaw_rad = plate[:, :2], plate[:, 2]


def test_a_tool_beside_a_turned_hole(contract) -> None:
    seen: dict[str, np.ndarray] = {f.name: np.zeros((1, len(f.axes))) for f in contract.observation}
    seen["tool_position"] = np.array([[0.01, 0.05, 0.03]])  # 30 mm from the hole along y, which is the hole's x
    seen["tool_rotation"] = np.array([[0.0, 0.0, 0.1]])
    seen["force"] = np.array([[2.0, 3.0, 5.0]])
    in_hole = contract.unpack(into_hole(contract)(contract.pack(seen), QUARTER))
    np.testing.assert_allclose(in_hole["tool_position"], [[0.03, 0.0, 0.03]], atol=1e-8)
    np.testing.assert_allclose(in_hole["tool_rotation"], [[0.0, 0.0, 0.1 - np.pi / 2]], atol=1e-7)
    np.testing.assert_allclose(in_hole["force"], [[3.0, -2.0, 5.0]], atol=1e-6)
    np.testing.assert_allclose(in_hole["clock"], seen["clock"])
    forwards = out_of_hole(contract)(np.array([[1.0, 0.0, -0.5, 0.2]]), QUARTER)
    np.testing.assert_allclose(forwards, [[0.0, 1.0, -0.5, 0.2]], atol=1e-12)


def test_it_is_what_the_teacher_is_told(cell, contract) -> None:
    rng, rows = np.random.default_rng(0), 40
    plate = rng.uniform(-1, 1, (rows, 3)) * [0.03, 0.03, 0.17]
    seen = contract.pack(contract.unpack(rng.uniform(-0.01, 0.01, (rows, contract.observation_size))))
    answer = rng.uniform(-0.5, 0.5, (rows, contract.action_size))
    listener = Listener(answer)
    told = Told(cell, listener)
    told.watch(There(plate))  # type: ignore[arg-type]
    action = told.act(seen)
    mine, theirs = contract.unpack(into_hole(contract)(seen, plate)), contract.unpack(listener.shown)
    for name in mine:
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-3 if name == "tool_rotation" else 1e-7)
    np.testing.assert_allclose(out_of_hole(contract)(answer, plate), action, atol=1e-6)
