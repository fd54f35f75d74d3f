"""How an arm is planned for: the figures of config/robots/<name>/planning.yaml."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uniros_env_server.data import load_yaml
from uniros_env_server.robots.model import RobotModel
from uniros_env_server.robots.robot import Array


@dataclass(frozen=True)
class Settings:
    """Checked when made."""

    speed_share: float  # of each joint's top speed
    acceleration: float  # rad/s2, of every joint
    jerk: float  # rad/s3, of every joint
    spare: float  # m of clearance beyond what the safety gate asks of commands
    command_period: float  # s that commands along a way may be apart
    move_group: str  # MoveIt's name for the arm

    def __post_init__(self) -> None:
        if not 0.0 < self.speed_share <= 1.0:
            raise ValueError(f"speed_share must be above 0 and at most 1, not {self.speed_share}")
        if min(self.acceleration, self.jerk, self.command_period) <= 0.0 or self.spare < 0.0:
            raise ValueError("acceleration, jerk and command_period must be above 0 and spare at least 0, not "
                             f"{self.acceleration}, {self.jerk}, {self.command_period} and {self.spare}")

    @classmethod
    def load(cls, robot: str) -> Settings:
        """The figures of a robot's planning.yaml."""
        return cls(**load_yaml("robots", robot, "planning.yaml"))

    def speeds(self, model: RobotModel) -> Array:
        """(A,) rad/s, the fastest planned motion of each joint of the arm."""
        speeds: Array = self.speed_share * model.top_speeds(model.arm)
        return speeds

    def bounds(self, model: RobotModel) -> Array:
        """(3, A) rad/s, rad/s2 and rad/s3 that no joint of the arm exceeds."""
        whole = np.ones(len(model.arm))
        return np.stack([self.speeds(model), self.acceleration * whole, self.jerk * whole])
