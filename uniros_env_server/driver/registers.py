"""The servos' control tables as data: where a register lies, how long it is, and what model has which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from uniros_env_server.driver.files import load_yaml

# Read in every cycle: they lie side by side, so one sync read fetches them from all servos.
STATE = np.dtype([("tick", "<u2"), ("moving", "u1"), ("status", "u1"), ("pwm", "<i2"), ("effort", "<i2"),
                  ("velocity", "<i4"), ("position", "<i4")])
STATE_ADDRESS = 120
TICK_PERIOD = 32768  # ms after which a servo's own clock, `tick`, starts again
VELOCITY_UNIT = 0.229 * 2 * np.pi / 60  # rad/s for each count of a velocity register (e-manual)
CURRENT_UNIT = 2.69e-3  # A for each count of present_current (e-manual)
LOAD_UNIT = 1e-3  # share of the stall torque for each count of present_load (e-manual)
WATCHDOG_UNIT = 0.020  # s for each count of bus_watchdog
TRIPPED = -1  # bus_watchdog after it has stopped the servo
FULL_PWM = 885  # goal_pwm at 100 % (e-manual)
VOLTAGE_UNIT = 0.1  # V

HARDWARE_ERRORS = {0: "input voltage", 2: "overheating", 3: "motor encoder", 4: "electrical shock", 5: "overload"}


@dataclass(frozen=True)
class Register:
    """One entry of a control table."""

    name: str
    address: int
    size: int  # bytes
    signed: bool = False

    @property
    def eeprom(self) -> bool:
        """Whether it keeps its value without power, and is locked while torque is on."""
        return self.address < 64

    def encode(self, value: int) -> list[int]:
        """The bytes to write, least significant first. Raises OverflowError when the value does not fit."""
        return list(int(value).to_bytes(self.size, "little", signed=self.signed))

    def decode(self, data: bytes) -> int:
        """The value in the bytes read."""
        return int.from_bytes(data, "little", signed=self.signed)


@dataclass(frozen=True)
class Model:
    """What is common to all servos of one model."""

    name: str
    number: int  # as model_number says it
    registers: Mapping[str, Register]
    effort: float  # Nm for each count of present_load or present_current
    temperature_limit: int  # degrees Celsius at which it lets go, as from the works


def load_models() -> dict[str, Model]:
    """The models of config/dynamixel/x430.yaml, by name."""
    data = load_yaml("dynamixel", "x430.yaml")
    return {name: _model(name, data["registers"], own) for name, own in data["models"].items()}


def _model(name: str, common: Mapping[str, Any], own: Mapping[str, Any]) -> Model:
    entries = {key: entry for key, entry in common.items() if key not in own.get("replaced", {})}
    entries.update(own.get("added", {}))
    registers = {key: Register(key, entry[0], entry[1], entry[4] < 0) for key, entry in entries.items()}
    initial = {key: entry[3] for key, entry in entries.items()}
    initial.update(own["registers"])
    motor = own["motor"]
    if "present_current" in registers:
        effort = CURRENT_UNIT * motor["stall_torque"] / motor["stall_current"]
    else:
        effort = LOAD_UNIT * motor["stall_torque"]
    return Model(name, initial["model_number"], registers, effort, initial["temperature_limit"])


def hardware_error_names(bits: int) -> str:
    """What a value of hardware_error_status says, in words; empty for 0."""
    return ", ".join(HARDWARE_ERRORS.get(bit, f"bit {bit}") for bit in range(8) if bits >> bit & 1)
