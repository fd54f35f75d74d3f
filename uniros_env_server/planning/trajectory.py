"""A trajectory: where the joints of an arm are at which time, and how fast they move there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from uniros_env_server.robots.robot import Array


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Points in time with cubics between them, as joint_trajectory_controller joins points that have velocities.

    One point alone is an arm that stays. The arrays cannot be written to. Raises ValueError for shapes that do not fit,
    times that do not increase from 0, or numbers that are not finite.
    """

    joints: tuple[str, ...]  # A names, in the order of the columns
    times: Array  # (T,) s, from 0
    positions: Array  # (T, A) rad
    velocities: Array  # (T, A) rad/s

    def __post_init__(self) -> None:
        shape = (len(self.times), len(self.joints))
        if self.positions.shape != shape or self.velocities.shape != shape or not len(self.times):
            raise ValueError(f"positions and velocities of {len(self.joints)} joints at {len(self.times)} times must "
                             f"be of shape {shape}, not {self.positions.shape} and {self.velocities.shape}")
        if not all(np.isfinite(array).all() for array in self._arrays()):
            raise ValueError("times, positions and velocities must be finite")
        if self.times[0] != 0 or (np.diff(self.times) <= 0).any():
            raise ValueError(f"times must increase from 0, not {self.times.tolist()}")
        for array in self._arrays():
            array.flags.writeable = False

    @property
    def duration(self) -> float:
        """s from start to end."""
        return float(self.times[-1])

    def at(self, time: ArrayLike) -> tuple[Array, Array]:
        """Positions (rad) and velocities (rad/s), (A,) each, at a time (s); (K, A) each at K times.

        Before the start and after the end the arm rests there.
        """
        asked = np.asarray(time, dtype=float)
        if len(self.times) == 1:
            return np.broadcast_to(self.positions[0], (*asked.shape, len(self.joints))), np.zeros(
                (*asked.shape, len(self.joints)))
        k = np.clip(np.searchsorted(self.times, asked, "right") - 1, 0, len(self.times) - 2)
        length = (self.times[k + 1] - self.times[k])[..., None]
        s = np.clip((asked - self.times[k])[..., None] / length, 0.0, 1.0)
        p, rise = self.positions[k], self.positions[k + 1] - self.positions[k]
        v, w = self.velocities[k] * length, self.velocities[k + 1] * length
        bend, twist = 3 * rise - 2 * v - w, v + w - 2 * rise
        rests = ((asked < 0) | (asked > self.duration))[..., None]
        velocity = (v + s * (2 * bend + s * 3 * twist)) / length
        return p + s * (v + s * (bend + s * twist)), np.where(rests, 0.0, velocity)

    def slower(self, factor: float) -> Trajectory:
        """The same way, taking `factor` times as long."""
        return Trajectory(self.joints, self.times * factor, self.positions, self.velocities / factor)

    def _arrays(self) -> Iterator[Array]:
        yield from (self.times, self.positions, self.velocities)
