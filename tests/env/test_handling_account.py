"""The robot's own account of a handling task: it knows nothing that was not measured, and is what it always was."""

import ast
from pathlib import Path

import numpy as np
import pytest

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.control.controller import ToolState
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.handling import account
from robot_rlaas.env.handling.account import Account, Measured, Sighting
from robot_rlaas.env.handling.expert import HandlingExpert
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build

CELL = load_cell("machine_tending")
STAGES = CELL.task.labels
RECORDED = Path(__file__).with_name("handling_account.npz")  # before sensing and judging were two things
STEPS, EVERY = 72, 8
ONE = np.arange(1)


def played(name: str) -> tuple[np.ndarray, BatchEnv]:
    """What two episodes under the expert show, every EVERY periods."""
    cell = load_cell(name)
    workcell = build(cell)
    env = BatchEnv(cell, workcell, CpuBackend(workcell, cell, 2), Seeds(5, Space.SHOW))
    expert, seen, observation = HandlingExpert(cell, env.contract, 2), [], env.reset()
    for i in range(STEPS):
        if i % EVERY == 0:
            seen.append(observation.copy())
        observation = env.step(expert.act(observation)).observation
    return np.array(seen), env


@pytest.mark.parametrize("name", ["machine_tending", "kitting"])
def test_what_is_seen_is_what_was_seen_before_sensing_and_judging_were_parted(name: str) -> None:
    """Not to the last bit: that is of one machine."""
    np.testing.assert_allclose(played(name)[0], np.load(RECORDED)[name], atol=2e-4)


def test_the_account_imports_nothing_that_judges_or_simulates() -> None:
    tree = ast.parse(Path(account.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [m for m in modules if m and ("judge" in m or "camera" in m or "backend" in m or "draws" in m)]


def measured(steps: int, p, aperture_m: float, *, closing: bool = False, at=(0.4, -0.3, 0.02), fresh=True) -> Measured:
    """A tool that points down at p, an open vise, an open gate, and a billet that is seen."""
    tool = ToolState(Pose(np.diag([1.0, -1.0, -1.0])[None], np.array([p], float)), np.zeros((1, 6)))
    sighting = Sighting(np.array([[at]], float), np.zeros((1, 1)), np.array([[fresh]]))
    action = np.array([[0.0, 0, 0, 0, -1.0 if closing else 1.0]])
    return Measured(
        tool, np.zeros((1, 6)), np.array([aperture_m]), np.ones((1, 2)), sighting, action, np.array([steps])
    )


def test_it_goes_from_stage_to_stage_by_what_is_measured_and_back_where_the_hand_is_empty() -> None:
    robot = Account(CELL, 1)
    robot.begin(ONE)
    robot.look(ONE, measured(0, (0.4, -0.2, 0.3), 0.085))
    assert STAGES[robot.believed[0]] == "reach_billet"
    over = (0.4, -0.3, 0.06)  # 40 mm above its base
    robot.look(ONE, measured(1, over, 0.085))
    assert STAGES[robot.believed[0]] == "grasp_billet"
    robot.look(ONE, measured(2, over, 0.0405, closing=True))
    assert STAGES[robot.believed[0]] == "grasp_billet"  # the fingers still moved
    robot.look(ONE, measured(3, over, 0.0403, closing=True))
    assert STAGES[robot.believed[0]] == "wait_at_gate"
    assert robot.told(ONE).tolist() == [[1.0, 1.0]]
    robot.look(ONE, measured(4, (0.4, -0.3, 0.1), 0.02, closing=True))  # it closed on nothing
    assert STAGES[robot.believed[0]] == "reach_billet"


def test_a_part_that_is_not_seen_is_where_it_was_seen_last_and_its_turn_is_the_nearest_that_looks_so() -> None:
    robot = Account(CELL, 1)
    robot.begin(ONE)
    robot.look(ONE, measured(0, (0.4, -0.2, 0.3), 0.085))
    robot.look(ONE, measured(1, (0.4, -0.2, 0.3), 0.085, at=(0.5, 0.5, 0.5), fresh=False))
    assert robot.seen.p[0, 0].tolist() == [0.4, -0.3, 0.02]
    half = measured(2, (0.4, -0.2, 0.3), 0.085)
    turned = half.sighting._replace(yaw=np.array([[np.pi + 0.1]]))
    robot.look(ONE, half._replace(sighting=turned))
    assert robot.seen.yaw[0, 0] == pytest.approx(0.1)
