"""Putting an environment together: from a checked configuration to task, robot, gate, clock and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from uniros_env_server.environments.homing import Homing
from uniros_env_server.environments.randomisation import Randomisation
from uniros_env_server.environments.robot_env import RobotTaskEnv
from uniros_env_server.environments.robot_goal_env import RobotGoalEnv
from uniros_env_server.environments.targets import JointDeltas, Targets, ToolDeltas
from uniros_env_server.environments.tuning import least_ramp, offer_physics
from uniros_env_server.planning.planner import make_planner
from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.model import RobotModel, load_model
from uniros_env_server.robots.mujoco import MujocoRobot
from uniros_env_server.safety.gate import SafetyGate, SafetyLimits
from uniros_env_server.tasks.task import Task
from uniros_env_server.timing.clock import Clock, LockStepClock
from uniros_env_server.timing.real_time import Rates, RealTimeClock
from uniros_msgs.knobs import Cycle

CYCLE_TIMES = (0.04, 2.0)  # s
ACTION_TYPES = ("joint", "ee")


@dataclass(frozen=True)
class ArmConfig:
    """How an arm is driven, checked once."""

    robot: str = "rx200"  # a folder of config/robots
    action_type: str = "joint"  # joint | ee
    action_scale: float = 1.0  # rad/s that one unit of an action stands for
    real_time: bool = False
    cycle_time: float = 0.1  # s, of an action
    control_rate: float = 50.0  # Hz, of the control loop in real time
    phase_lock: bool = True  # whether the cycles of an arm that is measured by somebody else end with a measurement

    def __post_init__(self) -> None:
        if self.action_type not in ACTION_TYPES:
            raise ValueError(f"action_type must be one of {', '.join(ACTION_TYPES)}, not {self.action_type!r}")
        if not CYCLE_TIMES[0] <= self.cycle_time <= CYCLE_TIMES[1]:
            raise ValueError(f"cycle_time must be {CYCLE_TIMES[0]} to {CYCLE_TIMES[1]} s, not {self.cycle_time}")


@dataclass(frozen=True)
class Connection:
    """Where an arm's driver is, relative to the node's namespace, and what may be done with it."""

    allow_motion: bool = False  # consent to move an arm that may be real
    joint_states: str = "joint_states"
    arm_command: str = "arm_controller/command"
    gripper_command: str = "gripper_controller/command"  # "" leaves the gripper alone
    planner: str = "builtin"  # builtin | moveit
    patience: float = 15.0  # s, for the driver to appear


def assemble(config: ArmConfig, task: Task, goal: bool, render_mode: str | None,
             randomisation: Mapping[str, Any] | str | None = None) -> RobotTaskEnv:
    """The environment of one simulated arm. Raises ValueError for figures that do not fit together."""
    gate, randomised = make_gate(config, "simulated"), Randomisation.read(randomisation, config.robot)
    robot = MujocoRobot(gate.model)
    clock = RealTimeClock(robot, _rates(config, gate), gate.watch, watchdog=gate.limits.state_age
                          ) if config.real_time else LockStepClock(robot, config.cycle_time)
    env = _environment(config, task, goal, render_mode, gate, clock)
    offer_physics(env.tuning, robot, clock)
    env.randomise(randomised)
    return env


def assemble_real(config: ArmConfig, task: Task, goal: bool, render_mode: str | None, connection: Connection
                  ) -> RobotTaskEnv:
    """The environment of an arm behind a driver, in a ROS node. Raises RobotFault when no driver appears."""
    from uniros_env_server.robots.ros_control import Patience, RosControlRobot, Topics
    from uniros_env_server.safety.consent import forbidden  # they need ROS, a simulation does not

    gate = make_gate(config, "real")
    limits, rates = gate.limits, _rates(config, gate)
    planner = make_planner(connection.planner, config.robot, limits=limits)
    try:
        topics = Topics(connection.joint_states, connection.arm_command, connection.gripper_command)
        robot = RosControlRobot(gate.model, topics, Patience(age=limits.state_age, appear=connection.patience))
    except BaseException:
        planner.close()
        raise
    clock = RealTimeClock(robot, rates, gate.watch, latching=True, watchdog=limits.state_age)
    homing = Homing(clock, gate, planner, robot.driver.torque_on, forbidden(connection.allow_motion))
    return _environment(config, task, goal, render_mode, gate, clock, homing)


def _environment(config: ArmConfig, task: Task, goal: bool, render_mode: str | None, gate: SafetyGate, clock: Clock,
                 homing: Homing | None = None) -> RobotTaskEnv:
    model = gate.model
    start = np.array([[*model.poses["ready"], model.opening]])
    kind = RobotGoalEnv if goal else RobotTaskEnv
    return kind(task, gate, clock, make_targets(config, model), start, render_mode, homing)


def make_gate(config: ArmConfig, world: str) -> SafetyGate:
    """The gate of a simulated or a real arm. Raises ValueError for actions that are too great for it."""
    model, limits = load_model(config.robot), SafetyLimits.load(config.robot, world)
    if not 0.0 < config.action_scale <= limits.action_scale:
        raise ValueError(f"a {world} arm's action_scale must be above 0 and at most {limits.action_scale} rad/s, not "
                         f"{config.action_scale}")
    return SafetyGate(model, limits)


def _rates(config: ArmConfig, gate: SafetyGate) -> Rates:
    ramp = least_ramp(Cycle(config.cycle_time, config.action_scale), gate)
    return Rates(config.cycle_time, config.control_rate, ramp, config.phase_lock)


def make_targets(config: ArmConfig, model: RobotModel) -> Targets:
    """What actions of the type configured ask for."""
    if config.action_type == "ee":
        return ToolDeltas(Kinematics(model), config.action_scale, config.cycle_time)
    return JointDeltas(len(model.arm), config.action_scale, config.cycle_time)
