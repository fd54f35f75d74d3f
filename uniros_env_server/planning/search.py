"""The built-in planner's thinking: straight if it can be, around what is in the way if it must be, then timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from uniros_env_server.planning.aim import aims
from uniros_env_server.planning.leave import leave
from uniros_env_server.planning.margins import Margins
from uniros_env_server.planning.rrt import connect
from uniros_env_server.planning.settings import Settings
from uniros_env_server.planning.shorten import shortened
from uniros_env_server.planning.timing import timed
from uniros_env_server.planning.trajectory import Trajectory
from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.model import RobotModel
from uniros_env_server.robots.robot import Array
from uniros_env_server.safety.gate import SafetyLimits
from uniros_msgs.errors import NoPath

SAME = 1e-3  # rad, a goal no further from a named pose than this is that pose
Stop = Callable[[], bool]


class Search:
    """Plans in the calling thread, until `stop()` at most. The same question and seed give the same answer."""

    def __init__(self, model: RobotModel, limits: SafetyLimits, settings: Settings, seed: int) -> None:
        self.margins = Margins(model, limits, settings)
        self._bounds = settings.bounds(model)
        self._kinematics = Kinematics(model)
        self._joints = model.arm
        self._seed = seed

    def plan(self, start: Array, goal: Array, stop: Stop) -> Trajectory:
        """See `Planner.plan`."""
        trouble = self.margins.trouble(goal)
        if trouble and not self._known_rest(goal):
            raise NoPath(f"the goal is no place to rest: {trouble}. Choose a goal further away from it")
        return self._timed(self._way(start, [goal], stop))

    def to_pose(self, start: Array, position: Array, orientation: Array | None, stop: Stop) -> Trajectory:
        """See `Planner.to_pose`."""
        return self._timed(self._way(start, self.aims(start, position, orientation), stop))

    def aims(self, start: Array, position: Array, orientation: Array | None) -> list[Array]:
        """Configurations, (A,) rad, that bring the tool there; see `aim.aims`."""
        rng = np.random.default_rng(self._seed)
        return aims(self._kinematics, self.margins, start, position, orientation, rng)

    def judge(self, positions: Array) -> None:
        """Raise NoPath where somebody else's way through positions, (T, A) rad, is not one that we would take."""
        kept = np.flatnonzero(self.margins.keeps(positions))
        into_rest = kept[-1] if len(kept) and self._known_rest(positions[-1]) else len(positions)
        for number, (start, end) in enumerate(pairwise(positions)):
            if not (self.margins.clear(start, end) if number < into_rest else self.margins.clear(end, start)):
                raise NoPath(f"the way planned is not clear: {self.margins.first_trouble(start, end)}. Tell its "
                             "planner about the table and the margins, or use the built-in one")

    def _way(self, start: Array, goals: Sequence[Array], stop: Stop) -> list[Array]:
        """Corners from start to the first of the goals that is in sight, or else to any of them."""
        for goal in goals:
            if self._passes(start, goal):
                return [start, goal]
        rng = np.random.default_rng(self._seed)
        out = leave(self.margins, start, rng, stop)
        if out is None:
            raise NoPath(f"the arm stands where no motion leads out: {self.margins.trouble(start)}. Bring it away from "
                         "there by hand")
        ends = [way for goal in goals if (way := leave(self.margins, goal, rng, stop)) is not None]
        middle = connect(self.margins, out[-1], [end[-1] for end in ends], self._seed, stop) if ends else None
        if middle is None:
            raise NoPath(f"no way was found in the time there was: {self.margins.first_trouble(start, goals[0])}. Give "
                         "it more time, or bring the arm elsewhere first")
        end = min(ends, key=lambda way: float(np.abs(way[-1] - middle[-1]).max()))
        return shortened([*out, *middle[1:-1], *reversed(end)], self._passes, self._bounds, rng, stop)

    def _passes(self, start: Array, end: Array) -> bool:
        """Whether the straight way may be taken: into a place that is too near to something, as it may out of it."""
        if self.margins.clear(start, end):
            return True
        return not self.margins.keeps(end[None])[0] and self.margins.clear(end, start)

    def _known_rest(self, q: Array) -> bool:
        return any(np.abs(q - rest).max() <= SAME for rest in self.margins.rests)

    def _timed(self, corners: Sequence[Array]) -> Trajectory:
        return timed(self._joints, corners, self._bounds)
