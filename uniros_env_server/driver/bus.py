"""The Dynamixel bus: reads and writes with typed errors and counters, on dynamixel-sdk's packet code."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamixel_sdk import COMM_RX_CORRUPT, COMM_RX_TIMEOUT, COMM_SUCCESS, DXL_MAKEWORD, Protocol2PacketHandler
from dynamixel_sdk.protocol2_packet_handler import ERRBIT_ALERT, PKT_ERROR, PKT_ID, PKT_LENGTH_H, PKT_LENGTH_L

from uniros_env_server.driver.port import Port, PortLost
from uniros_env_server.driver.registers import Register

QUIET, VERY_QUIET = 0.002, 0.03  # s without a byte until the line has settled: in the loop, and with time to spare
MOST_SETTLING = 0.05  # s, half of what the bus watchdogs wait
STATUS_OVERHEAD = 4  # bytes that a status packet's length counts beside its data: instruction, error, checksum
DATA = PKT_ERROR + 1


class BusError(Exception):
    """Raised when a servo does not answer, or refuses; the message names both."""


@dataclass
class Counters:
    """What has happened on the bus since the start."""

    reads: int = 0
    lost: int = 0  # answers that did not come in time
    corrupt: int = 0  # packets with a wrong checksum or of a wrong shape
    stale: int = 0  # answers that had been measured before
    write_errors: int = 0  # packets the port did not take
    reopened: int = 0


@dataclass(frozen=True)
class Answers:
    """What came back from a sync read."""

    data: Mapping[int, bytes]  # by servo id
    alerts: frozenset  # ids that report a hardware error
    missing: tuple[int, ...]  # ids that did not answer, in the order asked
    sent: float  # s, monotonic, when the question went out
    received: float  # s, monotonic, when the last answer was complete


@dataclass
class Bus:
    """The servos on one port. Not thread-safe: one thread owns it."""

    port: Port
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        self._packets: Any = Protocol2PacketHandler()
        if "fast_option" not in inspect.signature(self._packets.rxPacket).parameters:
            raise BusError("dynamixel-sdk 4 was expected, an older one is installed: pip install dynamixel-sdk==4.1.0")

    def sync_read(self, ids: Iterable[int], address: int, length: int) -> Answers:
        """`length` bytes from `address` of each servo. Raises PortLost; silent servos are listed in the answer."""
        asked = list(ids)
        data: dict[int, bytes] = {}
        alerts = set()
        sent = time.monotonic()
        self._exclusive(lambda: self._packets.syncReadTx(self.port, address, length, asked, len(asked), False))
        self.port.setPacketTimeout(8 + len(asked) + 6 + len(asked) * (11 + length))
        while len(data) < len(asked):
            packet, result = self._receive()
            if result == COMM_SUCCESS and _fits(packet, length) and packet[PKT_ID] in asked:
                data[packet[PKT_ID]] = bytes(packet[DATA:DATA + length])
                if packet[PKT_ERROR] & ERRBIT_ALERT:
                    alerts.add(packet[PKT_ID])
            elif self.port.isPacketTimeout():
                break
        received = time.monotonic()
        missing = tuple(servo for servo in asked if servo not in data)
        self.counters.reads += 1
        self.counters.lost += bool(missing)
        if missing:
            self.settle()
        return Answers(data, frozenset(alerts), missing, sent, received)

    def sync_write(self, values: Mapping[int, int], register: Register) -> bool:
        """Write a value to each servo in one packet, which nobody answers; False when the port did not take it."""
        param = [byte for servo, value in values.items() for byte in [servo] + register.encode(value)]
        result = self._exclusive(lambda: self._packets.syncWriteTxOnly(
            self.port, register.address, register.size, param, len(param)))
        self.counters.write_errors += result != COMM_SUCCESS
        return result == COMM_SUCCESS

    def ping(self, servo: int) -> int:
        """The servo's model number. Raises BusError when it is silent."""
        number, result, _error = self._exclusive(lambda: self._packets.ping(self.port, servo))
        self._check(result, 0, f"servo {servo} does not answer a ping")
        return int(number)

    def read(self, servo: int, register: Register) -> int:
        """One register. Raises BusError when the servo is silent or refuses."""
        what = f"servo {servo} was asked for {register.name}"
        self._exclusive(lambda: self._packets.readTx(self.port, servo, register.address, register.size))
        while True:
            packet, result = self._receive()
            if result == COMM_SUCCESS and packet[PKT_ID] == servo:
                self._check(result, packet[PKT_ERROR], what)
                if _fits(packet, register.size):
                    return register.decode(bytes(packet[DATA:DATA + register.size]))
            elif self.port.isPacketTimeout():
                self._check(COMM_RX_TIMEOUT, 0, what)

    def write(self, servo: int, register: Register, value: int) -> None:
        """One register. Raises BusError when the servo is silent or refuses."""
        result, error = self._exclusive(lambda: self._packets.writeTxRx(
            self.port, servo, register.address, register.size, register.encode(value)))
        self._check(result, error, f"servo {servo} was told {register.name} = {value}")

    def reboot(self, servo: int) -> None:
        """Restart a servo: torque off, RAM as from the works. Raises BusError when it is silent."""
        result, _error = self._exclusive(lambda: self._packets.reboot(self.port, servo))
        self._check(result, 0, f"servo {servo} was told to reboot")

    def settle(self, quiet: float = QUIET) -> None:
        """Let late answers come and go, so that they are not taken for those to the next question of the same kind."""
        end = time.monotonic() + MOST_SETTLING
        while time.monotonic() < end:
            self.port.setPacketTimeoutMillis(quiet * 1e3)
            if not self.port.readPort(4096):
                return

    def _receive(self) -> tuple[Any, int]:
        packet, result = self._packets.rxPacket(self.port, False)
        self.counters.corrupt += result == COMM_RX_CORRUPT
        return packet, result

    def _exclusive(self, call: Callable[[], Any]) -> Any:
        """The SDK marks a port as in use and forgets to unmark it when a call raises."""
        try:
            return call()
        finally:
            self.port.is_using = False

    def _check(self, result: int, error: int, what: str) -> None:
        if result != COMM_SUCCESS:
            self.counters.lost += result != COMM_RX_CORRUPT
            self.counters.corrupt += result == COMM_RX_CORRUPT
            self.settle(VERY_QUIET)
            raise BusError("{}: {}".format(what, self._packets.getTxRxResult(result).split("] ")[-1]))
        if error & ~ERRBIT_ALERT:
            raise BusError("{}: {}".format(what, self._packets.getRxPacketError(error & ~ERRBIT_ALERT).split("] ")[-1]))


def _fits(packet: list[int], length: int) -> bool:
    """Whether a status packet carries `length` bytes of data: a refusal carries none, a late answer other ones."""
    return DXL_MAKEWORD(packet[PKT_LENGTH_L], packet[PKT_LENGTH_H]) == length + STATUS_OVERHEAD


__all__ = ["Answers", "Bus", "BusError", "Counters", "PortLost"]
