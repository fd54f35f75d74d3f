"""What a batch looks like row by row: observations (flat, or the Dict of a goal environment), infos and states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from uniros_env_server.robots.robot import Array, RobotState

_ROW_ORDER = ("observation", "achieved_goal", "desired_goal")  # in which `RobotGoalEnv` names the parts


@dataclass(frozen=True)
class RowLayout:
    """Of the single environment's spaces: `inner` holds the flat numbers, `observation_space` what is presented."""

    inner: spaces.Box
    action_space: spaces.Box
    goal: bool

    @property
    def observation_space(self) -> spaces.Space[Any]:
        """As the single environment has it."""
        if not self.goal:
            return self.inner
        point = spaces.Box(-1.0, 1.0, (3,), np.float32)
        return spaces.Dict({"observation": self.inner, "achieved_goal": point, "desired_goal": point})

    def batch(self, values: Array, achieved: NDArray[np.float32], goals: Array) -> Any:
        """The observations of all rows from a task's values, (N, D), and the goals achieved and desired, (N, 3) m."""
        flat = np.minimum(np.maximum(values.astype(np.float32), self.inner.low), self.inner.high)
        if not self.goal:
            return flat
        return {"achieved_goal": achieved, "desired_goal": goals.astype(np.float32), "observation": flat}

    def rows(self, batch: Any, rows: NDArray[np.intp], count: int) -> NDArray[np.object_]:
        """Some rows' observations, each as the single environment presents it, in an array with None for the others."""
        single = np.full(count, None, dtype=object)
        for row in rows:
            single[row] = {key: batch[key][row] for key in _ROW_ORDER} if self.goal else batch[row]
        return single


def row_of(state: RobotState, row: int) -> RobotState:
    """One arm's part of a batch's state."""
    one = slice(row, row + 1)
    return replace(state, position=state.position[one], velocity=state.velocity[one], effort=state.effort[one],
                   setpoint=state.setpoint[one])


def masked(infos: dict[str, Any], rows: NDArray[np.intp], count: int) -> dict[str, Any]:
    """The infos of some rows only, where the others have none."""
    chosen = {}
    for key, value in infos.items():
        empty = np.full(count, None, dtype=object) if value.dtype == object else np.zeros_like(value)
        empty[rows] = value[rows]
        chosen[key] = empty
    return chosen
