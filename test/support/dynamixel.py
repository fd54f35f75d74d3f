"""Both ends of a Dynamixel bus for tests: packets by register names in lock-step, and ports of dynamixel-sdk."""

from __future__ import annotations

import contextlib
import select
import termios
from collections.abc import Iterator

import serial
from dynamixel_sdk import PortHandler

from uniros_env_server.emulation.arm import EmulatedArm
from uniros_env_server.emulation.control_table import Register
from uniros_env_server.emulation.packets import Instruction, Packet, PacketReader, frame

BROADCAST = 0xFE
ALL = (1, 2, 3, 4, 5, 6, 7)


def word(number: int) -> bytes:
    return number.to_bytes(2, "little")


class Host:
    """Whoever sits at the other end of the bus."""

    def __init__(self, arm: EmulatedArm) -> None:
        self.arm = arm

    def register(self, servo: int, name: str) -> Register:
        return next(s for s in self.arm.servos if s.place.number == servo).table.model.registers[name]

    def ask(self, number: int, instruction: int, parameters: bytes = b"") -> list[Packet]:
        """The status packets that come back."""
        return list(PacketReader().feed(self.arm.exchange(frame(number, instruction, parameters))))

    def error(self, number: int, instruction: int, parameters: bytes = b"") -> int:
        """The error byte of the one status packet that comes back."""
        (answer,) = self.ask(number, instruction, parameters)
        assert answer.instruction == Instruction.STATUS and answer.number == number
        return answer.parameters[0]

    def write(self, servo: int, name: str, value: int) -> int:
        """The error byte."""
        register = self.register(servo, name)
        return self.error(servo, Instruction.WRITE, word(register.address) + register.encode(value))

    def read(self, servo: int, name: str) -> int:
        """The value, from a read without any error."""
        register = self.register(servo, name)
        (answer,) = self.ask(servo, Instruction.READ, word(register.address) + word(register.size))
        assert answer.parameters[0] & 0x7F == 0
        return register.decode(answer.parameters[1:])

    def sync_write(self, name: str, values: dict[int, int]) -> None:
        register = self.register(1, name)
        rows = b"".join(bytes([servo]) + register.encode(value) for servo, value in values.items())
        assert self.ask(BROADCAST, Instruction.SYNC_WRITE, word(register.address) + word(register.size) + rows) == []

    def sync_read(self, name: str, servos: tuple[int, ...] = ALL) -> dict[int, int]:
        register = self.register(servos[0], name)
        request = word(register.address) + word(register.size) + bytes(servos)
        answers = self.ask(BROADCAST, Instruction.SYNC_READ, request)
        return {answer.number: register.decode(answer.parameters[1:]) for answer in answers}

    def switch_on(self) -> None:
        """Torque on all servos, which stay where they are."""
        self.sync_write("torque_enable", dict.fromkeys(ALL, 1))


class PatientPort(PortHandler):
    """dynamixel-sdk's own port, but asleep while it waits."""

    def readPort(self, length: int) -> bytes:
        left = self.packet_timeout - self.getTimeSinceStart()  # ms
        select.select([self.ser.fileno()], [], [], max(0.0, left / 1e3))
        return self.ser.read(length)


@contextlib.contextmanager
def opened(path: str, port: type[PortHandler] = PatientPort) -> Iterator[PortHandler]:
    """A port at the servos' speed."""
    handler = port(path)
    assert handler.openPort() and handler.setBaudRate(1_000_000)
    try:
        yield handler
    finally:
        with contextlib.suppress(OSError, termios.error, serial.SerialException):
            handler.closePort()
