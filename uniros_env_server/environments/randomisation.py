"""Randomised physics: knobs that each episode draws anew from ranges, with the seed that the environment was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from gymnasium.utils import seeding

from uniros_env_server.data import config_path
from uniros_env_server.robots.mujoco_models import SHARED
from uniros_msgs.knobs import Physics, bounds

FIXED = ("time_step", "real_time_factor")  # not of the arm, but of how it is simulated


@dataclass(frozen=True)
class Randomisation:
    """Even distributions of knobs of `Physics`."""

    ranges: Mapping[str, tuple[float, float]]  # low, high of each; in the order of `Physics`

    @classmethod
    def read(cls, source: Mapping[str, Any] | str | None, robot: str, num: int = 1) -> Randomisation:
        """From a mapping of knobs to [low, high], or to one number; or from a YAML file that holds such a mapping: a
        path, or the name of one of config/robots/ROBOT. num: for so many arms in one batch.

        Raises ValueError for what is no such thing, FileNotFoundError.
        """
        given = _load(source, robot) if isinstance(source, str) else source or {}
        if not isinstance(given, Mapping):
            raise ValueError(f"randomisation must be a mapping of knobs to [low, high], not {given!r}")
        kept = [*FIXED, *(SHARED if num > 1 else ())]
        within = {name: pair for name, pair in bounds(Physics()).items() if name not in kept}
        for name in given:
            if name not in within:
                reason = " separately for the arms of one batch" if name in SHARED and name not in FIXED else ""
                raise ValueError(f"{name!r} cannot be randomised{reason}; what can is {', '.join(within)}")
        return cls({name: _range(name, given[name], within[name]) for name in within if name in given})

    def draw(self, stream: np.random.SeedSequence) -> dict[str, float]:
        """Where the knobs stand in one episode."""
        generator = np.random.default_rng(stream)
        return {name: float(generator.uniform(low, high)) for name, (low, high) in self.ranges.items()}


class Streams:
    """Where the random numbers of episodes begin that are not goals: they depend on the row's seed and the episode's
    number since then, and on nothing else.
    """

    def __init__(self, num: int) -> None:
        self._seeds: list[int | None] = [None] * num
        self._episodes = [0] * num

    def seed(self, rows: Iterable[int], seeds: Sequence[int | None]) -> None:
        """Begin anew with the seeds of `rows`; None changes nothing. seeds: of all rows."""
        for row in rows:
            if seeds[row] is not None:
                self._seeds[row], self._episodes[row] = seeds[row], 0

    def next(self, row: int) -> tuple[np.random.SeedSequence, np.random.SeedSequence]:
        """Of the row's next episode: the stream of its physics, and that of its measurements' noise."""
        if self._seeds[row] is None:
            self._seeds[row] = seeding.np_random()[1]
        self._episodes[row] += 1
        physics, noise = np.random.SeedSequence(self._seeds[row], spawn_key=(self._episodes[row],)).spawn(2)
        return physics, noise


def _load(source: str, robot: str) -> Any:
    path = Path(source)
    if not path.is_file():
        path = config_path("robots", robot, f"{source.removesuffix('.yaml')}.yaml")
    return yaml.safe_load(path.read_text())


def _range(name: str, given: Any, within: tuple[float, float]) -> tuple[float, float]:
    pair = given if isinstance(given, (list, tuple, np.ndarray)) else (given, given)
    numbers = [each for each in pair if isinstance(each, (int, float)) and not isinstance(each, bool)]
    if len(pair) != 2 or len(numbers) != 2 or not within[0] <= numbers[0] <= numbers[1] <= within[1]:
        raise ValueError(f"{name} must be randomised between two numbers from {within[0]:g} to {within[1]:g}, given as "
                         f"[low, high], not {given!r}")
    return float(numbers[0]), float(numbers[1])
