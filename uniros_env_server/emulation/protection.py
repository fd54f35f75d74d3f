"""When a servo protects itself: temperature, overload, voltage, and the bus watchdog."""

from __future__ import annotations

from enum import IntFlag

from uniros_env_server.emulation.control_table import ControlTable
from uniros_env_server.emulation.settings import Overload, Thermal

WATCHDOG_UNIT = 0.02  # s
TRIPPED = -1  # the bus_watchdog register once it has triggered


class HardwareError(IntFlag):
    """Bits of hardware_error_status and of shutdown."""

    INPUT_VOLTAGE = 1
    OVERHEATING = 4
    ENCODER = 8
    ELECTRICAL_SHOCK = 16
    OVERLOAD = 32


class Protection:
    """Watches one servo's condition. What shuts it down stays on record until a reboot, the rest while it lasts."""

    def __init__(self, table: ControlTable, thermal: Thermal, overload: Overload) -> None:
        self._table, self._thermal, self._overload = table, thermal, overload
        self.temperature = thermal.ambient  # degrees C
        self.heated = 0.0  # degrees C that something else keeps the servo at, 0 for nothing
        self.injected = HardwareError(0)  # errors it is made to have
        self._strained = 0.0  # s of more than it can bear

    def observe(self, share: float, volts: float, seconds: float) -> None:
        """Take in `seconds` at an output of `share` (0 to 1) and update hardware_error_status."""
        goal = self._thermal.ambient + self._thermal.rise * share * share
        self.temperature += (goal - self.temperature) * seconds / self._thermal.time
        self.temperature = max(self.temperature, self.heated)
        self._strained = max(0.0, self._strained + (seconds if share >= self._overload.share else -seconds))
        errors = self._present(volts) | (self._table["hardware_error_status"] & self._table["shutdown"])
        if errors != self._table["hardware_error_status"]:
            self._table["hardware_error_status"] = errors

    def cool(self) -> None:
        """Back to a servo that has rested for long."""
        self.temperature, self.heated, self.injected = self._thermal.ambient, 0.0, HardwareError(0)

    def forget(self) -> None:
        """What a reboot forgets: strain and recorded errors, not the heat."""
        self._strained = 0.0
        self._table["hardware_error_status"] = 0

    @property
    def shut_down(self) -> bool:
        """Whether an error forbids torque."""
        return bool(self._table["hardware_error_status"] & self._table["shutdown"])

    def _present(self, volts: float) -> int:
        errors = self.injected
        if self.temperature > self._table["temperature_limit"]:
            errors |= HardwareError.OVERHEATING
        if self._strained > self._overload.time:
            errors |= HardwareError.OVERLOAD
        if not self._table["min_voltage_limit"] <= round(10 * volts) <= self._table["max_voltage_limit"]:
            errors |= HardwareError.INPUT_VOLTAGE
        return int(errors)


class BusWatchdog:
    """The bus_watchdog register: stops a servo with torque when no instruction packet has come for long."""

    def __init__(self, table: ControlTable) -> None:
        self._table = table
        self._fed = 0.0

    @property
    def tripped(self) -> bool:
        """Whether it has triggered and not been cleared."""
        return self._table["bus_watchdog"] == TRIPPED

    def feed(self, now: float) -> None:
        """An instruction packet came."""
        self._fed = now

    def trips(self, now: float) -> bool:
        """Whether it triggers right now; the register shows it from then on."""
        periods = self._table["bus_watchdog"]
        if periods <= 0 or not self._table["torque_enable"] or now - self._fed <= periods * WATCHDOG_UNIT:
            return False
        self._table["bus_watchdog"] = TRIPPED
        return True
