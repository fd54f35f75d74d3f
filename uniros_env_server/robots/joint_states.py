"""What joint_states say: joints by name, each message judged by its values, times by our own clock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from uniros_env_server.robots.clock_map import ClockMap
from uniros_env_server.robots.model import Array, RobotModel

BEYOND = {"revolute": 0.15, "continuous": np.inf, "prismatic": 0.01}  # rad, m: a joint may be read this far outside
ALIKE = 10  # messages with the very same numbers: none of a moving arm's ever are


class Unsound(ValueError):
    """Raised when a message cannot be a measurement; its text says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sound measurement of the published joints, in the model's order. The arrays cannot be written to."""

    position: Array  # (J,) rad, m
    velocity: Array  # (J,) rad/s, m/s
    effort: Array  # (J,) Nm, N
    stamp: float  # s, monotonic, of the measurement
    wall: float  # s since the epoch, the same by our clock
    sent: float  # s, the stamp by the sender's clock
    arrived: float  # s, monotonic
    changed: float  # s, monotonic: since when no number has changed
    alike: int = 0  # messages since then with the same numbers


class Reader:
    """Turns messages into samples. Takes what Interbotix' driver, Gazebo and our own publish.

    Joints that do not matter may be missing: fingers and horn are worked out from one another.
    """

    def __init__(self, model: RobotModel) -> None:
        self._model = model
        lower, upper = model.limits(model.published)
        slack = np.array([BEYOND[model.joints[name].kind] for name in model.published])
        self._lower, self._upper = lower - slack, upper + slack
        self._finger, self._horn = model.published.index(model.finger), model.published.index("gripper")
        self._mirrors = [(model.published.index(name), joint.multiplier) for name, joint in model.joints.items()
                         if joint.mimics == model.finger]

    def read(self, message: Any, clock: ClockMap, before: Sample | None, arrived: float) -> Sample:
        """The sample in a message that arrived at `arrived` (s, monotonic). Raises Unsound."""
        names = list(message.name)
        position = self._column(names, message.position, "positions")
        self._complete(position)
        self._judge(position)
        stamp = message.header.stamp.to_sec()
        if before and stamp <= before.sent:
            clock.forget()  # if the sender's clock was set back, it must be learnt anew
            raise Unsound(f"their stamps do not advance: {stamp:.3f} s after {before.sent:.3f} s")
        moment = clock.moment(stamp, arrived)
        velocity = self._column(names, message.velocity, "velocities")
        if np.isnan(velocity).all():
            velocity = (position - before.position) / (moment - before.stamp) if before else np.zeros_like(position)
        effort = self._column(names, message.effort, "efforts")
        raw = np.nan_to_num(np.stack([position, velocity, effort]))
        raw.flags.writeable = False
        wall = time.time() - (time.monotonic() - moment)
        sample = Sample(raw[0], raw[1], raw[2], moment, wall, stamp, arrived, arrived)
        if before and all(map(np.array_equal, raw, (before.position, before.velocity, before.effort))):
            return replace(sample, changed=before.changed, alike=before.alike + 1)
        return sample

    def _column(self, names: Sequence[str], numbers: Sequence[float], what: str) -> Array:
        """(J,) numbers by joint name, NaN where there are none."""
        column = np.full(len(self._model.published), np.nan)
        if len(numbers) == 0 and what != "positions":
            return column
        if len(numbers) != len(names):
            raise Unsound(f"they name {len(names)} joints and hold {len(numbers)} {what}")
        known = dict(zip(names, numbers, strict=True))
        missing = [name for name in self._model.commanded if name not in known and name != self._model.finger]
        if missing:
            raise Unsound(f"they lack {', '.join(missing)}; they name {', '.join(names)}")
        for index, name in enumerate(self._model.published):
            if name in known:
                column[index] = known[name]
                if not np.isfinite(column[index]):
                    raise Unsound(f"their {what} are not finite: {name} {column[index]}")
        return column

    def _complete(self, position: Array) -> None:
        """Work out fingers and horn from one another where a driver leaves some out."""
        if np.isnan(position[self._finger]) and np.isfinite(position[self._horn]):
            position[self._finger] = self._model.linkage_opening(position[self._horn])
        for index, side in self._mirrors:
            if np.isnan(position[index]):
                position[index] = side * position[self._finger]
        if np.isnan(position[self._horn]) and position[self._finger] > 0:
            position[self._horn] = self._model.linkage_angle(position[self._finger])

    def _judge(self, position: Array) -> None:
        wrong = [f"{name} {value:.3f}" for name, value, low, high in zip(
            self._model.published, position, self._lower, self._upper, strict=True) if not low <= value <= high]
        if wrong:
            raise Unsound(f"they hold what no joint can be at: {', '.join(wrong)}")
