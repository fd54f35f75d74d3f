"""What an action asks for: from a normalised action to a target of the joints, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from uniros_env_server.robots.robot import Array

MAX_SPEED = 1.5  # rad/s, the largest joint speed one unit of an action may stand for


class Targets(Protocol):
    """Turns (N, A) actions in [-1, 1] into (N, C) command targets (rad, m), and what was executed back into actions."""

    size: int  # A

    def target(self, setpoint: Array, action: Array) -> Array:
        """The command an action asks for, from the last executed command `setpoint`."""

    def executed(self, setpoint: Array, command: Array, action: Array) -> Array:
        """(N, A) the action that was carried out when `command` was, in the action's units."""


@dataclass(frozen=True)
class JointDeltas:
    """One component per joint of the arm: its share of `speed`, kept for one action cycle."""

    size: int
    speed: float  # rad/s that one unit stands for
    cycle: float  # s

    def target(self, setpoint: Array, action: Array) -> Array:
        """See `Targets.target`."""
        target = setpoint.copy()
        target[:, : self.size] += action * (self.speed * self.cycle)
        return target

    def executed(self, setpoint: Array, command: Array, action: Array) -> Array:
        """See `Targets.executed`."""
        return np.clip((command - setpoint)[:, : self.size] / (self.speed * self.cycle), -1.0, 1.0)
