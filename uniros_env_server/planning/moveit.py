"""MoveIt as the planner, where it is installed: its move_group plans, our margins decide."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from uniros_env_server.planning.checks import checked, quaternion
from uniros_env_server.planning.message import from_message
from uniros_env_server.planning.planner import DEADLINE
from uniros_env_server.planning.process import PlanningProcess
from uniros_env_server.planning.settings import Settings
from uniros_env_server.planning.trajectory import Trajectory
from uniros_env_server.robots.model import load_model
from uniros_env_server.robots.robot import Array
from uniros_env_server.safety.gate import SafetyLimits
from uniros_msgs.errors import MalformedData, NoPath, StartFailed

JUDGING = 0.2  # of the time there is, kept for looking at what MoveIt found
ELSEWHERE = 0.01  # rad, a trajectory that begins further from the start than this is not the one asked for


class MoveItPlanner:
    """See `Planner`. Asks the move_group node on this node's master to move the group that planning.yaml names.

    MoveIt is given joint positions to reach, ours by inverse kinematics where a pose is asked for. It knows the arm but
    no table unless told of one, so what it finds is judged by the built-in planner's process: a way that leaves our
    margins is none. Takes what `BuiltinPlanner` takes. Raises StartFailed when moveit_commander is not installed or
    finds no move_group.
    """

    def __init__(self, robot: str = "rx200", *, limits: SafetyLimits | None = None, settings: Settings | None = None,
                 seed: int = 1, log_file: Path | None = None) -> None:
        model = load_model(robot)
        self.joints = model.arm
        settings = settings or Settings.load(robot)
        self._speeds = settings.speeds(model)
        self._arm, self._group = _connect(settings)
        self._busy = threading.Lock()
        self._judge = PlanningProcess(robot, limits or SafetyLimits.load(robot, "real"), settings, seed, log_file)

    def plan(self, start: ArrayLike, goal: ArrayLike, *, deadline: float = DEADLINE) -> Trajectory:
        """See `Planner.plan`."""
        until = time.monotonic() + deadline
        return self._plan(checked("start", start, self.joints), checked("goal", goal, self.joints), until)

    def to_pose(self, start: ArrayLike, position: ArrayLike, orientation: ArrayLike | None = None, *,
                deadline: float = DEADLINE) -> Trajectory:
        """See `Planner.to_pose`."""
        until = time.monotonic() + deadline
        begin = checked("start", start, self.joints)
        turn = None if orientation is None else quaternion(orientation).tolist()
        question = {"start": begin.tolist(), "position": checked("position", position, "xyz").tolist(),
                    "orientation": turn}
        goals = self._judge.ask({"aims": question}, deadline)["goals"]
        reasons = []
        for number, goal in enumerate(goals):
            share = (until - time.monotonic()) / (len(goals) - number)
            try:
                return self._plan(begin, np.array(goal), time.monotonic() + share)
            except NoPath as error:
                reasons.append(str(error))
        raise NoPath(f"none of {len(goals)} ways to stand there is reached; the last: {reasons[-1]}")

    def close(self) -> None:
        """See `Planner.close`."""
        self._judge.close()

    def _plan(self, start: Array, goal: Array, until: float) -> Trajectory:
        left = until - time.monotonic()
        found = self._within(left, lambda: self._ask_moveit(start, goal, (1 - JUDGING) * left))
        trajectory = accepted(found, start, self.joints, self._speeds)
        self._judge.ask({"judge": {"positions": trajectory.positions.tolist()}}, until - time.monotonic())
        return trajectory

    def _ask_moveit(self, start: Array, goal: Array, seconds: float) -> Any:
        """The answer of move_group: success, RobotTrajectory, time taken, error code."""
        state = self._arm.get_current_state()
        state.joint_state.name, state.joint_state.position = list(self.joints), start.tolist()
        state.is_diff = True  # what is not named, the gripper, stays as it is
        self._group.set_start_state(state)
        self._group.set_joint_value_target(dict(zip(self.joints, goal.tolist(), strict=True)))
        self._group.set_planning_time(seconds)
        return self._group.plan()

    def _within(self, seconds: float, ask: Callable[[], Any]) -> Any:
        """What `ask` returns, from a thread that is left behind if it hangs. Raises NoPath then."""
        if not self._busy.acquire(timeout=max(0.0, seconds)):
            raise NoPath(f"move_group was busy with other questions for {seconds:.1f} s. See whether it hangs")
        answer: SimpleQueue[Any] = SimpleQueue()

        def run() -> None:
            try:
                answer.put(ask())
            except Exception as error:  # noqa: BLE001 - for the one who waits
                answer.put(error)
            finally:
                self._busy.release()

        threading.Thread(target=run, name="moveit", daemon=True).start()
        try:
            found = answer.get(timeout=max(0.0, seconds))
        except Empty:
            raise NoPath(f"move_group gave no answer within {seconds:.1f} s. See whether it hangs") from None
        if isinstance(found, Exception):
            raise NoPath(f"MoveIt refused the question: {found}") from found
        return found


def accepted(answer: Any, start: Array, joints: tuple[str, ...], speeds: Array) -> Trajectory:
    """The trajectory in an answer of move_group, slowed down where it is faster than speeds (A,) rad/s.

    Raises NoPath when there is none, or none of all our joints, or one that begins elsewhere.
    """
    success, found, _, code = answer
    if not success:
        raise NoPath(f"MoveIt found no way (MoveItErrorCodes {code.val}). See move_group's log")
    try:
        trajectory = from_message(found.joint_trajectory, joints)
    except MalformedData as error:
        raise NoPath(f"what MoveIt planned is of no use: {error}. See its group's joints and its adapters") from error
    off = float(np.abs(trajectory.positions[0] - start).max())
    if off > ELSEWHERE:
        raise NoPath(f"MoveIt planned from elsewhere, {off:.3f} rad away from the start. See whether it allows that "
                     "(start_state_max_bounds_error)")
    factor = float((np.abs(trajectory.velocities) / speeds).max())
    return trajectory.slower(factor) if factor > 1.0 else trajectory


def _connect(settings: Settings) -> tuple[Any, Any]:
    """A RobotCommander and a MoveGroupCommander."""
    try:
        commander = import_module("moveit_commander")
    except ImportError as error:
        raise StartFailed("planner moveit needs moveit_commander, which is not installed here (Debian has no package "
                          "of it; on a Noetic machine: ros-noetic-moveit-commander). Install it, or choose planner "
                          "builtin") from error
    try:
        commander.roscpp_initialize([])
        arm, group = commander.RobotCommander(), commander.MoveGroupCommander(settings.move_group)
    except RuntimeError as error:
        raise StartFailed(f"MoveIt does not plan for {settings.move_group!r}: {error}. Start its move_group node on "
                          "this master") from error
    group.set_max_velocity_scaling_factor(settings.speed_share)
    group.set_max_acceleration_scaling_factor(1.0)
    return arm, group
