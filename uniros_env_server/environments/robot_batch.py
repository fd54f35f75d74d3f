"""Batches of arms for `gymnasium.make_vec`: the ids' vector entry points."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from uniros_env_server import tasks
from uniros_env_server.environments.assembly import ArmConfig, make_gate, make_targets
from uniros_env_server.environments.randomisation import Randomisation
from uniros_env_server.environments.robot_vector_env import RobotTaskVectorEnv, check_whole
from uniros_env_server.environments.row_draws import RowDraws
from uniros_env_server.environments.row_layout import RowLayout
from uniros_env_server.robots.mujoco import MujocoRobot
from uniros_msgs.errors import StartFailed


def simulated_batch(num_envs: int, max_episode_steps: int, task: str, goal: bool = False, robot: str = "rx200",
                    reward_type: str = "", action_type: str = "joint", action_scale: float = 1.0,
                    cycle_time: float = 0.1, render_mode: str | None = None,
                    autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP, randomisation: Any = None,
                    **parameters: Any) -> RobotTaskVectorEnv:
    """`num_envs` simulated arms in lock-step, each as `registration.make_simulated` has one with these arguments.

    Raises ValueError for a cycle that is no whole number of physics steps: rows that begin at different times share it.
    """
    if parameters.pop("real_time", False):
        raise ValueError("a batch passes its time in lock-step: real_time=True is for a single environment")
    config = ArmConfig(robot, action_type, action_scale, False, cycle_time)
    chosen = tasks.load(task, reward_type=reward_type or ("sparse" if goal else "dense"), **parameters)
    gate, randomised = make_gate(config, "simulated"), Randomisation.read(randomisation, robot, num_envs)
    model = gate.model
    arms = MujocoRobot(model, num_envs)
    try:
        check_whole(cycle_time, arms.knobs.time_step)
    except ValueError:
        arms.close()
        raise
    targets = make_targets(config, model)
    layout = RowLayout(chosen.observation_space(model, targets.size), spaces.Box(-1.0, 1.0, (targets.size,)), goal)
    start = np.array([[*model.poses["ready"], model.opening]])
    return RobotTaskVectorEnv(chosen, gate, arms, targets, start, layout, cycle_time, max_episode_steps,
                              AutoresetMode(autoreset_mode), render_mode, RowDraws(arms, randomised))


def real_batch(**_: Any) -> RobotTaskVectorEnv:
    """Raises StartFailed: there is one arm."""
    raise StartFailed("an arm behind a driver is one environment, not a batch: make it without num_envs")
