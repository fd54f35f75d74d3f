"""The ids under which gymnasium knows the robots' tasks. Importing this loads no simulator."""

from __future__ import annotations

from typing import Any

import gymnasium

MAX_EPISODE_STEPS = 100
IDS: dict[str, dict[str, Any]] = {  # id: arguments of the environment's constructor
    "RX200ReachSim-v0": {"task": "reach"},
    "RX200ReachGoalSim-v0": {"task": "reach", "goal": True},
    "RX200ReacherSim-v0": {"task": "reach"},
    "RX200ReacherGoalSim-v0": {"task": "reach", "goal": True},
}


def register() -> None:
    """Tell gymnasium the ids. Harmless when repeated."""
    for env_id, kwargs in IDS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, entry_point="uniros_env_server.registration:make_simulated", kwargs=kwargs,
                               max_episode_steps=MAX_EPISODE_STEPS)


def make_simulated(task: str, goal: bool = False, robot: str = "rx200", reward_type: str = "",
                   action_type: str = "joint", action_scale: float = 1.0, real_time: bool = False,
                   cycle_time: float = 0.1, control_rate: float = 50.0, render_mode: str | None = None,
                   **parameters: Any) -> gymnasium.Env[Any, Any]:
    """A simulated arm at a task, without a step limit of its own.

    reward_type: sparse, dense or shaped; unless given, sparse for goal environments and dense for others.
    action_type: joint (deltas of the arm's joints) or ee (deltas of the end effector's position).
    action_scale: rad/s that one unit of an action stands for, at most 1.5; with ee what no joint exceeds.
    real_time: let time pass with the wall clock, in a loop of control_rate (Hz), instead of inside step().
    cycle_time: s that an action lasts. The remaining parameters are those of the task.
    """
    from uniros_env_server import tasks
    from uniros_env_server.assembly import ArmConfig, assemble

    parameters["reward_type"] = reward_type or ("sparse" if goal else "dense")
    config = ArmConfig(robot, action_type, action_scale, real_time, cycle_time, control_rate)
    return assemble(config, tasks.load(task, **parameters), goal, render_mode)
