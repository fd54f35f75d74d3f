"""Noise on what the simulated arms measure: drawn when time passes, not when somebody looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from uniros_env_server.robots.robot import Array


class SensorNoise:
    """Normal errors of N arms' joint positions (rad) and velocities (rad/s); each arm has random numbers of its own."""

    def __init__(self, num: int, joints: slice) -> None:
        """joints: the columns of the arm's joints among those published."""
        self._joints = joints
        self._spread = np.zeros((2, num, 1))  # rad, rad/s
        self._error: Array = np.zeros((2, num, joints.stop - joints.start))
        self._streams: list[np.random.SeedSequence | None] = [None] * num
        self._generators: list[np.random.Generator | None] = [None] * num

    def turn(self, row: int, position: float, velocity: float) -> None:
        """Set the standard deviations of one arm (rad, rad/s)."""
        self._spread[:, row, 0] = position, velocity
        self._error[:, row] *= self._spread[:, row] > 0

    def begin(self, rows: Iterable[int], streams: Sequence[np.random.SeedSequence]) -> None:
        """Start the random numbers of arms anew."""
        for row, stream in zip(rows, streams, strict=True):
            self._streams[row], self._generators[row] = stream, None

    def draw(self, rows: Iterable[int]) -> None:
        """New errors for arms whose time has passed."""
        if not self._spread.any():
            return
        for row in rows:
            if self._spread[:, row].any():
                drawn = self._generator(row).standard_normal((2, self._error.shape[2]))
                self._error[:, row] = self._spread[:, row] * drawn

    def add(self, raw: Array) -> None:
        """Add the errors to (3, N, J) positions, velocities and efforts."""
        if self._spread.any():
            raw[:2, :, self._joints] += self._error

    def _generator(self, row: int) -> np.random.Generator:
        found = self._generators[row]
        if found is None:
            found = self._generators[row] = np.random.default_rng(self._streams[row])
        return found
