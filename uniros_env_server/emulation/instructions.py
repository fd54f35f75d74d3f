"""What the servos on a bus do with an instruction packet, and what each of them answers.

Source: ROBOTIS e-manual, "DYNAMIXEL Protocol 2.0", and of the servos "Status Return Level", "Secondary(Shadow) ID".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from uniros_env_server.emulation.control_table import Refused
from uniros_env_server.emulation.packets import BROADCAST, Error, Instruction, Packet, fast_status, status
from uniros_env_server.emulation.servo import Servo

RETURN_DELAY_UNIT = 2e-6  # s
CLEAR_MULTI_TURN = b"\x01\x44\x58\x4c\x22"
FAST = (Instruction.FAST_SYNC_READ, Instruction.FAST_BULK_READ)
READING = (Instruction.READ, Instruction.SYNC_READ, Instruction.BULK_READ, *FAST)
ANSWERS_FROM: dict[int, int] = {Instruction.PING: 0, **dict.fromkeys(READING, 1)}  # status_return_level; others from 2


@dataclass(frozen=True, slots=True)
class Answer:
    """A status packet, or a piece of one, on its way to the host."""

    data: bytes
    delay: float  # s the servo waits before it sends
    lost: bool = False  # it takes its time on the line and never arrives


def carry_out(packet: Packet, hearing: Sequence[Servo], now: float) -> list[Answer]:
    """The answers, in the order in which they go over the line. `hearing`: the servos that got the packet."""
    if not packet.intact:
        return [_answer(servo, Error.CRC) for servo in hearing if servo.number == packet.number]
    if packet.instruction == Instruction.STATUS:
        return []
    for servo in hearing:
        servo.watchdog.feed(now)
    if packet.number != BROADCAST:
        return _single(packet, hearing, now)
    return TO_MANY.get(packet.instruction, _all)(packet, hearing, now)


def _single(packet: Packet, hearing: Sequence[Servo], now: float) -> list[Answer]:
    """To one id: who has it as its own answers; who has it as its secondary one obeys silently."""
    answers = []
    for servo in hearing:
        if not servo.obeys(packet.number):
            continue
        level, delay, alert = servo.table["status_return_level"], _delay(servo), _alert(servo)
        primary = servo.number == packet.number
        data, error = _try(servo, packet, now, secondary=not primary)
        if primary and level >= ANSWERS_FROM.get(packet.instruction, 2):
            answers.append(Answer(status(packet.number, error | alert, data), delay))
    return answers


def _all(packet: Packet, hearing: Sequence[Servo], now: float) -> list[Answer]:
    """To everyone: only a ping is answered, reading is not done, and no one resets all of himself at once."""
    if packet.instruction == Instruction.READ:
        return []
    if packet.instruction == Instruction.FACTORY_RESET and packet.parameters == b"\xff":
        return []
    answers = []
    for servo in sorted(hearing, key=lambda servo: servo.number):
        data, _ = _try(servo, packet, now, secondary=False)
        if packet.instruction == Instruction.PING:
            answers.append(_answer(servo, Error.NONE, data))
    return answers


def _try(servo: Servo, packet: Packet, now: float, secondary: bool) -> tuple[bytes, int]:
    """Data and error number of what one servo did."""
    if packet.instruction not in TO_ONE:
        return b"", Error.INSTRUCTION
    try:
        return TO_ONE[packet.instruction](servo, packet.parameters, now, secondary), Error.NONE
    except Refused as refusal:
        return b"", refusal.error


def _answer(servo: Servo, error: int, data: bytes = b"") -> Answer:
    return Answer(status(servo.number, error | _alert(servo), data), _delay(servo))


def _alert(servo: Servo) -> int:
    return Error.ALERT if servo.table["hardware_error_status"] else 0


def _delay(servo: Servo) -> float:
    return servo.table["return_delay_time"] * RETURN_DELAY_UNIT


def _word(data: bytes) -> int:
    return int.from_bytes(data[:2], "little")


# To one servo: each returns the data of the status packet or raises Refused.


def _ping(servo: Servo, _parameters: bytes, _now: float, _secondary: bool) -> bytes:
    return servo.table["model_number"].to_bytes(2, "little") + bytes([servo.table["firmware_version"]])


def _read(servo: Servo, parameters: bytes, now: float, _secondary: bool) -> bytes:
    if len(parameters) != 4:
        raise Refused(Error.DATA_LENGTH)
    return servo.read(_word(parameters), _word(parameters[2:]), now)


def _write(servo: Servo, parameters: bytes, now: float, secondary: bool) -> bytes:
    servo.write(_word(parameters), parameters[2:], now, secondary)
    return b""


def _reg_write(servo: Servo, parameters: bytes, _now: float, secondary: bool) -> bytes:
    servo.register(_word(parameters), parameters[2:], secondary)
    return b""


def _action(servo: Servo, _parameters: bytes, now: float, _secondary: bool) -> bytes:
    servo.act(now)
    return b""


def _factory_reset(servo: Servo, parameters: bytes, now: float, secondary: bool) -> bytes:
    if secondary:
        raise Refused(Error.ACCESS)
    if len(parameters) != 1:
        raise Refused(Error.DATA_LENGTH)
    servo.reset(parameters[0], now)
    return b""


def _reboot(servo: Servo, _parameters: bytes, now: float, _secondary: bool) -> bytes:
    servo.boot(now)
    return b""


def _clear(servo: Servo, parameters: bytes, _now: float, _secondary: bool) -> bytes:
    """Forget whole turns: the joints here have none, so only the conditions count."""
    if parameters != CLEAR_MULTI_TURN or not servo.standing:
        raise Refused(Error.RESULT_FAIL)
    return b""


# To many servos.


def _sync_read(packet: Packet, hearing: Sequence[Servo], now: float) -> list[Answer]:
    address, length = _word(packet.parameters), _word(packet.parameters[2:])
    return _read_many(packet, [(number, address, length) for number in packet.parameters[4:]], hearing, now)


def _bulk_read(packet: Packet, hearing: Sequence[Servo], now: float) -> list[Answer]:
    rows = [packet.parameters[start : start + 5] for start in range(0, len(packet.parameters) - 4, 5)]
    return _read_many(packet, [(row[0], _word(row[1:]), _word(row[3:])) for row in rows], hearing, now)


def _read_many(packet: Packet, wanted: list[tuple[int, int, int]], hearing: Sequence[Servo],
               now: float) -> list[Answer]:
    """Answers in the order asked for: (id, address, length).

    Each servo waits for the one before it to answer: behind a silent one all the others are silent too (seen on real
    servos: ROBOTIS-GIT/DynamixelSDK issue 331).
    """
    fast = packet.instruction in FAST
    parts, delays = [], []
    for number, address, length in wanted:
        servo = next((servo for servo in hearing if servo.number == number), None)
        if servo is None or servo.table["status_return_level"] < ANSWERS_FROM[packet.instruction]:
            break
        try:
            data, error = servo.read(address, length, now), int(Error.NONE)
        except Refused as refusal:
            data, error = bytes(length) if fast else b"", refusal.error
        parts.append((number, error | _alert(servo), data))
        delays.append(_delay(servo))
    if fast:
        pieces = fast_status(parts, 1 + sum(length + 4 for _, _, length in wanted))
    else:
        pieces = [status(*part) for part in parts]
    return [Answer(piece, delay) for piece, delay in zip(pieces, delays, strict=True)]


def _sync_write(packet: Packet, hearing: Sequence[Servo], now: float) -> list[Answer]:
    address, length = _word(packet.parameters), _word(packet.parameters[2:])
    rows = packet.parameters[4:]
    for start in range(0, len(rows) - length, length + 1):
        _write_to(rows[start], address, rows[start + 1 : start + 1 + length], hearing, now)
    return []


def _bulk_write(packet: Packet, hearing: Sequence[Servo], now: float) -> list[Answer]:
    rows = packet.parameters
    while len(rows) >= 5:
        length = _word(rows[3:])
        _write_to(rows[0], _word(rows[1:]), rows[5 : 5 + length], hearing, now)
        rows = rows[5 + length :]
    return []


def _write_to(number: int, address: int, data: bytes, hearing: Sequence[Servo], now: float) -> None:
    """A write that is not answered: a servo that refuses it says nothing."""
    for servo in hearing:
        if servo.obeys(number):
            try:
                servo.write(address, data, now, secondary=servo.number != number)
            except Refused:
                continue


TO_ONE: dict[int, Callable[[Servo, bytes, float, bool], bytes]] = {
    Instruction.PING: _ping, Instruction.READ: _read, Instruction.WRITE: _write, Instruction.REG_WRITE: _reg_write,
    Instruction.ACTION: _action, Instruction.FACTORY_RESET: _factory_reset, Instruction.REBOOT: _reboot,
    Instruction.CLEAR: _clear}
TO_MANY: dict[int, Callable[[Packet, Sequence[Servo], float], list[Answer]]] = {
    Instruction.SYNC_READ: _sync_read, Instruction.FAST_SYNC_READ: _sync_read, Instruction.SYNC_WRITE: _sync_write,
    Instruction.BULK_READ: _bulk_read, Instruction.FAST_BULK_READ: _bulk_read, Instruction.BULK_WRITE: _bulk_write}
