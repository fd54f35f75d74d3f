"""The control table of one servo: registers in memory, and which reads and writes of them are refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from uniros_env_server.data import load_yaml
from uniros_env_server.emulation.packets import Error

EEPROM_END = 64  # the first address of the RAM area
INDIRECT_ADDRESS_RANGE = (64, 661)


class Refused(Exception):
    """Raised when an instruction cannot be carried out, with the error number for the status packet."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.name)
        self.error = error


@dataclass(frozen=True, slots=True)
class Register:
    """One item of the table."""

    name: str
    address: int
    size: int  # bytes
    writable: bool
    initial: int
    least: int
    greatest: int

    @property
    def eeprom(self) -> bool:
        """Whether the value survives a reboot, and is locked while the torque is on."""
        return self.address < EEPROM_END

    def encode(self, value: int) -> bytes:
        """The value as it stands in memory."""
        return (value % (1 << 8 * self.size)).to_bytes(self.size, "little")

    def decode(self, data: bytes) -> int:
        """The value of bytes from memory."""
        return int.from_bytes(data, "little", signed=self.least < 0)


@dataclass(frozen=True)
class ServoModel:
    """What a model of servo is: its registers, its motor, its modes."""

    name: str
    registers: dict[str, Register]
    starts: dict[int, Register]  # by first address
    defined: frozenset[int]  # every address that belongs to a register
    indirect: dict[int, int]  # address of the byte that shows -> address of the register saying what
    direct_end: int  # bytes below this address lie where they are
    size: int  # bytes of the table
    operating_modes: tuple[int, ...]
    motor: dict[str, float]  # voltage V, stall_torque Nm, stall_current A, no_load_speed rad/s; at the output shaft


@cache
def load_servo_model(name: str) -> ServoModel:
    """A model by name. Raises ValueError, naming the known ones, when it is not described."""
    data = load_yaml("dynamixel", "x430.yaml")
    if name not in data["models"]:
        raise ValueError(f"unknown servo model {name!r}; config/dynamixel/x430.yaml has {', '.join(data['models'])}")
    model = data["models"][name]
    rows = _rows(data["registers"], model)
    registers = {key: Register(key, row[0], row[1], row[2] == "rw", *row[3:]) for key, row in rows.items()}
    indirect = {}
    for first_address, first_byte in data["indirect"]["blocks"]:
        for pair in range(data["indirect"]["pairs"]):
            indirect[first_byte + pair] = first_address + 2 * pair
    for shown, address in indirect.items():
        registers[f"indirect_address_{address}"] = Register(f"indirect_address_{address}", address, 2, True, shown,
                                                            *INDIRECT_ADDRESS_RANGE)
        registers[f"indirect_data_{shown}"] = Register(f"indirect_data_{shown}", shown, 1, True, 0, 0, 255)
    starts = {register.address: register for register in registers.values()}
    defined = frozenset(address for register in registers.values()
                        for address in range(register.address, register.address + register.size))
    return ServoModel(name, registers, starts, defined, indirect, min(indirect), max(defined) + 1,
                      tuple(model["operating_modes"]), model["motor"])


def _rows(common: dict[str, list[Any]], model: dict[str, Any]) -> dict[str, list[Any]]:
    """The register rows of a model: the common ones with its own values, without those replaced, with those added."""
    rows = {key: list(row) for key, row in common.items() if key not in model.get("replaced", {})}
    for key, initial in model["registers"].items():
        rows[key][3] = initial
    for key, limits in model["limits"].items():
        rows[key][4:] = limits
    return {**rows, **model.get("added", {})}


class ControlTable:
    """Memory of one servo, by register name for the servo itself, by address for the bus.

    Values are kept as numbers and as bytes: the servo looks at them a hundred times between two packets.
    """

    def __init__(self, model: ServoModel, settings: dict[str, int]) -> None:
        self.model = model
        self._values: dict[str, int] = {}
        self._memory = bytearray(model.size)
        for register in model.registers.values():
            self[register.name] = settings.get(register.name, register.initial)
        unknown = set(settings) - set(model.registers)
        if unknown:
            raise ValueError(f"{model.name} has no register {', '.join(sorted(unknown))}")

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def __setitem__(self, name: str, value: int) -> None:
        register = self.model.registers[name]
        self._values[name] = value
        self._memory[register.address : register.address + register.size] = register.encode(value)

    def __contains__(self, name: str) -> bool:
        return name in self.model.registers

    def reset_ram(self) -> None:
        """The RAM area as after power on."""
        for register in self.model.registers.values():
            if not register.eeprom:
                self[register.name] = register.initial

    def read(self, address: int, length: int) -> bytes:
        """Bytes of the table. Gaps between registers read as 0; ACCESS where there is no register at all."""
        span = range(address, address + length)
        if not length or span.stop > self.model.size or self.model.defined.isdisjoint(span):
            raise Refused(Error.ACCESS)
        if span.stop <= self.model.direct_end:
            return bytes(self._memory[address : span.stop])
        return bytes(self._memory[self._shown(byte)] for byte in span)

    def split(self, address: int, data: bytes) -> Iterator[tuple[Register, int]]:
        """The registers that a write covers, with their new values.

        Raises Refused: ACCESS where no register begins or it cannot be written, DATA_LENGTH where one is covered in
        part, DATA_RANGE for a value outside its range.
        """
        if not data:
            raise Refused(Error.DATA_LENGTH)
        targets = [self._shown(byte) for byte in range(address, address + len(data))]
        while targets:
            register = self.model.starts.get(targets[0])
            if register is None:
                raise Refused(Error.DATA_LENGTH if targets[0] in self.model.defined else Error.ACCESS)
            if not register.writable:
                raise Refused(Error.ACCESS)
            if targets[: register.size] != list(range(register.address, register.address + register.size)):
                raise Refused(Error.DATA_LENGTH)
            value = register.decode(data[: register.size])
            if not register.least <= value <= register.greatest:
                raise Refused(Error.DATA_RANGE)
            yield register, value
            targets, data = targets[register.size :], data[register.size :]

    def _shown(self, address: int) -> int:
        """Where the byte at an address really lies: elsewhere for indirect data."""
        pointer = self.model.indirect.get(address)
        return address if pointer is None else int.from_bytes(self._memory[pointer : pointer + 2], "little")
