"""A goal environment's compute_reward for a task alone, as HER calls it: batched, from nothing but its arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uniros_env_server.safety.refusal import CODES
from uniros_env_server.tasks.task import Task


def compute_reward(task: Task, achieved: ArrayLike, desired: ArrayLike, info: Any = None) -> Any:
    """Rewards of achieved and desired goals: (N,) float64 for (N, 3), a float for (3,), in m.

    `info` is one info dict or a sequence of N; only `info["refusal"]` is looked at. None stands for no refusals.
    """
    achieved, desired = np.asarray(achieved, dtype=np.float64), np.asarray(desired, dtype=np.float64)
    single = achieved.ndim == 1
    achieved, desired = np.atleast_2d(achieved), np.atleast_2d(desired)
    rewards = task.reward(achieved, desired, _codes(info, len(achieved)))
    return float(rewards[0]) if single else rewards


def _codes(info: Any, count: int) -> NDArray[np.int8]:
    if info is None or isinstance(info, Mapping):
        info = [info or {}] * count
    if not isinstance(info, (Sequence, np.ndarray)) or len(info) != count:
        raise ValueError(f"expected one info dict or {count} of them, got {type(info).__name__}")
    return np.array([CODES[one.get("refusal", "")] for one in info], dtype=np.int8)
