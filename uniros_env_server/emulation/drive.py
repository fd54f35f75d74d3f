"""What a servo's gains and limits mean for its motor, per operating mode.

Source: ROBOTIS e-manual, "Position PID Gain", "Operating Mode", "Goal PWM"; a DC motor's torque falls linearly from
stall to no-load speed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum

from uniros_env_server.emulation.control_table import ControlTable
from uniros_env_server.emulation.plant import OFF, Law

FULL_PWM = 885  # register units of 100 %
CURRENT_UNIT = 2.69e-3  # A
SPEED_UNIT = 0.229 * 2 * math.pi / 60  # rad/s
ACCELERATION_UNIT = 214.577 * 2 * math.pi / 3600  # rad/s2
SAMPLE = 1e-3  # s between two runs of the servo's own controller, to which its D gain refers
VELOCITY_BAND = 0.3  # rad/s of error at which the velocity controller, its integrator settled, asks for all it has


class Mode(IntEnum):
    """The operating_mode register."""

    CURRENT = 0
    VELOCITY = 1
    POSITION = 3
    EXTENDED_POSITION = 4
    CURRENT_BASED_POSITION = 5
    PWM = 16

    @property
    def positions(self) -> bool:
        """Whether the goal is a position."""
        return self in (Mode.POSITION, Mode.EXTENDED_POSITION, Mode.CURRENT_BASED_POSITION)

    @property
    def goal(self) -> str:
        """The register that holds the goal."""
        return "goal_position" if self.positions else f"goal_{self.name.lower()}"


class Drive:
    """The motor of one model of servo at the shaft, fed with some voltage."""

    def __init__(self, table: ControlTable, ticks_per_radian: float) -> None:
        motor = table.model.motor
        self._table = table
        self._ticks = ticks_per_radian
        self._rated = motor["voltage"]
        self.torque_per_ampere = motor["stall_torque"] / motor["stall_current"]
        self._stall = motor["stall_torque"]
        self._braking = motor["stall_torque"] / motor["no_load_speed"]

    def stall(self, volts: float) -> float:
        """Nm at standstill and full output."""
        return self._stall * volts / self._rated

    def law(self, volts: float) -> Law:
        """What the motor does with the registers as they are."""
        if not self._table["torque_enable"]:
            return OFF
        mode = Mode(self._table["operating_mode"])
        laws: dict[Mode, Callable[[float], Law]] = {
            Mode.CURRENT: self._current, Mode.VELOCITY: self._velocity, Mode.PWM: self._pwm}
        return laws.get(mode, self._position)(self.stall(volts))

    def _position(self, stall: float) -> Law:
        per_tick = stall / FULL_PWM
        stiffness = self._table["position_p_gain"] / 128 * per_tick * self._ticks
        damping = self._table["position_d_gain"] / 16 * per_tick * self._ticks * SAMPLE
        limit = abs(self._table["goal_pwm"]) * per_tick
        if self._table["operating_mode"] == Mode.CURRENT_BASED_POSITION:
            limit = min(limit, abs(self._table["goal_current"]) * CURRENT_UNIT * self.torque_per_ampere)
        return Law(stiffness, stiffness, damping, limit, self._braking)

    def _velocity(self, stall: float) -> Law:
        gain = stall / VELOCITY_BAND
        return Law(gain, 0.0, gain, abs(self._table["goal_pwm"]) * stall / FULL_PWM, self._braking)

    def _pwm(self, stall: float) -> Law:
        return Law(stall / FULL_PWM, 0.0, 0.0, stall, self._braking)

    def _current(self, stall: float) -> Law:
        return Law(CURRENT_UNIT * self.torque_per_ampere, 0.0, 0.0, stall, 0.0)
