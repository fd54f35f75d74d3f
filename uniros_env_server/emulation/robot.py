"""The emulated arm behind the robot contract, in lock-step: for many actions in little time, without driver and bus."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uniros_env_server.data import load_yaml
from uniros_env_server.emulation.arm import EmulatedArm
from uniros_env_server.emulation.drive import CURRENT_UNIT, SPEED_UNIT
from uniros_env_server.emulation.servo import Servo
from uniros_env_server.emulation.settings import load_ticks
from uniros_env_server.robots.model import RobotModel
from uniros_env_server.robots.robot import Array, RobotState

PERIOD = 0.01  # s between two goals, as the driver sends them
SETTLING = 1.0  # s that the arm is given after a reset


class EmulatedRobot:
    """One arm, driven as the driver does it, but through the servos' tables instead of a port.

    Measurements are those of the encoders; `arm.truth()` tells what really happened. Keywords as for `EmulatedArm`.
    A servo that refuses a goal raises `control_table.Refused`.
    """

    num = 1

    def __init__(self, model: RobotModel, **changes: Any) -> None:
        self.model = model
        self.arm = EmulatedArm(model.name, **changes)
        servos = load_yaml("robots", model.name, "servos.yaml")
        shadows = {entry["id"] for entry in servos["servos"] if "shadow_of" in entry}
        self._leaders = {servo.place.joint: servo for servo in self.arm.servos if servo.number not in shadows}
        self._gains: dict[str, dict[str, int]] = servos["gains"]
        ticks = load_ticks(model.name)
        self._centre, self._per_radian = ticks.centre, ticks.per_turn / (2 * math.pi)
        self._fingers = {name: joint.multiplier for name, joint in model.joints.items() if joint.kind == "prismatic"}
        self.reset(np.array([[*model.poses["home"], model.opening]]))

    def state(self) -> RobotState:
        """See `Robot.state`."""
        found = {joint: self._measure(servo) for joint, servo in self._leaders.items()}
        angle, speed, torque = found["gripper"]
        lever = self.model.linkage["horn"]
        finger = np.array([self.model.linkage_opening(angle), speed * lever, torque / lever])
        found.update({name: sign * finger for name, sign in self._fingers.items()})
        raw = np.array([found[name] for name in self.model.published]).T[:, None].copy()
        setpoint = self._setpoint[None].copy()
        raw.flags.writeable = setpoint.flags.writeable = False
        return RobotState(self.model.published, raw[0], raw[1], raw[2], self.model.commanded, setpoint,
                          time.monotonic(), time.time())

    def command(self, q: Array, duration: float) -> None:
        """See `Robot.command`. The ramp takes whole periods, at least one."""
        self._target, self._left = q[0].copy(), max(1, round(duration / PERIOD))

    def hold(self) -> None:
        """See `Robot.hold`."""
        self._left = 0

    def reset(self, q: Array, rows: NDArray[np.intp] | None = None) -> None:
        """Put the arm at rest at the command q, without the way there, and let it sag."""
        self._setpoint = self._target = q[0].copy()
        self._left = 0
        self.arm.put(self._setpoint[:-1], float(self._setpoint[-1]))
        for servo in self.arm.servos:
            for name, value in {**self._gains[servo.place.model], "torque_enable": 1}.items():
                servo.set(name, value, self.arm.now)
        self.advance(SETTLING)

    def advance(self, duration: float) -> None:
        """See `Robot.advance`, in whole periods."""
        for _ in range(round(duration / PERIOD)):
            if self._left:
                self._setpoint = self._setpoint + (self._target - self._setpoint) / self._left
                self._left -= 1
            self._send()
            self.arm.advance(PERIOD)

    def close(self) -> None:
        """See `Robot.close`."""

    def _measure(self, servo: Servo) -> Array:
        """(3,) rad, rad/s, and Nm as the servo estimates it."""
        motor, now = servo.table.model.motor, self.arm.now
        if "present_load" in servo.table:
            effort = servo.get("present_load", now) / 1e3 * motor["stall_torque"]
        else:
            effort = servo.get("present_current", now) * CURRENT_UNIT * motor["stall_torque"] / motor["stall_current"]
        return np.array([(servo.table["present_position"] - self._centre) / self._per_radian,
                         servo.table["present_velocity"] * SPEED_UNIT, effort])

    def _send(self) -> None:
        """The set-point as goals, within what each servo takes; a shadow gets its leader's."""
        angles = dict(zip(self.model.arm, self._setpoint, strict=False))
        angles["gripper"] = self.model.linkage_angle(self._setpoint[-1:])[0]
        for servo in self.arm.servos:
            ticks = round(float(angles[servo.place.joint]) * self._per_radian) + self._centre
            low, high = servo.table["min_position_limit"], servo.table["max_position_limit"]
            servo.set("goal_position", max(low, min(high, ticks)), self.arm.now)
