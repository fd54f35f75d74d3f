"""The goals of a batch: each row draws its own, from a generator of its own, as a single environment does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import ArrayLike, NDArray

from uniros_env_server.robots.robot import Array
from uniros_env_server.tasks.task import Reachable, Task

GOALS_AHEAD = 32  # goals of a row that are drawn and checked at once, as `RobotTaskEnv` does


def row_seeds(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    """The seeds of all rows: s gives row i the seed s + i; a sequence has one for each."""
    seeds = [None if seed is None else seed + row for row in range(count)] if not isinstance(
        seed, Sequence) else list(seed)
    if len(seeds) != count:
        raise ValueError(f"expected one seed or {count} of them, got {len(seeds)}")
    return seeds


class RowGoals:
    """`current` holds the goals, (N, 3) m in the base frame; NaN before a row's first episode."""

    def __init__(self, count: int, task: Task, reachable: Reachable) -> None:
        self.current: Array = np.full((count, 3), np.nan)
        self._task, self._reachable = task, reachable
        self._generators: list[np.random.Generator | None] = [None] * count
        self._ahead: list[list[Array]] = [[] for _ in range(count)]  # of each row, last one next

    def seed(self, rows: NDArray[np.intp], seed: int | Sequence[int | None] | None) -> None:
        """Start the generators of rows anew: s gives row i the seed s + i; a sequence has one for each row of all."""
        seeds = row_seeds(seed, len(self._generators))
        for row in rows:
            if seeds[row] is not None:
                self._generators[row], _ = seeding.np_random(seeds[row])
                self._ahead[row] = []

    def renew(self, rows: NDArray[np.intp], given: ArrayLike | None = None) -> None:
        """New goals for rows: drawn, or given as (3,) or (N, 3) m. Raises ValueError for one that cannot be reached."""
        if given is not None:
            self.current[rows] = self._checked(given)[rows]
            return
        current = self.current.copy()  # who has the old array keeps it as it was
        for row in rows:
            current[row] = self._next(row)
        self.current = current

    def _next(self, row: int) -> Array:
        if not self._ahead[row]:
            generator = self._generators[row]
            if generator is None:
                generator, _ = seeding.np_random()
                self._generators[row] = generator
            self._ahead[row] = list(reversed(self._task.sample_goals(generator, GOALS_AHEAD, self._reachable)))
        return self._ahead[row].pop()

    def _checked(self, given: ArrayLike) -> Array:
        """(N, 3) m of the goals given, rounded to float32 as observations are."""
        goals = np.asarray(given, dtype=np.float32).astype(np.float64)
        count = len(self._generators)
        if goals.shape not in ((3,), (count, 3)) or not np.isfinite(goals).all() or not self._reachable(
                np.atleast_2d(goals)).all():
            raise ValueError(f"goals must be a point, or {count} points (m, base frame), that the arm reaches safely, "
                             f"not {given!r}")
        return np.broadcast_to(goals, (count, 3))
