"""Feetech servos on a pseudo terminal: the wire protocol of the bus that an SO-101 leader arm hangs on."""

import os
import pty
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager

PING, READ, WRITE, SYNC_READ = 1, 2, 3, 0x82
BROADCAST = 0xFE
MODEL, LIMITS, OFFSET, POSITION = 3, 9, 31, 56  # addresses
STS3215, MIDDLE = 777, 2047


class Servos:
    """Six STS3215 with the ids 1 to 6; `position` is what their encoders read."""

    def __init__(self) -> None:
        self._memory = {i: bytearray(256) for i in range(1, 7)}
        for i in self._memory:
            self._put(i, MODEL, STS3215)
            self._put(i, LIMITS, 0)
            self._put(i, LIMITS + 2, 4095)
            self.turn(i, MIDDLE)

    def _put(self, servo: int, address: int, value: int) -> None:
        self._memory[servo][address : address + 2] = value.to_bytes(2, "little")

    def turn(self, servo: int, position: int) -> None:
        self._put(servo, POSITION, position)

    def answer(self, servo: int, instruction: int, parameters: bytes) -> bytes:
        if instruction == SYNC_READ:
            address, length, *servos = parameters
            return b"".join(self._packet(i, self._memory[i][address : address + length]) for i in servos)
        if servo == BROADCAST and instruction == PING:
            return b"".join(self._packet(i) for i in self._memory)
        if servo not in self._memory:
            return b""
        if instruction == READ:
            address, length = parameters
            return self._packet(servo, self._memory[servo][address : address + length])
        if instruction == WRITE:
            self._memory[servo][parameters[0] : parameters[0] + len(parameters) - 1] = parameters[1:]
        return self._packet(servo)

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
                heard = heard[end:]
                os.write(ours, servos.answer(servo, instruction, bytes(parameters)))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        stopped.set()
        os.close(theirs)
        thread.join(2)
        os.close(ours)
