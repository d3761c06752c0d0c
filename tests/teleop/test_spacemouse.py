"""A SpaceMouse that is a named pipe. It speaks once before each poll: a raw HID device gives one report per read."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot")

from robot_rlaas.cell.errors import InputError
from robot_rlaas.teleop.devices import device
from robot_rlaas.teleop.recorder import Wish
from robot_rlaas.teleop.session import Session
from robot_rlaas.teleop.spacemouse import FRESH_S, Reports, find


class Mouse:
    """What a hand does to it."""

    def __init__(self, port: Path) -> None:
        os.mkfifo(port)
        self.port, self.file = port, os.open(port, os.O_RDWR)

    def push(self, right: int = 0, near: int = 0, down: int = 0) -> None:
        os.write(self.file, b"\x01" + struct.pack("<3h", right, near, down))

    def turn(self, x: int = 0, y: int = 0, clockwise: int = 0) -> None:
        os.write(self.file, b"\x02" + struct.pack("<3h", x, y, clockwise))

    def press(self, buttons: int) -> None:
        os.write(self.file, b"\x03" + buttons.to_bytes(2, "little"))


@pytest.fixture
def mouse(tmp_path: Path) -> Iterator[Mouse]:
    mouse = Mouse(tmp_path / "hidraw0")
    yield mouse
    os.close(mouse.file)


def test_it_moves_and_turns_the_tool_and_its_buttons_decide(session: Session, mouse: Mouse) -> None:
    with device("spacemouse", [f"port={mouse.port}"], session) as poll:
        assert list(poll()) == []
        mouse.push(right=-175, near=-350, down=70)
        (wish,) = poll()
        assert wish.name == "nudge"
        assert wish.values == pytest.approx((1.0, 0.5, -0.2, 0.0))
        mouse.turn(clockwise=350)
        (wish,) = poll()
        assert wish.values == pytest.approx((1.0, 0.5, -0.2, -1.0))
        (wish,) = poll()
        assert wish.values == pytest.approx((1.0, 0.5, -0.2, -1.0)), "it is still pushed"
        mouse.push(right=12)
        (wish,) = poll()
        assert wish.values == (0.0, 0.0, 0.0, -1.0)
        mouse.turn()
        assert list(poll()) == [], "a hand at rest"
        mouse.press(1)
        assert list(poll()) == [Wish("keep")]
        assert list(poll()) == [], "once for each time"
        mouse.press(0)
        assert list(poll()) == []
        mouse.press(2)
        assert list(poll()) == [Wish("discard")]


def test_its_buttons_can_have_the_gripper_instead(session: Session, mouse: Mouse) -> None:
    with device("spacemouse", [f"port={mouse.port}", "use_gripper=true"], session) as poll:
        session.pilot.closed = False
        mouse.press(1)
        assert list(poll()) == [Wish("grip")]
        session.pilot.closed = True
        assert list(poll()) == [], "it is closed already"
        mouse.press(2)
        assert list(poll()) == [Wish("grip")]


def test_reports_of_all_kinds_by_hand() -> None:
    now = [0.0]
    reports = Reports(lambda: now[0])
    assert reports.axes == (0, 0, 0, 0)
    reports.take(b"\x01" + struct.pack("<6h", 0, -700, -35, 9, 9, -70))
    np.testing.assert_allclose(reports.axes, (1, 0, 0.1, 0.2))
    reports.take(b"\x17\x01\x02\x03\x04\x05\x06\x07")
    reports.take(b"\x01\x00")
    np.testing.assert_allclose(reports.axes, (1, 0, 0.1, 0.2), err_msg="what is no report of these changes nothing")
    now[0] = FRESH_S + 0.1
    assert reports.axes == (0, 0, 0, 0), "it fell silent"
    reports.take(b"\x03\x05\x00\x00\x80")
    assert reports.pressed == {0, 2, 31}


def test_one_that_is_not_there(session: Session, mouse: Mouse, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'spacemouse': /dev/nothing: No such file.*\n.*ls /dev/hidraw"):
        with device("spacemouse", ["port=/dev/nothing"], session):
            pass
    with pytest.raises(InputError, match="prt"):
        with device("spacemouse", ["prt=x"], session):
            pass
    with pytest.raises(InputError, match=r"there is none\n.*plug it in"):
        find(tmp_path / "nothing")


def test_it_is_found_by_who_made_it(tmp_path: Path) -> None:
    told = {"hidraw0": "046D:0000C52B", "hidraw1": "046D:0000C626", "hidraw2": "256F:0000C635"}
    for name, ids in told.items():
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / "device" / "uevent").write_text(f"DRIVER=hid-generic\nHID_ID=0003:0000{ids}\nHID_NAME=x\n")
    assert find(tmp_path) == "/dev/hidraw1", "the first is a mouse of the former maker"
    (tmp_path / "hidraw1" / "device" / "uevent").unlink()
    (tmp_path / "hidraw1" / "device").rmdir()
    (tmp_path / "hidraw1").rmdir()
    assert find(tmp_path) == "/dev/hidraw2"
