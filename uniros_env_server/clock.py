"""How an environment's time passes: one action cycle per step, as fast as the CPU allows, or with the wall clock."""

from __future__ import annotations

from collections.abc import Callable

from uniros_env_server.robots.robot import Array, Robot, RobotState
from uniros_env_server.safety import Decision

Decide = Callable[[RobotState, float], Decision]  # from the measured state and the seconds left of the cycle


class LockStepClock:
    """Time passes only inside `cycle`, by exactly one action cycle."""

    mode = "lock_step"

    def __init__(self, robot: Robot, cycle_time: float) -> None:
        self.cycle_time = cycle_time
        self.robot = robot

    def reset(self, q: Array) -> RobotState:
        """Bring the arms to rest at the command q, (N, C)."""
        self.robot.reset(q)
        return self.robot.state()

    def cycle(self, decide: Decide) -> tuple[Decision, RobotState]:
        """Carry out what `decide` makes of the present state, and return the state at the end of the cycle."""
        decision = decide(self.robot.state(), self.cycle_time)
        self.robot.command(decision.command, self.cycle_time)
        self.robot.advance(self.cycle_time)
        return decision, self.robot.state()

    def close(self) -> None:
        """Let go of the robot."""
        self.robot.close()
