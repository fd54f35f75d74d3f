"""What an action asks for: from a normalised action to a target of the joints, and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.robot import Array
from uniros_msgs.knobs import Cycle

REACH = 0.25  # m/s that one unit of an action in space stands for


class Targets(Protocol):
    """Turns (N, A) actions in [-1, 1] into (N, C) command targets (rad, m), and what was executed back into actions."""

    @property
    def size(self) -> int:
        """A, the number of an action's components."""

    @property
    def speed(self) -> float:
        """rad/s that one unit stands for, or with actions in space what no joint exceeds."""

    def target(self, setpoint: Array, action: Array) -> Array:
        """The command an action asks for, from the last executed command `setpoint`."""

    def executed(self, setpoint: Array, command: Array) -> Array:
        """(N, A) the action that the command executed amounts to."""

    def paced(self, cycle: Cycle) -> Targets:
        """The same for actions of another scale, speed and duration."""


@dataclass(frozen=True)
class JointDeltas:
    """One component per joint of the arm: a share of `speed`, kept up for one action cycle."""

    size: int
    speed: float  # rad/s that one unit stands for
    cycle_time: float  # s

    def target(self, setpoint: Array, action: Array) -> Array:
        """See `Targets.target`."""
        target = setpoint.copy()
        target[:, : self.size] += action * (self.speed * self.cycle_time)
        return target

    def executed(self, setpoint: Array, command: Array) -> Array:
        """See `Targets.executed`."""
        return _within_one((command - setpoint)[:, : self.size] / (self.speed * self.cycle_time))

    def paced(self, cycle: Cycle) -> Targets:
        """See `Targets.paced`."""
        return replace(self, speed=cycle.action_scale * cycle.velocity_scale, cycle_time=cycle.cycle_time)


@dataclass(frozen=True)
class ToolDeltas:
    """Three components: shares of `reach` along the base's x, y and z for the end effector, for one action cycle.

    The joints follow by damped least squares; where one would turn faster than `speed`, the motion is shortened.
    """

    kinematics: Kinematics
    speed: float  # rad/s that no joint exceeds
    cycle_time: float  # s
    reach: float = REACH  # m/s that one unit stands for
    damping: float = 0.02  # m
    size: int = 3

    def target(self, setpoint: Array, action: Array) -> Array:
        """See `Targets.target`."""
        arm = len(self.kinematics.joints)
        jacobian = self.kinematics.jacobian(setpoint[:, :arm])[:, :3]
        turned = jacobian.transpose(0, 2, 1)
        way = action[:, :, None] * (self.reach * self.cycle_time)
        motion = (turned @ np.linalg.solve(jacobian @ turned + self.damping**2 * np.eye(3), way))[:, :, 0]
        fastest = np.abs(motion).max(axis=1, keepdims=True) / (self.speed * self.cycle_time)
        target = setpoint.copy()
        target[:, :arm] += motion / np.maximum(fastest, 1.0)
        return target

    def executed(self, setpoint: Array, command: Array) -> Array:
        """See `Targets.executed`."""
        arm = len(self.kinematics.joints)
        way = self.kinematics.position(command[:, :arm]) - self.kinematics.position(setpoint[:, :arm])
        return _within_one(way / (self.reach * self.cycle_time))

    def paced(self, cycle: Cycle) -> Targets:
        """See `Targets.paced`."""
        return replace(self, speed=cycle.action_scale * cycle.velocity_scale, cycle_time=cycle.cycle_time,
                       reach=REACH * cycle.velocity_scale)


def _within_one(share: Array) -> Array:
    return np.minimum(np.maximum(share, -1.0), 1.0)
