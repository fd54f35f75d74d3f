"""The contract of a robot, and the immutable stamped snapshot it hands out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from uniros_env_server.robots.model import RobotModel

Array = NDArray[np.float64]


@cache
def columns(names: tuple[str, ...], wanted: tuple[str, ...]) -> slice | NDArray[np.intp]:
    """Where the joints wanted stand among names: a slice where they are neighbours, else an index array.

    Raises KeyError, naming what is missing, when a joint is not there.
    """
    missing = [name for name in wanted if name not in names]
    if missing:
        raise KeyError(f"joints {', '.join(missing)} are not among {', '.join(names)}")
    index = [names.index(name) for name in wanted]
    if index == list(range(index[0], index[0] + len(index))):
        return slice(index[0], index[0] + len(index))
    return np.array(index)


@dataclass(frozen=True, slots=True)
class RobotState:
    """What a robot measured at one moment, for a batch of N arms. The arrays cannot be written to."""

    names: tuple[str, ...]  # J joints, in the order of the arrays' columns
    position: Array  # (N, J) rad, m
    velocity: Array  # (N, J) rad/s, m/s
    effort: Array  # (N, J) Nm, N
    commanded: tuple[str, ...]  # C joints that take commands
    setpoint: Array  # (N, C) rad, m: where the commanded joints have been told to be at this moment
    stamp: float  # s, time.monotonic() of the measurement
    wall: float  # s since the epoch, the same moment for other machines

    def positions(self, names: tuple[str, ...]) -> Array:
        """(N, len(names)) positions (rad, m) of the joints named."""
        return self.position[:, columns(self.names, names)]

    def velocities(self, names: tuple[str, ...]) -> Array:
        """(N, len(names)) velocities (rad/s, m/s) of the joints named."""
        return self.velocity[:, columns(self.names, names)]

    def power(self, names: tuple[str, ...]) -> Array:
        """(N,) W that the joints named exchange with the arm, all counted positive; 0 where efforts are unknown."""
        chosen = columns(self.names, names)
        return np.abs(self.effort[:, chosen] * self.velocity[:, chosen]).sum(axis=1)

    def age(self) -> float:
        """Seconds since the measurement."""
        return time.monotonic() - self.stamp


class Robot(Protocol):
    """A batch of N arms of one model, behind a few verbs. Not thread-safe: one thread owns a robot."""

    model: RobotModel
    num: int  # N

    @property
    def clock_bound(self) -> float:
        """s, by how much ages may be understated because the clock that measurements are stamped with is not ours."""

    def state(self) -> RobotState:
        """What the robot measures now."""

    def command(self, q: Array, duration: float) -> None:
        """Move the set-point evenly from where it is to q, (N, C) rad and m, within `duration` seconds; then hold."""

    def hold(self) -> None:
        """Stop the set-point where it is now."""

    def reset(self, q: Array, rows: NDArray[np.intp] | None = None) -> None:
        """Bring the arms to the command q, (len(rows), C), and to rest there: those of `rows`, or all."""

    def advance(self, duration: float) -> None:
        """Let `duration` seconds pass: physics where there is a simulator, nothing where time passes by itself."""

    def settle(self) -> None:
        """Forget what was commanded: the set-point is where the arms are measured."""

    def trouble(self) -> str:
        """Why the arms cannot be driven on, for a person to read; empty when they can. Never waits."""

    def next_sample(self, after: float) -> float:
        """The first monotonic moment (s) from `after` on at which a new measurement will just have come."""

    def close(self) -> None:
        """Let go of everything held. The robot holds its last set-point."""
