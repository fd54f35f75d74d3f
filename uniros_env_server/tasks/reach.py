"""Reach: bring the end effector to a point in front of the arm."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from uniros_env_server.robots.model import RobotModel
from uniros_env_server.robots.robot import Array
from uniros_env_server.safety.refusal import Refusal
from uniros_env_server.tasks.rewards import REWARDS
from uniros_env_server.tasks.task import Reachable, View, Workspace

Point = tuple[float, float, float]
ATTEMPTS = 100  # draws of a whole batch of goals before giving up


@dataclass(frozen=True)
class Reach:
    """Parameters of the task; lengths in m, in the base frame. The defaults fit the ReactorX-200."""

    reward_type: str = "dense"  # sparse | dense | shaped
    tolerance: float = 0.02
    goal_low: Point = (0.15, -0.15, 0.15)
    goal_high: Point = (0.25, 0.15, 0.25)
    workspace_low: Point = (-0.50, -0.50, 0.10)
    workspace_high: Point = (0.50, 0.50, 0.60)

    name: ClassVar[str] = "reach"

    def __post_init__(self) -> None:
        if self.reward_type not in REWARDS:
            raise ValueError(f"reward_type must be one of {', '.join(REWARDS)}, not {self.reward_type!r}")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be a positive length in m, not {self.tolerance!r}")

    @cached_property
    def workspace(self) -> Workspace:
        """See `Task.workspace`."""
        return Workspace(np.array(self.workspace_low), np.array(self.workspace_high))

    def observation_space(self, model: RobotModel, actions: int) -> spaces.Box:
        """Tool xyz, unit vector to the goal, distance, joint positions, last executed action, joint velocities."""
        lower, upper = (np.clip(bound, -np.pi, np.pi) for bound in model.limits(model.published))
        speed = model.top_speeds(model.published)
        low = np.concatenate([np.full(3, -1.0), np.full(3, -1.0), [0.0], lower - 0.1, np.full(actions, -1.0), -speed])
        high = np.concatenate([np.full(3, 1.0), np.full(3, 1.0), [2.0], upper + 0.1, np.full(actions, 1.0), speed])
        return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)

    def observation_names(self, model: RobotModel, actions: int) -> list[str]:
        """See `Task.observation_names`."""
        joints = {kind: [f"{kind}/{joint}" for joint in model.published] for kind in ("position", "velocity")}
        executed = [f"executed/{number}" for number in range(actions)]
        points = [f"{what}_{axis}" for what in ("tool", "to_goal") for axis in "xyz"]
        return [*points, "distance", *joints["position"], *executed, *joints["velocity"]]

    def sample_goals(self, rng: np.random.Generator, count: int, reachable: Reachable) -> Array:
        """(count, 3) goals, uniform in the part of the goal box that the arm reaches (m).

        Raises ValueError when the arm reaches next to nothing of the box.
        """
        found: Array = np.empty((0, 3))
        for _ in range(ATTEMPTS):
            drawn = rng.uniform(self.goal_low, self.goal_high, (count, 3)).astype(np.float32).astype(np.float64)
            found = np.concatenate([found, drawn[reachable(drawn)]])
            if len(found) >= count:
                return found[:count]
        raise ValueError(f"the arm reaches next to nothing of the goal box {self.goal_low} to {self.goal_high} m: "
                         f"{len(found)} of {ATTEMPTS * count} points")

    def observe(self, view: View) -> Array:
        """See `observation_space`."""
        tool = view.tool[:, :3, 3]
        way = view.goal - tool
        distance = np.sqrt((way * way).sum(axis=1, keepdims=True))
        direction = way / np.maximum(distance, 1e-9)
        state = view.state
        return np.concatenate([tool, direction, distance, state.position, view.executed, state.velocity], axis=1)

    def achieved(self, view: View) -> Array:
        """The end effector's position."""
        return view.tool[:, :3, 3]

    def distance(self, achieved: Array, desired: Array) -> Array:
        """(N,) m between achieved and desired goals, (N, 3) each."""
        way = np.asarray(achieved, dtype=np.float64) - desired
        return np.sqrt((way * way).sum(axis=-1))

    def reward(self, achieved: Array, desired: Array, refusal: NDArray[np.int8] | None = None) -> Array:
        """See `Task.reward`; the kinds of reward are those of `tasks.rewards`."""
        distance = self.distance(achieved, desired)
        codes = np.full(distance.shape, Refusal.NONE, dtype=np.int8) if refusal is None else refusal
        return REWARDS[self.reward_type](distance, self.tolerance, codes)

    def describe(self) -> dict[str, Any]:
        """See `Task.describe`."""
        return {"name": self.name, "parameters": asdict(self)}
