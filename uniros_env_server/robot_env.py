"""The environment: a task, a robot, a safety gate and a clock, put together as a gymnasium.Env."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from uniros_env_server.clock import LockStepClock
from uniros_env_server.kinematics import Kinematics
from uniros_env_server.refusal import NAMES
from uniros_env_server.robots.robot import Array, RobotState
from uniros_env_server.safety import Decision, SafetyGate
from uniros_env_server.targets import Targets
from uniros_env_server.tasks.task import Task, View
from uniros_msgs.errors import InvalidAction, InvalidObservation

GOALS_AHEAD = 32  # goals drawn and checked at once


class RobotTaskEnv(gymnasium.Env[Any, Array]):
    """One arm that works at one task. With `goal=True` observations are those of a goal environment."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    remote_attributes = ("mode", "cycle_time", "limits")
    remote_methods = ("compute_reward", "describe_task")

    def __init__(self, task: Task, gate: SafetyGate, clock: LockStepClock, targets: Targets, start: Array,
                 goal: bool = False, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.task, self.gate, self.clock, self.targets = task, gate, clock, targets
        self.mode, self.cycle_time = clock.mode, clock.cycle_time
        self._start = start  # (1, C) rad and m, where episodes begin
        self._as_goal = goal
        self._kinematics = Kinematics(gate.model)
        self.action_space = spaces.Box(-1.0, 1.0, (targets.size,), np.float32)
        inner = task.observation_space(gate.model, targets.size)
        self._low, self._high = inner.low, inner.high
        point = spaces.Box(-1.0, 1.0, (3,), np.float32)
        parts = {"observation": inner, "achieved_goal": point, "desired_goal": point}
        self.observation_space = spaces.Dict(parts) if goal else inner
        self._goals: list[Array] = []
        self._goal = np.zeros((1, 3))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """See gymnasium.Env.reset."""
        super().reset(seed=seed)
        if seed is not None:
            self._goals = []
        if not self._goals:
            drawn = self.task.sample_goals(self.np_random, GOALS_AHEAD, self._reachable)
            self._goals = [drawn[number : number + 1] for number in reversed(range(GOALS_AHEAD))]
        self._goal = self._goals.pop()
        state = self.clock.reset(self._start)
        observation, view = self._observe(state, np.zeros((1, self.targets.size)))
        return observation, self._info(view, NAMES[0])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """See gymnasium.Env.step."""
        checked = self._checked(action)
        executed = checked

        def decide(state: RobotState, duration: float) -> Decision:
            nonlocal executed
            target = self.targets.target(state.setpoint, checked)
            decision = self.gate.check(state, target, duration, self.task.workspace)
            executed = self.targets.executed(state.setpoint, decision.command, checked)
            return decision

        decision, state = self.clock.cycle(decide)
        observation, view = self._observe(state, executed)
        achieved = self._rounded(self.task.achieved(view))
        reward = self.task.reward(achieved, self._goal, decision.refusal)
        terminated = self.task.success(achieved, self._goal)
        info = self._info(view, NAMES[decision.refusal[0]])
        return observation, float(reward[0]), bool(terminated[0]), False, info

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any = None) -> Any:
        """Rewards of achieved and desired goals, (3,) or (N, 3)."""
        rewards = self.task.reward(np.asarray(achieved_goal), np.asarray(desired_goal))
        return rewards if rewards.ndim else float(rewards)

    def describe_task(self) -> dict[str, Any]:
        """Name and parameters of the task."""
        return self.task.describe()

    @property
    def limits(self) -> dict[str, Any]:
        """Joint, velocity and workspace limits."""
        return {}

    def render(self) -> Any:
        """(H, W, 3) uint8 picture of the arm, where there is a simulator to draw it."""
        return self.clock.robot.render(self._goal[0]) if self.render_mode else None

    def close(self) -> None:
        """See gymnasium.Env.close."""
        self.clock.close()

    def _reachable(self, points: Array) -> Any:
        return self._kinematics.ik(points, self.gate.model.poses["ready"], margin=0.1).success

    def _checked(self, action: Any) -> Array:
        array = np.asarray(action)
        if array.shape != self.action_space.shape or array.dtype.kind not in "fiu":
            raise InvalidAction(f"expected {self.action_space.shape} numbers, got {array.dtype} of shape {array.shape}")
        array = array.astype(np.float32).astype(np.float64)
        if not (np.abs(array) <= 1.0).all():
            raise InvalidAction(f"expected numbers from -1 to 1, got {array}")
        return array[None]

    def _observe(self, state: RobotState, executed: Array) -> tuple[Any, View]:
        view = View(state, self._kinematics.fk(state.positions(self.gate.model.arm)), self._goal, executed)
        values = self.task.observe(view)
        if not np.isfinite(values).all():
            raise InvalidObservation(f"the robot's state is not finite: {state}")
        observation = np.minimum(np.maximum(values[0].astype(np.float32), self._low), self._high)
        if not self._as_goal:
            return observation, view
        achieved = self.task.achieved(view)[0].astype(np.float32)
        return {"observation": observation, "achieved_goal": achieved,
                "desired_goal": self._goal[0].astype(np.float32)}, view

    @staticmethod
    def _rounded(points: Array) -> Array:
        return points.astype(np.float32).astype(np.float64)

    def _info(self, view: View, refusal: str) -> dict[str, Any]:
        achieved = self._rounded(self.task.achieved(view))
        distance = float(np.sqrt(((achieved - self._goal) ** 2).sum()))
        return {"is_success": bool(self.task.success(achieved, self._goal)[0]), "distance": distance,
                "refusal": refusal, "executed_action": view.executed[0].astype(np.float32)}
