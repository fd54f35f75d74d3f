"""Finished episodes: what is known of each, kept in memory and, line by line, in a CSV file."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np


@dataclasses.dataclass(frozen=True)
class Episode:
    """One finished episode. `success` and `final_error` are None where the environment does not tell."""

    step: int  # steps of all episodes so far, this one included
    seconds: float  # s on the wall clock since the first reset
    total_reward: float
    length: int  # steps
    success: bool | None  # info["is_success"] of the last step
    final_error: float | None  # m; info["distance"] of the last step

    @classmethod
    def from_info(cls, info: Mapping[str, Any], step: int, seconds: float) -> Episode:
        """From the last info of an episode under Stable-Baselines3's `Monitor`."""
        success, distance, monitor = info.get("is_success"), info.get("distance"), info["episode"]
        return cls(
            step=step,
            seconds=round(seconds, 3),
            total_reward=float(monitor["r"]),
            length=int(monitor["l"]),
            success=None if success is None else bool(success),
            final_error=None if distance is None else float(distance),
        )


@dataclasses.dataclass(frozen=True)
class Judged(Episode):
    """An episode of an evaluation."""

    duration: float | None  # s that the arm moved; None without a clock
    energy: float | None  # J that the joints exchanged with the arm; None where efforts are not measured
    refusals: int | None  # steps that the safety gate did not carry out; None where there is none


Kind = TypeVar("Kind", bound=Episode)
PARSERS: dict[str, Callable[[str], Any]] = {  # of what stands in the file, by the type of the field
    "int": int, "float": float, "str": str, "bool": lambda text: bool(int(text)),
}  # fmt: skip


class EpisodeLog:
    """A list of episodes that is also a file, complete up to the last episode at any moment. For use in a `with`."""

    def __init__(self, path: Path, kind: type[Episode] = Episode, before: Sequence[Episode] = ()):
        """kind: of the episodes, whose fields are the columns. before: those that the file begins with.

        Raises OSError when the file cannot be written.
        """
        self.episodes = list(before)
        self._file = path.open("w", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow([field.name for field in dataclasses.fields(kind)])
        for episode in self.episodes:
            self._write(episode)
        self._file.flush()

    def add(self, episode: Episode) -> None:
        self.episodes.append(episode)
        self._write(episode)
        self._file.flush()

    def _write(self, episode: Episode) -> None:
        success = None if episode.success is None else int(episode.success)
        self._writer.writerow(dataclasses.astuple(dataclasses.replace(episode, success=success)))  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def read(path: Path) -> list[Episode]:
    """The episodes in a file; a last line that was cut off is none. Empty without a file."""
    return read_as(Episode, path)


def read_as(kind: type[Kind], path: Path) -> list[Kind]:
    """`read`, with all that is known of a kind of episode."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    return [_episode(row, kind) for row in found if all(value is not None for value in row.values())]


def _episode(row: Mapping[str, str], kind: type[Kind]) -> Kind:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        plain, _, or_none = str(field.type).partition(" | ")
        values[field.name] = None if or_none and not row[field.name] else PARSERS[plain](row[field.name])
    return kind(**values)


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What a number of episodes comes to. None where nothing is known: no episode yet, or nothing told."""

    episodes: int
    success_rate: float | None
    mean_return: float | None
    mean_length: float | None  # steps
    mean_error: float | None  # m
    p95_error: float | None  # m, exceeded by one episode in twenty
    success_low: float | None = None  # the success rate's 95 % interval
    success_high: float | None = None
    time_to_goal: float | None = None  # s, mean of the episodes that succeed
    mean_energy: float | None = None  # J per episode
    refusals: float | None = None  # steps refused per episode


def summarise(episodes: Sequence[Episode]) -> Statistics:
    """Statistics of episodes that all come from one environment."""
    success = [episode.success for episode in episodes if episode.success is not None]
    errors = [episode.final_error for episode in episodes if episode.final_error is not None]
    judged = [episode for episode in episodes if isinstance(episode, Judged)]
    return Statistics(
        episodes=len(episodes),
        success_rate=float(np.mean(success)) if success else None,
        mean_return=float(np.mean([episode.total_reward for episode in episodes])) if episodes else None,
        mean_length=float(np.mean([episode.length for episode in episodes])) if episodes else None,
        mean_error=float(np.mean(errors)) if errors else None,
        p95_error=float(np.percentile(errors, 95)) if errors else None,
        success_low=wilson(sum(success), len(success))[0] if success else None,
        success_high=wilson(sum(success), len(success))[1] if success else None,
        time_to_goal=_mean([episode.duration for episode in judged if episode.success]),
        mean_energy=_mean([episode.energy for episode in judged]),
        refusals=_mean([episode.refusals for episode in judged]),
    )


def wilson(successes: int, count: int, deviations: float = 1.96) -> tuple[float, float]:
    """The interval (Wilson 1927) in which the true rate lies with 95 %, of so many successes in `count` attempts."""
    rate, weight = successes / count, deviations**2 / count
    middle = (rate + weight / 2) / (1 + weight)
    reach = deviations / (1 + weight) * math.sqrt(rate * (1 - rate) / count + weight / (4 * count))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
