"""Packets of Dynamixel Protocol 2.0 as bytes: CRC, byte stuffing, framing, and finding them in what a line carries.

Source: ROBOTIS e-manual, "DYNAMIXEL Protocol 2.0" and "CRC Calculation".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

HEADER = b"\xff\xff\xfd"
STUFFED = HEADER + b"\xfd"
BROADCAST = 0xFE
LAST_ID = 0xFC  # the greatest that a servo may have
POLYNOMIAL = 0x8005  # x^16 + x^15 + x^2 + 1, most significant bit first, start value 0
HEAD = 7  # bytes up to and with the length field
LONGEST = 1024  # bytes; a length field that says more is noise


class Instruction(IntEnum):
    """The instruction field."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    CLEAR = 0x10
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


class Error(IntEnum):
    """The error number of a status packet. ALERT is a bit beside it: the servo has a hardware error."""

    NONE = 0
    RESULT_FAIL = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7
    ALERT = 0x80


def _crc_of_byte(byte: int) -> int:
    value = byte << 8
    for _ in range(8):
        value = value << 1 ^ (POLYNOMIAL if value & 0x8000 else 0)
    return value & 0xFFFF


_CRC_OF_BYTE = tuple(map(_crc_of_byte, range(256)))


def crc16(data: bytes, start: int = 0) -> int:
    """The check sum of `data`, continued from that of what came before."""
    value = start
    for byte in data:
        value = value << 8 & 0xFFFF ^ _CRC_OF_BYTE[value >> 8 ^ byte]
    return value


def frame(number: int, instruction: int, parameters: bytes = b"") -> bytes:
    """A whole packet to or from servo `number`. The parameters of a status packet begin with the error byte."""
    body = (bytes([instruction]) + parameters).replace(HEADER, STUFFED)
    packet = HEADER + b"\0" + bytes([number]) + (len(body) + 2).to_bytes(2, "little") + body
    return packet + crc16(packet).to_bytes(2, "little")


def status(number: int, error: int, data: bytes = b"") -> bytes:
    """A status packet."""
    return frame(number, Instruction.STATUS, bytes([error]) + data)


def fast_status(parts: list[tuple[int, int, bytes]], length: int) -> list[bytes]:
    """The one status packet that several servos make together, as the pieces each sends: (id, error, data).

    `length` is what its length field says: there may be fewer pieces than it promises, when a servo is silent. Nothing
    is stuffed in it, and each piece ends with the check sum of all before.
    """
    head = HEADER + bytes([0, BROADCAST]) + length.to_bytes(2, "little") + bytes([Instruction.STATUS])
    pieces, check = [], 0
    for number, error, data in parts:
        piece = head + bytes([error, number]) + data
        check = crc16(piece, check)
        piece += check.to_bytes(2, "little")
        check = crc16(piece[-2:], check)
        pieces.append(piece)
        head = b""
    return pieces


@dataclass(frozen=True, slots=True)
class Packet:
    """What was found on the line."""

    number: int  # the id field
    instruction: int
    parameters: bytes  # without stuffing
    size: int  # bytes on the line
    intact: bool = True  # whether the check sum fits


class PacketReader:
    """Finds packets in a stream of bytes that may begin anywhere and hold anything."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are complete with these bytes."""
        self._bytes += data
        while self._find_header():
            size = HEAD + int.from_bytes(self._bytes[5:HEAD], "little")
            if not HEAD + 3 <= size <= LONGEST or self._bytes[4] in (0xFD, 0xFF):
                del self._bytes[:1]
                continue
            if len(self._bytes) < size:
                return
            yield self._take(size)

    def forget(self) -> None:
        """Drop what has come of an unfinished packet."""
        self._bytes.clear()

    def _find_header(self) -> bool:
        """Bring the next header to the front. False while there is none with its length field."""
        while True:
            start = self._bytes.find(HEADER)
            if start < 0:
                del self._bytes[: max(0, len(self._bytes) - 2)]
                return False
            del self._bytes[:start]
            if len(self._bytes) < HEAD:
                return False
            if self._bytes[3] != 0xFD:
                return True
            del self._bytes[:3]  # stuffing, within a packet whose beginning was missed

    def _take(self, size: int) -> Packet:
        raw = bytes(self._bytes[:size])
        del self._bytes[:size]
        intact = crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little")
        body = raw[HEAD:-2].replace(STUFFED, HEADER)
        return Packet(raw[4], body[0], body[1:], size, intact)
