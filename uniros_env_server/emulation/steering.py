"""How a servo takes its motor to the goals in its control table, and what it measures of it."""

from __future__ import annotations

import math
from collections import deque

from uniros_env_server.emulation.control_table import ControlTable
from uniros_env_server.emulation.drive import ACCELERATION_UNIT, FULL_PWM, SAMPLE, SPEED_UNIT, Drive, Mode
from uniros_env_server.emulation.plant import Motor
from uniros_env_server.emulation.settings import PlantSettings, Ticks
from uniros_env_server.emulation.trajectory import Trajectory

REVERSE, TIME_BASED, TORQUE_BY_GOAL = 1, 4, 8  # bits of drive_mode


class Steering:
    """Motor, encoder and controller of one servo. Register units (ticks) outside, shaft angles (rad) to the motor."""

    def __init__(self, table: ControlTable, motor: Motor, settings: PlantSettings, ticks: Ticks) -> None:
        self._table, self._motor, self._ticks = table, motor, ticks
        self._physics, self._seconds = settings.servo, settings.tick
        self._per_radian = ticks.per_turn / (2 * math.pi)
        self._drive = Drive(table, self._per_radian)
        self._stall = 0.0  # Nm
        self._filtering = min(1.0, settings.tick / settings.servo.velocity_filter)
        self._speed = 0.0  # rad/s of the shaft, filtered
        self._reference = 0.0  # ticks/s of the trajectory, filtered
        self._integral = 0.0  # PWM units that the I gain has gathered
        self._due: deque[float] = deque()  # s, when goals that have come take effect
        self.trajectory = Trajectory(0.0)

    @property
    def position(self) -> float:
        """Ticks, not rounded."""
        angle = self._direction * self._motor.angle * self._per_radian
        return self._ticks.centre + angle + self._table["homing_offset"]

    @property
    def speed(self) -> float:
        """In units of present_velocity."""
        return self._direction * self._speed / SPEED_UNIT

    @property
    def share(self) -> float:
        """Of the full output, -1 to 1."""
        return self._direction * self._motor.drive_torque / self._stall if self._stall else 0.0

    @property
    def current(self) -> float:
        """A through the motor, positive when it pushes towards greater positions."""
        return self._direction * self._motor.torque / self._drive.torque_per_ampere

    @property
    def going(self) -> bool:
        """Whether the trajectory has not arrived, or a goal is about to take effect."""
        return self.trajectory.going or bool(self._due)

    @property
    def trajectory_speed(self) -> float:
        """In units of velocity_trajectory."""
        return self.trajectory.speed / self._per_radian / SPEED_UNIT

    def obey(self, volts: float) -> None:
        """Work by the registers as they are now, with that supply."""
        self._stall = self._drive.stall(volts)
        self._motor.obey(self._drive.law(volts))

    def halt(self) -> None:
        """Make the present state the goal: standing here, no speed, no current."""
        self._due.clear()
        self.trajectory.stop(self.position)
        self._reference = self._integral = 0.0
        self._table["goal_position"] = round(self.position)
        self._table["goal_velocity"] = 0
        self._motor.aim(self._motor.angle if self._mode.positions else 0.0)

    def take(self, name: str, now: float) -> None:
        """A goal register was written: if it is the mode's, it takes effect after the dead time."""
        if name != self._mode.goal:
            return
        if self._table["drive_mode"] & TORQUE_BY_GOAL:
            self._table["torque_enable"] = 1
        self._due.append(now + self._physics.dead_time)

    def step(self, now: float) -> None:
        """One tick of the controller."""
        self._speed += (self._motor.speed - self._speed) * self._filtering
        while self._due and self._due[0] <= now:
            self._due.popleft()
            self.aim()
        if self._table["torque_enable"] and self._mode.positions:
            self._follow()

    def aim(self) -> None:
        """Go for the goal that stands in the table."""
        mode, table = self._mode, self._table
        goal = table[mode.goal]
        if not mode.positions:
            self._motor.aim(self._direction * goal * (SPEED_UNIT if mode is Mode.VELOCITY else 1.0))
        elif table["drive_mode"] & TIME_BASED:
            self.trajectory.aim_in(goal, table["profile_velocity"] / 1e3, table["profile_acceleration"] / 1e3)
        else:
            top = min(table["profile_velocity"], table["velocity_limit"]) * SPEED_UNIT
            acceleration = table["profile_acceleration"] * ACCELERATION_UNIT
            self.trajectory.aim(goal, top * self._per_radian, acceleration * self._per_radian)

    @property
    def _mode(self) -> Mode:
        return Mode(self._table["operating_mode"])

    @property
    def _direction(self) -> int:
        return -1 if self._table["drive_mode"] & REVERSE else 1

    def _follow(self) -> None:
        """Take the trajectory on and the motor after it, ahead by what D gain would hold back and I gain adds."""
        before = self.trajectory.position
        position = self.trajectory.step(self._seconds)
        self._reference += ((position - before) / self._seconds - self._reference) * self._filtering
        gain = self._table["position_p_gain"] / 128
        if gain:
            self._gather(round(position) - round(self.position))
            damping = self._reference * self._table["position_d_gain"] / 16 * SAMPLE
            position += (damping + self._integral) / gain
        shaft = position - self._ticks.centre - self._table["homing_offset"]
        self._motor.aim(self._direction * shaft / self._per_radian)

    def _gather(self, error: int) -> None:
        """What the I gain does with an error (ticks) in one tick."""
        gain = self._table["position_i_gain"] / 65536
        self._integral += gain * error * self._seconds / SAMPLE if gain else -self._integral
        self._integral = max(-FULL_PWM, min(FULL_PWM, self._integral))
