"""Knobs: which figures may be changed while something runs, within which bounds, and what they mean.

The .cfg files in config/cfg, and so what `dynparam` and rqt show, are made from these. This file needs nothing but
Python's own library: it is read while the ROS packages are being built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple, TypeVar  # noqa: UP035 - for Python 3.8 on robots

Bounds = Dict[str, Tuple[float, float]]  # noqa: UP006
T = TypeVar("T")


def knob(default: float, low: float, high: float, doc: str) -> Any:
    """A field of a class of knobs; `doc` begins with the unit."""
    return field(default=default, metadata={"low": low, "high": high, "doc": doc})


@dataclass(frozen=True)
class Physics:
    """A simulation's; `~physics` of an env server. Scales are shares of the robot's own figures (robot.yaml)."""

    time_step: float = knob(0.002, 0.0005, 0.005, "s of the integration")
    gravity: float = knob(-9.81, -20.0, 20.0, "m/s2, along z of the base frame")
    damping: float = knob(0.0, 0.0, 5.0, "Nm s/rad, viscous, in every joint of the arm")
    friction: float = knob(1.0, 0.0, 5.0, "scale of the dry friction in every joint")
    position_gain: float = knob(1.0, 0.1, 3.0, "scale of the servos' stiffness")
    velocity_gain: float = knob(1.0, 0.1, 3.0, "scale of the servos' damping")
    mass: float = knob(1.0, 0.2, 5.0, "scale of the links' masses and inertias")
    latency: float = knob(0.0, 0.0, 0.5, "s of simulated time from a command until the servos follow it")
    position_noise: float = knob(0.0, 0.0, 0.1, "rad, standard deviation of the arm's measured positions")
    velocity_noise: float = knob(0.0, 0.0, 1.0, "rad/s, standard deviation of the arm's measured velocities")
    real_time_factor: float = knob(0.0, 0.0, 100.0, "simulated s per s; 0, in lock-step only: as fast as it goes")


@dataclass(frozen=True)
class Cycle:
    """An arm's, simulated or real; `~cycle` of an env server. None goes beyond the robot's safety.yaml."""

    cycle_time: float = knob(0.1, 0.04, 2.0, "s that an action lasts, in real time whole periods of the control loop")
    action_scale: float = knob(1.0, 0.05, 3.0, "rad/s that one unit of an action stands for")
    smoothing: float = knob(0.0, 0.0, 0.95, "share of the last executed action in the next one")
    velocity_scale: float = knob(1.0, 0.05, 1.0, "scale of every speed, of what actions ask for and of what is allowed")
    watchdog: float = knob(0.25, 0.02, 1.0, "s without a measurement, or without an action, until the arm is held")
    tolerance: float = knob(0.02, 0.001, 0.2, "m from the goal at which it counts as reached")


@dataclass(frozen=True)
class Learner:
    """A learner's, off-policy; those of the node `learner` itself."""

    learning_rate: float = knob(1e-3, 1e-7, 0.1, "step size of all optimisers, instead of a schedule")
    exploration_noise: float = knob(0.1, 0.0, 1.0, "standard deviation of the noise on actions")
    updates_per_step: int = knob(1, -1, 100, "gradient updates after each step; -1: as many as steps were made")
    real_share: float = knob(0.5, 0.0, 1.0, "share of real data in what is learnt from")


class Row(NamedTuple):
    """One knob as dynamic_reconfigure's parameter generator takes it: name, type, level, text, default, min, max."""

    name: str
    kind: str
    level: int
    doc: str
    default: float
    low: float
    high: float


def table(group: type) -> List[Row]:  # noqa: UP006
    """The knobs of a class, in its order."""
    kinds = {"float": "double", "int": "int"}
    return [Row(each.name, kinds[str(each.type)], 0, each.metadata["doc"], getattr(group, each.name),
                each.metadata["low"], each.metadata["high"]) for each in fields(group)]


def bounds(values: Any, **narrower: Tuple[float, float]) -> Bounds:  # noqa: UP006
    """(low, high) of each knob, never so narrow that the present value would be outside."""
    found = {row.name: narrower.get(row.name, (row.low, row.high)) for row in table(type(values))}
    return {name: (min(low, getattr(values, name)), max(high, getattr(values, name)))
            for name, (low, high) in found.items()}


def changed(values: T, changes: Mapping[str, Any], within: Bounds) -> T:
    """`values` with some knobs turned. Raises ValueError, naming all that is wrong, when one cannot be."""
    wrong = [f"there is no knob {name!r}, only {', '.join(within)}" for name in changes if name not in within]
    for name in within.keys() & changes.keys():
        (low, high), value = within[name], changes[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _inside(value, low, high):
            wrong.append(f"{name} must be {_between(low, high)}, not {value!r}; it stays at {getattr(values, name):g}")
    if wrong:
        raise ValueError("; ".join(sorted(wrong)))
    kinds = {each.name: int if str(each.type) == "int" else float for each in fields(type(values))}  # type: ignore[arg-type]
    return replace(values, **{name: kinds[name](value) for name, value in changes.items()})  # type: ignore[type-var]


def _inside(value: float, low: float, high: float) -> bool:
    """Not a number is inside of nothing."""
    return math.isfinite(value) and low <= value <= high


def _between(low: float, high: float) -> str:
    return f"{low:g}: it cannot be changed here" if low == high else f"a number from {low:g} to {high:g}"
