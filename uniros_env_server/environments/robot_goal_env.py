"""The environment of an arm as a goal environment, for algorithms that relabel goals (HER)."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from uniros_env_server.environments.robot_env import RobotTaskEnv
from uniros_env_server.tasks.relabel import compute_reward


class RobotGoalEnv(RobotTaskEnv):
    """The same as a goal environment: Dict observations and `compute_reward`. Goals are points (m, base frame)."""

    remote_methods = (*RobotTaskEnv.remote_methods, "compute_reward")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        point = spaces.Box(-1.0, 1.0, (3,), np.float32)
        parts = {"observation": self.observation_space, "achieved_goal": point, "desired_goal": point}
        self.observation_space = spaces.Dict(parts)

    def compute_reward(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any = None) -> Any:
        """Rewards of achieved and desired goals, (N, 3) or (3,) m, for relabelling; see `tasks.relabel`."""
        return compute_reward(self.task, achieved_goal, desired_goal, info)

    def _presented(self, observation: NDArray[np.float32], achieved: NDArray[np.float32]) -> Any:
        desired = self._goal[0].astype(np.float32)
        return {"observation": observation, "achieved_goal": achieved, "desired_goal": desired}
