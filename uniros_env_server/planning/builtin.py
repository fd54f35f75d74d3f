"""The built-in planner: OMPL over the robot's own collision model, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from uniros_env_server.planning.checks import checked, quaternion
from uniros_env_server.planning.planner import DEADLINE
from uniros_env_server.planning.process import PlanningProcess
from uniros_env_server.planning.settings import Settings
from uniros_env_server.planning.trajectory import Trajectory
from uniros_env_server.robots.model import load_model
from uniros_env_server.robots.robot import Array
from uniros_env_server.safety.gate import SafetyLimits


class BuiltinPlanner:
    """See `Planner`. The same question and seed give the same trajectory, as long as there is time enough.

    The limits are those of the safety gate that the commands will meet, for the real world unless given; settings are
    those of planning.yaml unless given. The process writes to `log_file`, or where we do.
    """

    def __init__(self, robot: str = "rx200", *, limits: SafetyLimits | None = None, settings: Settings | None = None,
                 seed: int = 1, log_file: Path | None = None) -> None:
        self.model = load_model(robot)
        self.joints = self.model.arm
        self.limits = limits or SafetyLimits.load(robot, "real")
        self.settings = settings or Settings.load(robot)
        if self.settings.speed_share > self.limits.speed_share:
            raise ValueError(f"speed_share must be at most that of the safety gate, {self.limits.speed_share}, not "
                             f"{self.settings.speed_share}")
        self.process = PlanningProcess(robot, self.limits, self.settings, seed, log_file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def plan(self, start: ArrayLike, goal: ArrayLike, *, deadline: float = DEADLINE) -> Trajectory:
        """See `Planner.plan`."""
        return self._ask("plan", deadline, start=checked("start", start, self.joints),
                         goal=checked("goal", goal, self.joints))

    def to_pose(self, start: ArrayLike, position: ArrayLike, orientation: ArrayLike | None = None, *,
                deadline: float = DEADLINE) -> Trajectory:
        """See `Planner.to_pose`."""
        turn = None if orientation is None else quaternion(orientation)
        return self._ask("to_pose", deadline, start=checked("start", start, self.joints),
                         position=checked("position", position, "xyz"), orientation=turn)

    def close(self) -> None:
        """See `Planner.close`."""
        self.process.close()

    def _ask(self, kind: str, deadline: float, **given: Array | None) -> Trajectory:
        plain = {key: None if array is None else array.tolist() for key, array in given.items()}
        answer: dict[str, Any] = self.process.ask({kind: plain}, deadline)
        return Trajectory(self.joints, *(np.array(answer[key]) for key in ("times", "positions", "velocities")))
