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
    "RX200ReachReal-v0": {"task": "reach"},
    "RX200ReachGoalReal-v0": {"task": "reach", "goal": True},
    "RX200ReacherReal-v0": {"task": "reach"},
    "RX200ReacherGoalReal-v0": {"task": "reach", "goal": True},
}


def register() -> None:
    """Tell gymnasium the ids. Harmless when repeated."""
    for env_id, kwargs in IDS.items():
        if env_id not in gymnasium.registry:
            maker = "make_real" if "Real" in env_id else "make_simulated"
            batch = "real_batch" if "Real" in env_id else "simulated_batch"
            gymnasium.register(env_id, entry_point=f"uniros_env_server.registration:{maker}", kwargs=kwargs,
                               vector_entry_point=f"uniros_env_server.environments.robot_batch:{batch}",
                               max_episode_steps=MAX_EPISODE_STEPS, nondeterministic="Real" in env_id)


def make_simulated(task: str, goal: bool = False, robot: str = "rx200", reward_type: str = "",
                   action_type: str = "joint", action_scale: float = 1.0, real_time: bool = False,
                   cycle_time: float = 0.1, control_rate: float = 50.0, render_mode: str | None = None,
                   randomisation: Any = None, **parameters: Any) -> gymnasium.Env[Any, Any]:
    """A simulated arm at a task, without a step limit of its own.

    reward_type: sparse, dense or shaped; unless given, sparse for goal environments and dense for others.
    action_type: joint (deltas of the arm's joints) or ee (deltas of the end effector's position).
    action_scale: rad/s that one unit of an action stands for, at most 1.5; with ee what no joint exceeds.
    real_time: let time pass with the wall clock, in a loop of control_rate (Hz), instead of inside step().
    cycle_time: s that an action lasts. The remaining parameters are those of the task.
    randomisation: knobs of the physics that each episode draws anew, and from where: see `Randomisation.read`.
    """
    from uniros_env_server import tasks
    from uniros_env_server.environments.assembly import ArmConfig, assemble

    parameters["reward_type"] = reward_type or ("sparse" if goal else "dense")
    config = ArmConfig(robot, action_type, action_scale, real_time, cycle_time, control_rate)
    return assemble(config, tasks.load(task, **parameters), goal, render_mode, randomisation)


def make_real(task: str, goal: bool = False, robot: str = "rx200", reward_type: str = "", action_type: str = "joint",
              action_scale: float = 1.0, cycle_time: float = 0.1, control_rate: float = 50.0, phase_lock: bool = True,
              render_mode: str | None = None, allow_motion: bool = False, joint_states: str = "joint_states",
              arm_command: str = "arm_controller/command", gripper_command: str = "gripper_controller/command",
              planner: str = "builtin", patience: float = 15.0, **parameters: Any) -> gymnasium.Env[Any, Any]:
    """An arm behind a ROS driver at a task. Needs a ROS node in the robot's namespace: `uniros_learner.make` has one.

    Arguments that `make_simulated` has too mean the same here.
    allow_motion: consent to move an arm that is not known to be an emulated one; without it reset() refuses.
    joint_states, arm_command, gripper_command: topics of another driver than ours. planner: builtin or moveit.
    patience: s to wait for the driver. phase_lock: end cycles just when a measurement has come.
    """
    import rospy

    from uniros_env_server import tasks
    from uniros_env_server.environments.assembly import ArmConfig, Connection, assemble_real
    from uniros_msgs.errors import StartFailed

    if not rospy.core.is_initialized():
        raise StartFailed("a real arm's environment lives in a ROS node: uniros_learner.make(...) starts one, or "
                          "rosrun uniros env_server")
    if parameters.pop("randomisation", None):
        raise StartFailed("randomisation changes a simulation's physics: a real arm has its own")
    parameters["reward_type"] = reward_type or ("sparse" if goal else "dense")
    config = ArmConfig(robot, action_type, action_scale, True, cycle_time, control_rate, phase_lock)
    connection = Connection(allow_motion, joint_states, arm_command, gripper_command, planner, patience)
    return assemble_real(config, tasks.load(task, **parameters), goal, render_mode, connection)
