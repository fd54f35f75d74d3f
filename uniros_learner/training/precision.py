"""How precisely a policy brings the tool to where it was told, time after time: pose accuracy and repeatability as
ISO 9283:1998 (7.2) defines them, for positions.

Of n attained positions with mean m, when the position c was commanded: accuracy is |m - c|; repeatability is the mean
distance from m, plus three of its standard deviations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from uniros_learner.training.agent import Agent, can_stay
from uniros_learner.training.environments import task_of

POSES = 5  # commanded positions
REPEATS = 10  # of each
PATIENCE = 100  # steps in which a policy may come to the goal
REST = 5  # steps for which the arm is then told to stay, before it is measured


@dataclass(frozen=True)
class Precision:
    """Of one commanded position."""

    accuracy: float  # m
    repeatability: float  # m
    repeats: int


def precision(attained: NDArray[np.float64], commanded: NDArray[np.float64]) -> Precision:
    """Of (n, 3) attained positions for (3,) commanded (m); n at least 2."""
    mean = attained.mean(axis=0)
    away = np.linalg.norm(attained - mean, axis=1)
    repeatability = away.mean() + 3.0 * away.std(ddof=1)
    return Precision(float(np.linalg.norm(mean - commanded)), float(repeatability), len(attained))


def why_not(env: gymnasium.Env) -> str:
    """Why this cannot be measured here; empty when it can."""
    if not isinstance(env, gymnasium.Env):
        return "measured on one arm, not on a batch"
    if _tool(env) is None or not can_stay(env.action_space):
        return "needs an arm of ours that is told changes of its joints or its tool"
    return ""


def measure(
    agent: Agent, env: gymnasium.Env, seed: int, poses: int = POSES, repeats: int = REPEATS,
    on_episode: Callable[[], None] = lambda: None,
) -> list[Precision]:
    """Bring the tool to each of `poses` goals, always from the arm's start, `repeats` times; raises what `env` raises.

    An episode ends for a policy when the goal is reached to within the task's tolerance; the arm is then told to stay,
    and measured when it rests. seed: of the goals.
    """
    return [_measure_one(agent, env, seed + number, repeats, on_episode) for number in range(poses)]


def _measure_one(agent: Agent, env: gymnasium.Env, seed: int, repeats: int, on_episode: Callable[[], None]
                 ) -> Precision:
    tool = _tool(env)
    assert tool is not None
    observation, _ = env.reset(seed=seed)
    goal = _goal(observation, tool)
    attained = []
    for _ in range(repeats):
        attained.append(tool(_approach(agent, env, goal)))
        on_episode()
    return precision(np.array(attained), goal)


def _approach(agent: Agent, env: gymnasium.Env, goal: NDArray[np.float64]) -> Any:
    """The observation of the arm at rest, where the policy has brought it."""
    observation, _ = env.reset(options={"goal": goal.tolist()})
    for _ in range(PATIENCE):
        observation, _, terminated, truncated, _ = env.step(agent.act(observation))
        if terminated or truncated:
            break
    stay = np.zeros(env.action_space.shape or (), np.float32)
    for _ in range(REST):  # the end of an episode is no end of the arm's
        observation = env.step(stay)[0]
    return observation


def _tool(env: gymnasium.Env) -> Callable[[Any], NDArray[np.float64]] | None:
    """Finds the tool's position (m) in an observation of this environment; None where it is not in it."""
    if isinstance(env.observation_space, spaces.Dict):
        known = "achieved_goal" in env.observation_space.spaces
        return (lambda observation: observation["achieved_goal"].astype(np.float64)) if known else None
    known = task_of(env).get("name") == "reach"  # see its observation_space: tool, direction to the goal, distance
    return (lambda observation: observation[:3].astype(np.float64)) if known else None


def _goal(observation: Any, tool: Callable[[Any], NDArray[np.float64]]) -> NDArray[np.float64]:
    """The goal (m) that an observation tells: itself, or from the tool by the way to it."""
    if isinstance(observation, dict):
        return observation["desired_goal"].astype(np.float64)
    return tool(observation) + observation[3:6].astype(np.float64) * float(observation[6])
