"""What an attempt to insert is worth by what an arm itself measures: where nobody knows where the part truly is."""

import numpy as np

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.env.insertion.task import contract, potential, progress
from robot_rlaas.env.reward import force_cost, reward_terms

DONE_POTENTIAL = 2.0  # of a part that is in: see `potential`


def felt_rewards(
    cell: CellSpec,
    observation: np.ndarray,
    action: np.ndarray,
    success: bool,
    caution: float = 1.0,
    stop_N: float = 0.0,
) -> np.ndarray:
    """The task's reward (T,) of the T periods of an attempt, from the measured tool and the wrist's force alone.

    The hole is taken to be where it was observed and the part to sit in the hand as it should. No visit to a keep-out
    box is charged: the supervisor lets no target in there.

    Args:
        cell: whose plate is observed.
        observation: (T, observation_size) before each action.
        action: (T, action_size).
        success: how the attempt ended.
        caution: times as much as in training is charged for force.
        stop_N: the force that ended it after the last observation; 0 where none did.
    """
    seen = contract(cell).unpack(observation)
    nowhere = np.zeros(len(observation))
    at = progress(cell, Pose(np.eye(3)[None], np.zeros((1, 3))), seen["tool_position"].astype(float))
    worth = potential(cell, at)
    gained = np.diff(worth, append=DONE_POTENTIAL if success else worth[-1])
    peak_N = np.maximum.accumulate([*np.linalg.norm(seen["force"], axis=1), stop_N])
    done = nowhere.copy()
    done[-1] = success
    terms = reward_terms(gained, np.diff(force_cost(cell, peak_N)), {}, done, nowhere, action)
    terms["force"] = caution * terms["force"]
    return np.sum(list(terms.values()), axis=0)
