"""The contract of a planner, and the choice of one."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import ArrayLike

from uniros_env_server.planning.trajectory import Trajectory

KINDS = ("builtin", "moveit")
DEADLINE = 5.0  # s


class Planner(Protocol):
    """Finds trajectories of one arm, at rest in the end. Any thread may ask; questions are answered one by one.

    A trajectory begins where it is told to: at the last command executed, or with the torque off where the arm was
    measured. All methods wait for their answer, `deadline` seconds at most, and raise NoPath, which says what is in the
    way, when there is none by then; ValueError for a question that makes no sense; Closed after `close`.
    """

    joints: tuple[str, ...]  # A, in the order of all arrays

    def plan(self, start: ArrayLike, goal: ArrayLike, *, deadline: float = DEADLINE) -> Trajectory:
        """From configuration start to configuration goal, (A,) rad each.

        The start may be nearer to something than margins allow: then the way first leads away from it. The goal may
        not, unless it is one of the robot's named poses, where it is known to rest (`sleep`).
        """

    def to_pose(self, start: ArrayLike, position: ArrayLike, orientation: ArrayLike | None = None, *,
                deadline: float = DEADLINE) -> Trajectory:
        """From configuration start, (A,) rad, to a position of the tool, (3,) m in the base frame.

        An orientation is a quaternion x, y, z, w of the tool in the base frame; without one the tool may be turned as
        is nearest.
        """

    def close(self) -> None:
        """Let go of everything held. Harmless when repeated."""


def make_planner(kind: str, robot: str = "rx200", **parameters: Any) -> Planner:
    """The planner that a parameter `planner` names: `builtin`, or `moveit` where moveit_commander is installed.

    Parameters are those of `BuiltinPlanner` and `MoveItPlanner`, which are alike. Raises ValueError for another kind,
    StartFailed when it cannot be had here.
    """
    if kind == "builtin":
        from uniros_env_server.planning.builtin import BuiltinPlanner

        return BuiltinPlanner(robot, **parameters)
    if kind == "moveit":
        from uniros_env_server.planning.moveit import MoveItPlanner  # only here: its messages need ROS

        return MoveItPlanner(robot, **parameters)
    raise ValueError(f"planner must be one of {', '.join(KINDS)}, not {kind!r}")
