"""The safety gate: what stands between every command and every robot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uniros_env_server.data import load_yaml
from uniros_env_server.refusal import Refusal
from uniros_env_server.robots.model import RobotModel
from uniros_env_server.robots.robot import Array, RobotState
from uniros_env_server.tasks.task import Workspace


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate lets a batch of N arms do."""

    command: Array  # (N, C) rad and m: the target, or where it was refused the set-point that is held
    refusal: NDArray[np.int8]  # (N,) codes of `Refusal`


@dataclass(frozen=True)
class SafetyLimits:
    """Figures the gate keeps to."""

    lead: float  # rad
    limit_margin: float  # rad
    speed_share: float  # of each joint's top speed
    table: float  # m
    self_distance: float  # m
    tracking: float  # m
    state_age: float  # s

    @classmethod
    def load(cls, robot: str, world: str = "simulated") -> SafetyLimits:
        """The figures of a robot's safety.yaml, for the `simulated` or the `real` world."""
        data = load_yaml("robots", robot, "safety.yaml")
        return cls(data["lead"], data["limit_margin"], data["speed_share"], data["table"][world], data["self"],
                   data["tracking"], data["state_age"])


class SafetyGate:
    """Checks commands for N arms at once; holds those it refuses and says why."""

    def __init__(self, model: RobotModel, limits: SafetyLimits) -> None:
        self.model = model
        self.limits = limits
        self._lower, self._upper = model.limits(model.commanded)
        self._speed = limits.speed_share * model.top_speeds(model.commanded)
        self._arm = len(model.arm)

    def check(self, state: RobotState, target: Array, duration: float, workspace: Workspace | None) -> Decision:
        """What may be executed of the targets, (N, C), within `duration` seconds from the measured state."""
        setpoint = state.setpoint
        refusal = np.zeros(len(target), dtype=np.int8)
        margin = np.where(np.arange(target.shape[1]) < self._arm, self.limits.limit_margin, 0.0)
        outside = ((target < self._lower + margin) & (target < setpoint)) | (
            (target > self._upper - margin) & (target > setpoint))
        refusal[outside.any(axis=1)] = Refusal.JOINT_LIMIT
        fast = np.abs(target - setpoint) > self._speed * duration * (1 + 1e-9)
        refusal[fast.any(axis=1)] = Refusal.VELOCITY
        return Decision(np.where(refusal[:, None] > 0, setpoint, target), refusal)
