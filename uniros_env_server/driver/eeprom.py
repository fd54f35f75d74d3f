"""The servos' permanent settings: compared with what the robot needs, and written only when asked to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from uniros_env_server.driver.arm import Arm
from uniros_env_server.driver.bus import BusError
from uniros_env_server.driver.config import Servo

FIXED = ("model_number", "baud_rate", "protocol_type")  # not written: they are how we talk to the servo at all
ATTEMPTS = 3


@dataclass(frozen=True)
class Difference:
    """A register that is not as it must be."""

    servo: Servo
    register: str
    found: int
    wanted: int

    def __str__(self) -> str:
        return f"{self.servo!s:<28} {self.register:<20} {self.found:>10} {self.wanted:>10}"


class SettingsDiffer(Exception):
    """Raised when the servos are not set as the driver needs them; the message is a table and what to do."""


def differences(arm: Arm) -> list[Difference]:
    """What differs. Raises BusError naming the servos that do not answer."""
    silent = arm.search()
    if silent:
        raise BusError(silent)
    found = []
    for servo in arm.setup.servos:
        wanted = dict({"model_number": servo.model.number}, **servo.settings)
        for name, value in wanted.items():
            present = _read(arm, servo, name)
            if present != value:
                found.append(Difference(servo, name, present, value))
    return found


def table(found: Iterable[Difference]) -> str:
    """The differences in aligned columns."""
    head = f"{'':<28} {'register':<20} {'found':>10} {'wanted':>10}"
    return "\n".join([head, *map(str, found)])


def verify(arm: Arm) -> None:
    """Raises SettingsDiffer unless every servo is set as it must be."""
    found = differences(arm)
    if found:
        raise SettingsDiffer(
            f"the servos' settings (EEPROM) differ from config/robots/{arm.setup.robot}/servos.yaml;"
            f" nothing was moved or written:\n{table(found)}\n"
            "If these servos belong to this arm: support it, see that torque is off, and let the driver write the"
            " settings: rosrun uniros rx200_driver --configure")


def configure(arm: Arm) -> list[Difference]:
    """Write what differs, and return it. Raises SettingsDiffer, before anything is written, when that is impossible."""
    found = differences(arm)
    fixed = [difference for difference in found if difference.register in FIXED]
    if fixed:
        raise SettingsDiffer("the driver does not write these: is it another servo, or has it to be set up with"
                             f" Dynamixel Wizard?\n{table(fixed)}")
    arm.look_at_all()
    stiff = sorted({d.servo.id for d in found} & set(arm.health.where("torque_enable", 1)))
    if stiff:
        raise SettingsDiffer(f"torque is on, which locks the EEPROM, at {arm.names(stiff)}: support the arm and switch"
                             " its power off and on; nothing was written")
    for difference in found:
        arm.write(difference.register, {difference.servo.id: difference.wanted})
    verify(arm)
    return found


def report(arm: Arm) -> str:
    """How the servos are, in aligned columns; `arm.health` must be fresh."""
    angles = dict(zip((s.id for s in arm.setup.leaders), arm.present("present_position")))
    lines = [f"{'':<28} {'model':<12} {'angle (deg)':>12} {'temp (C)':>9} {'supply (V)':>11}  torque  errors"]
    for servo in arm.setup.servos:
        health = arm.health
        angle = f"{math.degrees(angles[servo.id]):.1f}" if servo.id in angles else ""
        lines.append(f"{servo!s:<28} {servo.model.name:<12} {angle:>12}"
                     f" {health.get('present_temperature', servo.id):>9.0f} {health.voltage(servo.id):>11.1f}"
                     f"  {'on' if health.get('torque_enable', servo.id) else 'off':<6}"
                     f"  {health.broken.get(servo.id, 'none')}")
    return "\n".join(lines)


def _read(arm: Arm, servo: Servo, name: str) -> int:
    for attempt in range(ATTEMPTS):
        try:
            return arm.bus.read(servo.id, servo.model.registers[name])
        except BusError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")
