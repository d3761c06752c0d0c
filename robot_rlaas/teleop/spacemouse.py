"""A 3Dconnexion SpaceMouse as one of LeRobot's teleoperators, read from Linux's raw HID device.

Report 1 holds the translation and report 2 the rotation, or a longer report 1 both; report 3 holds the buttons.
Values are little-endian int16 of about +-350, in a frame with x right, y towards the hand and z down.
"""

import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerobot.teleoperators import Teleoperator, TeleoperatorConfig
from lerobot.teleoperators.utils import TeleopEvents

from robot_rlaas.cell.errors import InputError

HIDRAW = Path("/sys/class/hidraw")
MAKER, FORMER_MAKER = 0x256F, 0x046D  # Logitech sold them once, and much else
FORMER = {0xC603, 0xC605, 0xC606, 0xC621, 0xC623, 0xC625, 0xC626, 0xC627, 0xC628, 0xC629, 0xC62B}
FULL, DEAD = 350.0, 0.05  # what a full push says; and the share of it that a hand at rest may say
FRESH_S = 0.5  # a pushed one speaks all the time: what was said before that does not hold any more
LONGEST = 64  # bytes of a report
CLOSE, STAY, OPEN = 0, 1, 2  # as LeRobot's gamepad has it
RULE = (
    'echo \'KERNEL=="hidraw*", ATTRS{idVendor}=="256f", TAG+="uaccess"\' | '
    "sudo tee /etc/udev/rules.d/70-spacemouse.rules; sudo udevadm control --reload; plug it in again"
)


class Reports:
    """What a SpaceMouse has said.

    Args:
        clock: s.

    Attributes:
        pressed: the buttons that went down since somebody asked, by their numbers from 0; whoever asks empties it.
        held: the buttons that are down.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._said_s = clock, -float("inf")
        self._translation, self._rotation = (0, 0, 0), (0, 0, 0)
        self.pressed, self.held = set[int](), set[int]()

    def take(self, report: bytes) -> None:
        """One report; what is none of the three kinds is left alone."""
        kind, content = report[:1], report[1:]
        if kind == b"\x01" and len(content) >= 12:
            self._translation, self._rotation = struct.unpack("<3h", content[:6]), struct.unpack("<3h", content[6:12])
        elif kind == b"\x01" and len(content) >= 6:
            self._translation = struct.unpack("<3h", content[:6])
        elif kind == b"\x02" and len(content) >= 6:
            self._rotation = struct.unpack("<3h", content[:6])
        elif kind == b"\x03":
            bits = int.from_bytes(content, "little")
            held = {button for button in range(8 * len(content)) if bits >> button & 1}
            self.pressed |= held - self.held
            self.held = held
            return
        self._said_s = self._clock()

    @property
    def axes(self) -> tuple[float, float, float, float]:
        """Away, left, up, and turned left as seen from above, each from -1 to 1."""
        if self._clock() - self._said_s > FRESH_S:
            return 0.0, 0.0, 0.0, 0.0
        (right, near, down), (_, _, clockwise) = self._translation, self._rotation
        away, left, up, turn = (_share(-value) for value in (near, right, down, clockwise))
        return away, left, up, turn


def _share(value: int) -> float:
    share = max(-1.0, min(1.0, value / FULL))
    return share if abs(share) > DEAD else 0.0


@TeleoperatorConfig.register_subclass("spacemouse")
@dataclass
class SpaceMouseConfig(TeleoperatorConfig):
    """LeRobot's configuration of it.

    Attributes:
        port: such as /dev/hidraw3; empty for the first one that is there.
        use_gripper: the left button closes it and the right one opens it; otherwise they keep and discard.
    """

    port: str = ""
    use_gripper: bool = False


class SpaceMouse(Teleoperator):
    """See LeRobot's `Teleoperator`: steps of a tool."""

    config_class, name = SpaceMouseConfig, "spacemouse"

    def __init__(self, config: SpaceMouseConfig) -> None:
        super().__init__(config)
        self._port, self._grips = config.port, config.use_gripper
        self._file, self._reports = -1, Reports(time.monotonic)

    @property
    def action_features(self) -> dict[str, type]:
        """Steps along x, y, z and about z, from -1 to 1, and what the gripper shall do."""
        return dict.fromkeys(("delta_x", "delta_y", "delta_z", "delta_yaw", "gripper"), float)

    @property
    def feedback_features(self) -> dict[str, type]:
        """None: it cannot push back."""
        return {}

    @property
    def is_connected(self) -> bool:
        """Its device is open."""
        return self._file >= 0

    @property
    def is_calibrated(self) -> bool:
        """It needs no calibration."""
        return True

    def connect(self, calibrate: bool = True) -> None:
        """Open its device.

        Raises:
            InputError: if there is none, or this user may not read it.
        """
        port = self._port or find()
        try:
            self._file = os.open(port, os.O_RDONLY | os.O_NONBLOCK)
        except PermissionError as error:
            raise InputError(f"'spacemouse': {port} may not be read by this user", fix=RULE) from error
        except OSError as error:
            fix = "plug it in; 'ls /dev/hidraw*' shows what is there"
            raise InputError(f"'spacemouse': {port}: {error.strerror}", fix=fix) from error

    def disconnect(self) -> None:
        """Close it."""
        if self.is_connected:
            os.close(self._file)
            self._file = -1

    def get_action(self) -> dict[str, float]:
        """What is pushed now.

        Raises:
            InputError: if it was unplugged.
        """
        self._read()
        steps = dict(zip(("delta_x", "delta_y", "delta_z", "delta_yaw"), self._reports.axes))
        held = self._reports.held if self._grips else set()
        return {**steps, "gripper": CLOSE if 0 in held else OPEN if 1 in held else STAY}

    def get_teleop_events(self) -> dict[TeleopEvents, bool]:
        """What its buttons say of the attempt, once for each time that they go down."""
        pressed, self._reports.pressed = set() if self._grips else self._reports.pressed, set()
        return {TeleopEvents.SUCCESS: 0 in pressed, TeleopEvents.FAILURE: 1 in pressed}

    def _read(self) -> None:
        """Everything that it has said meanwhile; a raw HID device gives one report at a time."""
        try:
            while report := os.read(self._file, LONGEST):
                self._reports.take(report)
        except BlockingIOError:
            pass
        except OSError as error:
            raise InputError(f"'spacemouse' is gone: {error.strerror}", fix="plug it in and start again") from error

    def calibrate(self) -> None:
        """See `is_calibrated`."""

    def configure(self) -> None:
        """Nothing can be set."""

    def send_feedback(self, feedback: dict[str, Any]) -> None:
        """See `feedback_features`."""


def find(folder: Path = HIDRAW) -> str:
    """The device file of the first SpaceMouse that the kernel knows.

    Raises:
        InputError: if it knows none.
    """
    for entry in sorted(folder.glob("hidraw*")):
        lines = (entry / "device" / "uevent").read_text().splitlines()
        told = dict(line.split("=", 1) for line in lines if "=" in line)
        _, maker, product = (int(part, 16) for part in told.get("HID_ID", "0:0:0").split(":"))
        if maker == MAKER or (maker == FORMER_MAKER and product in FORMER):
            return f"/dev/{entry.name}"
    fix = "plug it in; 'lsusb' shows '256f:' or '046d:', and a container needs its /dev/hidraw*"
    raise InputError("'spacemouse': there is none", fix=fix)
