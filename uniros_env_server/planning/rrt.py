"""OMPL: a way around what blocks the straight one, by RRT-Connect (Kuffner and LaValle 2000)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ompl import base, geometric, util

from uniros_env_server.planning.margins import Margins
from uniros_env_server.robots.robot import Array

util.setLogLevel(util.LOG_NONE)


class _Configurations(base.StateValidityChecker):  # type: ignore[misc]  # OMPL's classes carry no usable types
    def __init__(self, space: Any, margins: Margins) -> None:
        super().__init__(space)
        self._margins, self._size = margins, len(margins.lower)

    def isValid(self, state: Any) -> bool:
        return bool(self._margins.keeps(_array(state, self._size)[None])[0])


class _Ways(base.MotionValidator):  # type: ignore[misc]
    """Replaces OMPL's own sampling of motions: ours looks at all samples at once, and misses nothing between them."""

    def __init__(self, space: Any, margins: Margins) -> None:
        super().__init__(space)
        self._margins, self._size = margins, len(margins.lower)

    def checkMotion(self, start: Any, end: Any) -> bool:
        return self._margins.clear(_array(start, self._size), _array(end, self._size))


def connect(margins: Margins, start: Array, goals: Sequence[Array], seed: int,
            stop: Callable[[], bool]) -> list[Array] | None:
    """Corners, (A,) rad each, of a clear way from start to one of the goals; None when `stop` came first.

    Start and goals keep all margins. The same arguments give the same way.
    """
    util.RNG.setSeed(seed)  # of the generators made below
    space = base.RealVectorStateSpace(len(start))
    bounds = base.RealVectorBounds(len(start))
    for joint, (low, high) in enumerate(zip(margins.lower, margins.upper, strict=True)):
        bounds.setLow(joint, float(low))
        bounds.setHigh(joint, float(high))
    space.setBounds(bounds)
    information = base.SpaceInformation(space)
    configurations, ways = _Configurations(information, margins), _Ways(information, margins)
    information.setStateValidityChecker(configurations)
    information.setMotionValidator(ways)
    information.setup()
    problem = base.ProblemDefinition(information)
    problem.addStartState(_state(information, start))
    ends = base.GoalStates(information)
    for goal in goals:
        ends.addState(_state(information, goal))
    problem.setGoal(ends)
    planner = geometric.RRTConnect(information)
    planner.setProblemDefinition(problem)
    planner.setup()
    planner.solve(base.PlannerTerminationCondition(stop))
    if not problem.hasExactSolution():  # an approximate one ends elsewhere
        return None
    return [_array(state, len(start)) for state in problem.getSolutionPath().getStates()]


def _state(information: Any, q: Array) -> Any:
    state = information.allocState()
    for joint, angle in enumerate(q):
        state[joint] = float(angle)
    return state


def _array(state: Any, size: int) -> Array:
    return np.array(state[0:size])
