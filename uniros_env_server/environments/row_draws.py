"""Randomised physics and sensor noise of a batch: each row draws its own, as a single environment does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uniros_env_server.environments.randomisation import Randomisation, Streams
from uniros_env_server.robots.mujoco import MujocoRobot


class RowDraws:
    """Turns the knobs of single rows when their episodes begin."""

    def __init__(self, robot: MujocoRobot, randomisation: Randomisation | None = None) -> None:
        self._robot = robot
        self._randomisation = randomisation or Randomisation({})
        self._streams = Streams(robot.num)

    def seed(self, rows: NDArray[np.intp], seeds: Sequence[int | None]) -> None:
        """See `Streams.seed`."""
        self._streams.seed(rows, seeds)

    def begin(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        """Draw for episodes that begin; returns what there is to add to the infos, in the form they have in a batch."""
        pairs = [self._streams.next(row) for row in rows]
        self._robot.begin_noise(rows, [noise for _, noise in pairs])
        if not self._randomisation.ranges:
            return {}
        mask = np.zeros(self._robot.num, dtype=bool)
        mask[rows] = True
        table: dict[str, Any] = {}
        for name in self._randomisation.ranges:
            table |= {name: np.zeros(len(mask)), f"_{name}": mask.copy()}
        for row, (physics, _) in zip(rows, pairs, strict=True):
            drawn = self._randomisation.draw(physics)
            self._robot.turn(drawn, np.array([row]))
            for name, value in drawn.items():
                table[name][row] = value
        return {"randomisation": table, "_randomisation": mask}
