"""The contract of a task: what a batch of arms is to achieve, as pure functions of what is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from uniros_env_server.robots.model import RobotModel
from uniros_env_server.robots.robot import Array, RobotState

Reachable = Callable[[Array], NDArray[np.bool_]]  # (M, 3) points (m) -> (M,) whether the arm gets its tool there


@dataclass(frozen=True, slots=True)
class View:
    """All that a task may look at, for a batch of N arms."""

    state: RobotState
    tool: Array  # (N, 4, 4) pose of the end effector in the base frame (m)
    goal: Array  # (N, 3) m, base frame
    executed: Array  # (N, A) the last action as it was carried out, in the action's units


@dataclass(frozen=True, slots=True)
class Workspace:
    """The box (m, base frame) in which a task lets the end effector move."""

    low: Array  # (3,)
    high: Array  # (3,)


class Task(Protocol):
    """What the environment asks of a task. Every function is pure and takes and gives a leading batch dimension."""

    name: ClassVar[str]

    @property
    def tolerance(self) -> float:
        """Distance (m) at which the goal counts as reached."""

    @property
    def workspace(self) -> Workspace:
        """Where the end effector may go while the task runs."""

    def observation_space(self, model: RobotModel, actions: int) -> spaces.Box:
        """The space of one row of `observe`, for a robot and a number of action components."""

    def observation_names(self, model: RobotModel, actions: int) -> list[str]:
        """What each number of an observation is, for people and for what reads recordings."""

    def sample_goals(self, rng: np.random.Generator, count: int, reachable: Reachable) -> Array:
        """(count, 3) goals drawn from the generator (m)."""

    def observe(self, view: View) -> Array:
        """(N, D) observations."""

    def achieved(self, view: View) -> Array:
        """(N, 3) where what is to reach the goal stands now (m)."""

    def reward(self, achieved: Array, desired: Array, refusal: NDArray[np.int8] | None = None) -> Array:
        """(N,) rewards of achieved and desired goals, (N, 3) each (m)."""

    def distance(self, achieved: Array, desired: Array) -> Array:
        """(N,) m between achieved and desired goals, (N, 3) each; within the tolerance the episode ends in success."""

    def describe(self) -> dict[str, Any]:
        """Name and parameters, as JSON can hold them, from which `tasks.load` makes the same task again."""
