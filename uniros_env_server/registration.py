"""The ids under which gymnasium knows the robots' tasks. Importing this loads no simulator."""

from __future__ import annotations

from typing import Any

import gymnasium

MAX_EPISODE_STEPS = 100
IDS = {  # id: arguments of the environment's constructor
    "RX200ReachSim-v0": {},
    "RX200ReachGoalSim-v0": {"goal": True},
    "RX200ReacherSim-v0": {},
    "RX200ReacherGoalSim-v0": {"goal": True},
}


def make_rx200(task: str = "reach", goal: bool = False, reward_type: str = "", cycle_time: float = 0.1,
               render_mode: str | None = None, **kwargs: Any) -> gymnasium.Env:
    """A simulated RX200 at a task."""
    import numpy as np

    from uniros_env_server import tasks
    from uniros_env_server.clock import LockStepClock
    from uniros_env_server.robot_env import RobotTaskEnv
    from uniros_env_server.robots.model import load_model
    from uniros_env_server.robots.mujoco import MujocoRobot
    from uniros_env_server.safety import SafetyGate, SafetyLimits
    from uniros_env_server.targets import JointDeltas

    model = load_model("rx200")
    robot = MujocoRobot(model)
    start = np.array([[*model.poses["ready"], model.opening]])
    return RobotTaskEnv(tasks.load(task, reward_type=reward_type or ("sparse" if goal else "dense"), **kwargs),
                        SafetyGate(model, SafetyLimits.load("rx200")), LockStepClock(robot, cycle_time),
                        JointDeltas(len(model.arm), 1.0, cycle_time), start, goal, render_mode)


def register() -> None:
    """Tell gymnasium the ids. Harmless when repeated."""
    for env_id, kwargs in IDS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, entry_point="uniros_env_server.registration:make_rx200", kwargs=kwargs,
                               max_episode_steps=MAX_EPISODE_STEPS)
