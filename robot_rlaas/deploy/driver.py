"""An arm without a ROS driver, through LeRobot's driver of it: readings in rad, commands in rad.

What LeRobot counts in degrees from the middle of each joint's calibrated range is made into the angles of the hardware
profile, by its zeros and senses of rotation. It holds no ROS object. The caller reads the clock, and the bus is nobody
else's: one thread reads and commands in turn.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import Driver, HardwareProfile
from robot_rlaas.lerobot_devices import ROBOTS, config_class, connect, made, silent

START_RAD, REACH_RAD = 0.1, 0.35  # a command is not further than this from the arm: the first one, and any other
SILENT_S = 0.5  # after that, the next command is a first one
FAILURES = 10  # readings in a row: the arm is lost
OPEN = 100.0  # what LeRobot says of a gripper that is open; 0 is closed
LEAP = 3.0  # times the velocity limit: no joint moves like that between two readings
WAIT_S = 0.005  # asleep for an answer: the servos' library spins, and keeps what brings the bytes from running
HOLDS = "disable_torque_on_disconnect"  # LeRobot's option: whether the arm is let go at the end
CURRENT, SIGN = "Present_Current", 1 << 15  # a register, and its bit that says which way


class Reading(NamedTuple):
    """What the arm's servos said.

    Attributes:
        at_ns: since the epoch, in the middle of the reading.
        q_rad, velocity_rad_s: (k,) in the profile's order; the velocity is the difference to the reading before.
        effort_Nm: (k,) motor currents times drive gains; None where the profile does not say what a current is.
        gripper: position of the gripper's joint, rad or m; None where the profile names no gripper.
    """

    at_ns: int
    q_rad: np.ndarray
    velocity_rad_s: np.ndarray
    effort_Nm: np.ndarray | None
    gripper: float | None


class ArmLost(Exception):
    """The bus failed too often in a row; the message says how."""


class DrivenArm:
    """An arm that LeRobot is connected to.

    Args:
        robot: LeRobot's, connected.
        profile: with a driver; its joints are the order of every vector here.

    Attributes:
        failed: what was wrong with the last reading, in one line; empty if nothing was.
        refused: why the last command did not reach the arm; empty if it did.
    """

    def __init__(self, robot: Any, profile: HardwareProfile) -> None:
        driver = profile.driver
        assert driver is not None
        self.failed = self.refused = ""
        self._robot, self._joints, self._gripper = robot, profile.joints, profile.gripper
        self._zero_deg = np.array([driver.zero_deg.get(name, 0.0) for name in profile.joints])
        self._sense = np.array([-1.0 if name in driver.turned else 1.0 for name in profile.joints])
        self._speed_rad_s = np.array(profile.velocity_limit_rad_s)
        self._limits_rad = np.array(profile.position_limit_rad).T
        gain, step_A = profile.drive_gain_Nm_A, driver.current_step_A
        self._step_Nm = None if gain is None or step_A is None else np.array(gain) * step_A * self._sense
        self._last: Reading | None = None
        self._failures, self._told_s = 0, -np.inf

    def read(self) -> Reading | None:
        """Ask the servos -> what they say, or None if they do not: `failed` says why.

        Raises:
            ArmLost: after FAILURES in a row.
        """
        try:
            reading = self._ask()
        except (OSError, RuntimeError) as error:
            return self._fail(" ".join(str(error).split()))
        if (np.abs(reading.velocity_rad_s) > LEAP * self._speed_rad_s).any():
            joint = self._joints[int(np.argmax(np.abs(reading.velocity_rad_s) / self._speed_rad_s))]
            return self._fail(f"{joint}: a reading that leaps: the answer to another question")
        self.failed, self._failures, self._last = "", 0, reading
        return reading

    def command(self, position_rad: Sequence[float], now_s: float) -> None:
        """Send the arm to positions (k,), or not: `refused` says why."""
        q_rad = np.array(position_rad, dtype=float)
        self.refused = self._refusal(q_rad, now_s)
        if self.refused:
            return
        degrees = np.rad2deg(self._sense * q_rad) + self._zero_deg
        self._send({f"{name}.pos": float(at) for name, at in zip(self._joints, degrees)})
        self._told_s = self._told_s if self.refused else now_s

    def grip(self, position: float) -> None:
        """Send the joint of the gripper that the profile names to a position, or not: `refused` says why."""
        assert self._gripper is not None
        share = self._gripper.share(position)
        if not -1e-6 <= share <= 1 + 1e-6:
            self.refused = f"{self._gripper.joint}: a command of {position}, beyond its range or no number"
            return
        self._send({f"{self._gripper.joint}.pos": OPEN * share})

    def _send(self, action: dict[str, float]) -> None:
        self.refused = ""
        try:
            self._robot.send_action(action)
        except (OSError, RuntimeError) as error:
            self.refused = " ".join(str(error).split())

    def _ask(self) -> Reading:
        """One reading. Servos do not say what they answer: what still comes of an older question is thrown away."""
        self._robot.bus.port_handler.ser.reset_input_buffer()
        began_ns = time.time_ns()
        told = self._robot.get_observation()
        at_ns = (began_ns + time.time_ns()) // 2
        degrees = np.array([told[f"{name}.pos"] for name in self._joints])
        q_rad, velocity = self._sense * np.deg2rad(degrees - self._zero_deg), np.zeros(len(degrees))
        if self._last is not None and at_ns > self._last.at_ns:
            velocity = (q_rad - self._last.q_rad) / ((at_ns - self._last.at_ns) * 1e-9)
        gripper = self._gripper and self._gripper.position(told[f"{self._gripper.joint}.pos"] / OPEN)
        return Reading(at_ns, q_rad, velocity, self._effort(), gripper)

    def _refusal(self, q_rad: np.ndarray, now_s: float) -> str:
        """Why a command is not handed on; empty if it is."""
        if q_rad.shape != (len(self._joints),) or not np.isfinite(q_rad).all():
            return f"a command of {q_rad.size} values, or one that is no number"
        if self._last is None:
            return "a command before the arm was read"
        lower, upper = self._limits_rad
        beyond = np.maximum(lower - q_rad, q_rad - upper)
        if (beyond > 1e-6).any():
            return f"{self._joints[int(np.argmax(beyond))]}: a command beyond the position limit"
        away = np.abs(q_rad - self._last.q_rad)
        first = now_s - self._told_s > SILENT_S
        allowed = START_RAD if first else REACH_RAD
        if away.max() <= allowed:
            return ""
        joint, which = self._joints[int(np.argmax(away))], "first " if first else ""
        return f"{joint}: a {which}command {away.max():.2f} rad away from the arm, allowed are {allowed} rad"

    def _effort(self) -> np.ndarray | None:
        if self._step_Nm is None:
            return None
        told = self._robot.bus.sync_read(CURRENT, list(self._joints), normalize=False)
        counts = np.array([-(told[name] & ~SIGN) if told[name] & SIGN else told[name] for name in self._joints])
        return self._step_Nm * counts

    def _fail(self, why: str) -> None:
        self.failed, self._failures = why, self._failures + 1
        if self._failures >= FAILURES:
            raise ArmLost(f"the arm does not answer, {FAILURES} times in a row: {self.failed}")


@contextmanager
def driven(profile: HardwareProfile) -> Iterator[DrivenArm]:
    """An arm that this machine drives while the block lasts. It stands, under power, until it gets a command.

    Raises:
        InputError: if LeRobot does not know it, it is not there, not calibrated, or of other joints.
    """
    driver = profile.driver
    assert driver is not None
    robot = _robot(driver)
    wanted = [*profile.joints, *([profile.gripper.joint] if profile.gripper else [])]
    lacking = [name for name in wanted if f"{name}.pos" not in robot.action_features]
    if lacking:
        known = ", ".join(robot.action_features)
        raise InputError(f"LeRobot's {driver.type} has no {', '.join(lacking)}; it has {known}", key="joints")
    _stand(driver, robot)
    connect(driver.type, robot)
    robot.bus.port_handler.ser.timeout = WAIT_S
    try:
        yield DrivenArm(robot, profile)
    finally:
        robot.disconnect()


def calibration_dir(driver: Driver) -> Path:
    """Where LeRobot keeps the calibrations of this kind of robot.

    Raises:
        InputError: if this one's is not there.
    """
    kind = config_class(ROBOTS, driver.type)
    from lerobot.robots import Robot
    from lerobot.utils.constants import HF_LEROBOT_CALIBRATION

    own = driver.options.get("calibration_dir")
    names = [robot.name for robot in Robot.__subclasses__() if robot.config_class is kind]
    folder = Path(str(own)) if own else HF_LEROBOT_CALIBRATION / "robots" / (names or [driver.type])[0]
    if not (folder / f"{driver.id}.json").is_file():
        raise _uncalibrated(driver, f"there is no {folder / driver.id}.json")
    return folder


def _robot(driver: Driver) -> Any:
    """LeRobot's object, not connected yet. Told where the calibration is, it makes no folders in anybody's home."""
    folder = str(calibration_dir(driver))
    own = {"port": driver.port, "id": driver.id, "calibration_dir": folder, HOLDS: driver.at_end == "release"}
    return made(ROBOTS, driver.type, driver.options | own)


def _stand(driver: Driver, robot: Any) -> None:
    """Make where the arm is its goal. LeRobot powers the servos when it connects, and they would go to an older one."""
    bus = getattr(robot, "bus", None)
    if bus is None:
        raise InputError(f"LeRobot's {driver.type} is no arm on a bus of servos", key="driver.type")
    try:
        bus.connect()
        try:
            if not robot.is_calibrated:
                raise _uncalibrated(driver, "its servos hold another calibration than its file")
            bus.sync_write("Goal_Position", bus.sync_read("Present_Position", normalize=False), normalize=False)
        finally:
            bus.disconnect(disable_torque=False)
    except (OSError, RuntimeError) as error:
        raise silent(driver.type, error) from error


def _uncalibrated(driver: Driver, why: str) -> InputError:
    command = f"lerobot-calibrate --robot.type={driver.type} --robot.port={driver.port} --robot.id={driver.id}"
    return InputError(f"'{driver.type}' is not calibrated: {why}", fix=command)
