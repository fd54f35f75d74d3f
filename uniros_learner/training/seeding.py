"""Every episode has a seed of its own, which the run's seed and the episode's number decide: training can go on from
the beginning of any episode as if nothing had happened.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv


def derive(seed: int, number: int) -> int:
    """A seed (31 bits) for part `number` of what `seed` decides."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)


class SeededEpisodes(gymnasium.Wrapper):
    """Resets with seed s begin a row of episodes: the first has the seed s itself, episode n then `derive(s, n)`."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.row: tuple[int, int] | None = None  # the seed and the number of the present episode
        self._next: tuple[int, int] | None = None  # what the next reset begins, whatever it is told

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As `gymnasium.Env.reset`; without a seed the next episode of the row."""
        if self._next is not None:
            self.row, self._next = self._next, None
        elif seed is not None:
            self.row = seed, 0
        elif self.row is not None:
            self.row = self.row[0], self.row[1] + 1
        return self.env.reset(seed=self._seed(), options=options)

    def rewind(self, seed: int, number: int) -> None:
        """Have the next reset begin episode `number` of the row of `seed`, with a seed or without."""
        self._next = seed, number

    def _seed(self) -> int | None:
        if self.row is None:
            return None
        seed, number = self.row
        return derive(seed, number) if number else seed


def present_episode(venv: VecEnv) -> tuple[int, int] | None:
    """Where in its row of episodes a single environment is; None for batches, which begin anew by themselves."""
    return venv.get_attr("row")[0] if isinstance(venv.unwrapped, DummyVecEnv) and venv.num_envs == 1 else None


def begin_at(venv: VecEnv, episode: tuple[int, int]) -> None:
    """Have the next reset begin that episode."""
    venv.env_method("rewind", *episode)
