"""Feetech servos on a pseudo terminal: the wire protocol of the bus that an SO-101 hangs on, leader or follower."""

import os
import pty
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PING, READ, WRITE, SYNC_READ, SYNC_WRITE = 1, 2, 3, 0x82, 0x83
BROADCAST = 0xFE
MODEL, LIMITS, OFFSET, TORQUE, GOAL, POSITION, CURRENT = 3, 9, 31, 40, 42, 56, 69  # addresses
STS3215, MIDDLE, STEPS = 777, 2047, 4095
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
FASTEST = 3072  # steps a second: 45 rpm
BYTE_S = 10e-6  # at 1 Mbaud


def calibration(lower: int = 0, upper: int = STEPS) -> dict[str, dict[str, int]]:
    """LeRobot's calibration of servos whose range's middle is zero."""
    middle = {"drive_mode": 0, "homing_offset": 0, "range_min": lower, "range_max": upper}
    return {joint: {"id": i + 1, **middle} for i, joint in enumerate(JOINTS)}


class Servos:
    """Six STS3215 with the ids 1 to 6. Those with torque go where they are sent, as fast as they can.

    Attributes:
        silent: nobody answers any more.
        mistake: whatever they are asked together, they tell their currents.
        late_s: how much later than the bytes take an answer comes.
        powered: when the torque of the first servo was switched, and to what.
    """

    def __init__(self) -> None:
        self._memory = {i: bytearray(256) for i in range(1, 7)}
        self.silent, self.mistake, self.late_s, self.powered = False, False, 0.0, list[tuple[float, int]]()
        self._moved_s = time.monotonic()
        for i in self._memory:
            self._put(i, MODEL, STS3215)
            self.limit(i, 0, STEPS)
            self.turn(i, MIDDLE)

    def _put(self, servo: int, address: int, value: int) -> None:
        self._memory[servo][address : address + 2] = value.to_bytes(2, "little")

    def _get(self, servo: int, address: int) -> int:
        return int.from_bytes(self._memory[servo][address : address + 2], "little")

    def turn(self, servo: int, position: int) -> None:
        """Somebody turns it by hand."""
        self._put(servo, POSITION, position)

    def at(self, servo: int) -> int:
        """What its encoder reads."""
        return self._get(servo, POSITION)

    def goal(self, servo: int) -> int:
        """Where it was sent last."""
        return self._get(servo, GOAL)

    def send(self, servo: int, position: int) -> None:
        """Somebody else sent it there once."""
        self._put(servo, GOAL, position)

    def limit(self, servo: int, lower: int, upper: int) -> None:
        """Its range is another one."""
        self._put(servo, LIMITS, lower)
        self._put(servo, LIMITS + 2, upper)

    def let_go(self, servo: int) -> None:
        """It has no power."""
        self._memory[servo][TORQUE] = 0

    def torque(self, servo: int) -> bool:
        """It is under power."""
        return bool(self._memory[servo][TORQUE])

    def draw(self, servo: int, current: int) -> None:
        """Its register of the motor current."""
        self._put(servo, CURRENT, current)

    def become(self, servo: int, model: int) -> None:
        """It is of another model."""
        self._put(servo, MODEL, model)

    def move(self) -> None:
        """Whatever has torque goes on towards its goal until now."""
        now_s = time.monotonic()
        step, self._moved_s = round(FASTEST * (now_s - self._moved_s)), now_s
        for i in filter(self.torque, self._memory):
            away = self.goal(i) - self.at(i)
            self.turn(i, self.at(i) + max(-step, min(step, away)))

    def answer(self, servo: int, instruction: int, parameters: bytes) -> bytes:
        """What the servos say to a packet."""
        self.move()
        if instruction == SYNC_READ:
            address, length, *servos = parameters
            address = CURRENT if self.mistake else address
            return b"".join(self._packet(i, self._memory[i][address : address + length]) for i in servos)
        if instruction == SYNC_WRITE:
            address, length, *rest = parameters
            for at in range(0, len(rest), length + 1):
                self._write(rest[at], address, bytes(rest[at + 1 : at + 1 + length]))
            return b""
        if servo == BROADCAST and instruction == PING:
            return b"".join(self._packet(i) for i in self._memory)
        if servo not in self._memory:
            return b""
        if instruction == READ:
            address, length = parameters
            return self._packet(servo, self._memory[servo][address : address + length])
        if instruction == WRITE:
            self._write(servo, parameters[0], parameters[1:])
        return self._packet(servo)

    def _write(self, servo: int, address: int, content: bytes) -> None:
        self._memory[servo][address : address + len(content)] = content
        if servo == 1 and address == TORQUE:
            self.powered.append((time.monotonic(), content[0]))

    @staticmethod
    def _packet(servo: int, content: bytes = b"") -> bytes:
        body = bytes([servo, len(content) + 2, 0, *content])
        return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])


@contextmanager
def bus(servos: Servos) -> Iterator[str]:
    """The name of a serial port at which the servos listen."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    stopped = threading.Event()

    def serve() -> None:
        with suppress(OSError):  # a servo has a processor of its own
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(9))
        heard = b""
        while not stopped.is_set():
            try:
                heard += os.read(ours, 256)
            except OSError:
                return
            while (start := heard.find(b"\xff\xff")) >= 0 and len(heard) >= start + 4:
                end = start + 4 + heard[start + 3]
                if len(heard) < end:
                    break
                servo, _, instruction, *parameters = heard[start + 2 : end - 1]
                answer = servos.answer(servo, instruction, bytes(parameters))
                if servos.late_s:
                    time.sleep(servos.late_s + BYTE_S * (end - start + len(answer)))
                heard = heard[end:]
                if not servos.silent:
                    os.write(ours, answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        stopped.set()
        os.close(theirs)
        thread.join(2)
        os.close(ours)
