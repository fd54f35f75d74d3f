"""Rewards of relabelled goals without asking the env server, where the task's reward is a pure function known here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from numpy.typing import ArrayLike

from uniros_env_server import tasks
from uniros_env_server.tasks.relabel import compute_reward
from uniros_env_server.tasks.task import Task


@dataclass(frozen=True)
class LocalReward:
    """A served goal environment's `compute_reward`, in this process. Two are equal when they give the same rewards."""

    task: Task

    def __call__(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any = None) -> Any:
        """Rewards: (N,) float64 for goals of (N, 3) m, a float for (3,); `info` as `tasks.relabel.compute_reward`."""
        return compute_reward(self.task, achieved_goal, desired_goal, info)


@lru_cache(maxsize=64)
def local_reward(task: str) -> LocalReward | None:
    """The reward of a task as an env server describes it (`DescribeResponse.task`, JSON); None when it describes none,
    or one that this side does not know."""
    told = json.loads(task)
    if not told:
        return None
    try:
        return LocalReward(tasks.load(told["name"], **told["parameters"]))
    except (ValueError, TypeError):  # of a server with other tasks than ours
        return None
