"""Where an operator wants the tool, as the actions that bring it there."""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.spec import Control
from robot_rlaas.control.controller import ACTION_AXES
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.rotation import about_z

AHEAD = 2.0  # steps by which nudges may outrun the tool: it stops soon after the last of them


class Goal(NamedTuple):
    """A pose of the tool with the turn that an action can change: position (3,), m, and yaw, rad, in the base frame."""

    p: np.ndarray
    yaw: float


class Pilot:
    """Brings the tool to a goal that an operator moves, period by period.

    It goes by what a policy sees and by the task frame as observed. A goal that something solid keeps the tool from is
    a push: the further beyond, the harder, up to the leash.

    Args:
        control: for the step sizes.
        contract: for the layout of observation and action.

    Attributes:
        goal: where the tool is to be.
        speed: the largest step that it takes, and that a nudge makes, as a fraction of the cell's; over 0, up to 1.
        closed: the gripper is to be closed. Without meaning in a cell whose tool does not move.
    """

    def __init__(self, control: Control, contract: Contract) -> None:
        self._contract = contract
        self._step_m, self._step_rad = control.step_mm / 1000, np.deg2rad(control.step_deg)
        self.grips = contract.action_size > len(ACTION_AXES)
        self.goal, self.speed, self.closed = Goal(np.zeros(3), 0.0), 1.0, False

    def start(self, observation: np.ndarray, frame: Pose) -> None:
        """Stand still where the tool is, with the gripper as it was last told to be.

        Args:
            observation: (1, observation_size).
            frame: the task frame as observed, one row.
        """
        self.goal = self.tool(observation, frame)
        if self.grips:
            self.closed = bool(self._contract.unpack(observation)["last_action"][0, -1] < 0)

    def tool(self, observation: np.ndarray, frame: Pose) -> Goal:
        """Where the tool has been told to be so far."""
        seen = {name: value[0].astype(float) for name, value in self._contract.unpack(observation).items()}
        ahead = seen["tool_position"] + seen["lead_position"]
        turn = seen["tool_rotation"][2] + seen["lead_rotation"][2]
        return Goal(frame.p[0] + frame.R[0] @ ahead, _wrapped(_yaw(frame) + turn))

    def nudge(self, axes: np.ndarray, observation: np.ndarray, frame: Pose) -> None:
        """Move the goal by so many steps along the base frame's x, y, z and about its z, (4,); not far ahead."""
        tool = self.tool(observation, frame)
        most = AHEAD * self.speed
        ahead = (self.goal.p - tool.p) / self._step_m
        ahead = np.where(axes[:3] != 0, np.clip(ahead + self.speed * axes[:3], -most, most), ahead)
        turn = _wrapped(self.goal.yaw - tool.yaw) / self._step_rad
        if axes[3] != 0:
            turn = float(np.clip(turn + self.speed * axes[3], -most, most))
        self.goal = Goal(tool.p + self._step_m * ahead, _wrapped(tool.yaw + self._step_rad * turn))

    def align(self, observation: np.ndarray, frame: Pose) -> None:
        """Stand over the task frame, turned as it is, at the present height."""
        height = self.tool(observation, frame).p[2]
        self.goal = Goal(np.array([*frame.p[0, :2], height]), _yaw(frame))

    def act(self, observation: np.ndarray, frame: Pose) -> np.ndarray:
        """The action (1, action_size), float32, for the coming period; see `start` for what it takes."""
        tool = self.tool(observation, frame)
        step = (self.goal.p - tool.p) @ frame.R[0] / self._step_m
        step = step / max(1.0, float(np.abs(step).max()) / self.speed)  # shortened, not bent
        turn = np.clip(_wrapped(self.goal.yaw - tool.yaw) / self._step_rad, -self.speed, self.speed)
        grip = [-1.0 if self.closed else 1.0] if self.grips else []
        return np.array([[*step, turn, *grip]], dtype=np.float32)


def turned(yaw_rad: float) -> np.ndarray:
    """The rotation (3, 3) of a goal's frame, which stands upright."""
    return about_z(np.array([yaw_rad]))[0]


def _yaw(frame: Pose) -> float:
    return float(np.arctan2(frame.R[0, 1, 0], frame.R[0, 0, 0]))


def _wrapped(angle_rad: float) -> float:
    return float((angle_rad + np.pi) % (2 * np.pi) - np.pi)
