"""Devices in an operator's hand: whatever LeRobot calls a teleoperator, by its name, as wishes."""

import importlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

import numpy as np

from robot_rlaas import lerobot_devices
from robot_rlaas.assets import data_dir
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.control.kinematics import SerialChain, tool_pose
from robot_rlaas.lerobot_devices import TELEOPERATORS
from robot_rlaas.sim.arms import load_arm
from robot_rlaas.sim.model import serial_chain
from robot_rlaas.teleop.pilot import Goal
from robot_rlaas.teleop.recorder import Poll, Wish
from robot_rlaas.teleop.session import Phase, Session

STEPS, TURN = ("delta_x", "delta_y", "delta_z"), "delta_yaw"  # of a device that moves by steps, and may turn
GRIPPER = "gripper.pos"  # of a leader arm, from 0, closed, to 100
CLOSE, OPEN = 0, 2  # what LeRobot's gamepad says of the gripper
EVENTS = {"success": "keep", "failure": "discard", "rerecord_episode": "again"}
UNSEEN = {  # SDL without a window or a sound: the gamepad alone is wanted
    "SDL_VIDEODRIVER": "dummy",
    "SDL_AUDIODRIVER": "dummy",
    "SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS": "1",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}


@contextmanager
def device(name: str, options: Sequence[str], session: Session) -> Iterator[Poll]:
    """A device that is connected while the block lasts; to be asked once per period.

    Args:
        name: as LeRobot has it: "gamepad", "so101_leader", or that of an installed plugin.
        options: "key=value", of LeRobot's configuration of it, such as "port=/dev/ttyACM0".
        session: whose tool it moves.

    Raises:
        InputError: if nobody knows the name, an option is wrong, it is not there, is not calibrated, or tells nothing
            that can be understood.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources")  # pygame uses it
        made = _made(name, options)
        hand = _hand(name, made, session)
        _connect(name, made)
    try:
        yield lambda: hand(made.get_action())
    finally:
        made.disconnect()


def _made(name: str, options: Sequence[str]) -> Any:
    """LeRobot's object for it, not connected yet."""
    os.environ.update({key: value for key, value in UNSEEN.items() if key not in os.environ})
    lerobot_devices.require_lerobot()
    importlib.import_module("robot_rlaas.teleop.spacemouse")
    wrong = [option for option in options if "=" not in option]
    if wrong:
        raise InputError(f"'{wrong[0]}' is no option of a device", fix="write it as key=value")
    return lerobot_devices.made(TELEOPERATORS, name, dict(option.split("=", 1) for option in options))


def _connect(name: str, made: Any) -> None:
    with redirect_stdout(StringIO()):  # the gamepad's has a manual of its own
        lerobot_devices.connect(name, made)
    if getattr(getattr(made, "gamepad", None), "running", True) is False:
        raise InputError(f"'{name}': there is none", fix="plug it in, and see that 'ls /dev/input/js*' shows it")
    calibrated = made.is_calibrated() if callable(made.is_calibrated) else made.is_calibrated
    if not calibrated:
        made.disconnect()
        raise InputError(f"'{name}' is not calibrated", fix=f"lerobot-calibrate --teleop.type={name} ...")


def _hand(name: str, made: Any, session: Session) -> Callable[[Mapping[str, Any]], list[Wish]]:
    """What makes wishes of what the device tells."""
    told = made.action_features
    told = set(told.get("names", told))
    if set(STEPS) <= told:
        return Stick(session, getattr(made, "get_teleop_events", dict))
    joints = tuple(key.removesuffix(".pos") for key in made.action_features if key.endswith(".pos") and key != GRIPPER)
    for path in sorted(data_dir("hardware").glob("*.yaml")):
        profile = load_hardware(path.stem)
        if profile.joints == joints:
            chain = serial_chain(load_arm(profile.arm, joints).compile(), joints, "flange")
            return Leader(session, chain)
    message = f"'{name}' tells {', '.join(sorted(told))}; that is neither steps of a tool nor the joints of a known arm"
    raise InputError(message, fix="add a hardware profile with these joints and its arm's model")


class Stick:
    """A device that says how fast the tool is to go, such as a gamepad.

    Args:
        session: whose tool it moves.
        events: LeRobot's `get_teleop_events`.
    """

    def __init__(self, session: Session, events: Callable[[], Mapping[Any, bool]]) -> None:
        self._session, self._events = session, events

    def __call__(self, told: Mapping[str, Any]) -> list[Wish]:
        """Of LeRobot's action: steps along x, y, z and, if it has that, about z, from -1 to 1; and the gripper."""
        axes = tuple(float(np.clip(told.get(key, 0.0), -1, 1)) for key in (*STEPS, TURN))
        wishes = [Wish("nudge", axes)] if any(axes) else []
        grip = told.get("gripper")
        if grip in (CLOSE, OPEN):
            wishes += gripper(self._session, closed=grip == CLOSE)
        happened = {event.value: value for event, value in self._events().items()}
        return wishes + [Wish(wish) for event, wish in EVENTS.items() if happened.get(event)]


class Leader:
    """An arm that somebody moves by hand: from where both are as the attempt begins, the tool moves as its tip does.

    Args:
        session: whose tool it moves.
        chain: of the leader, up to its flange.
    """

    def __init__(self, session: Session, chain: SerialChain) -> None:
        self._session, self._chain = session, chain
        self._began: tuple[Goal, Goal] | None = None

    def __call__(self, told: Mapping[str, float]) -> list[Wish]:
        """Of LeRobot's action: joint angles, degrees, and the gripper."""
        session = self._session
        if session.phase != Phase.RECORDING or not session.taken_over:
            self._began = None
            return []
        angles = np.deg2rad([[told[f"{joint}.pos"] for joint in self._chain.joints]])
        tip = tool_pose(self._chain, angles)
        here = Goal(tip.p[0], float(np.arctan2(tip.R[0, 1, 0], tip.R[0, 0, 0])))
        leader, tool = self._began = self._began or (here, session.pilot.goal)
        moved, turned = here.p - leader.p, here.yaw - leader.yaw
        goal = Wish("goal", (*map(float, tool.p + moved), tool.yaw + turned))
        return [goal, *(gripper(session, told[GRIPPER] < 50) if GRIPPER in told else [])]


def gripper(session: Session, closed: bool) -> list[Wish]:
    """What closes or opens it, where it is to do so and does not."""
    return [Wish("grip")] if session.pilot.grips and closed != session.pilot.closed else []
