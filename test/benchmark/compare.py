"""Comparisons: ours beside what one would otherwise use, in turns in one run, and how they are told."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import gymnasium
import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class Comparison:
    """One figure of ours and of something else."""

    what: str
    unit: str
    ours: float  # median over the rounds, as theirs
    than: str  # what theirs is
    theirs: float
    ratio: float  # ours over theirs: the median over the rounds, taken in each
    low: float  # the quarter of the rounds with the least ratio is below this
    high: float
    more: bool  # whether more is better

    @property
    def gain(self) -> tuple[float, float, float]:
        """How many times better ours is: (median, least, most) of the middle half of the rounds."""
        if self.more:
            return self.ratio, self.low, self.high
        return 1 / self.ratio, 1 / self.high, 1 / self.low


def compare(what: str, unit: str, ours: Sequence[float], than: str, theirs: Sequence[float], more: bool = True
            ) -> Comparison:
    """Of the figures of each round. Ratios are taken round by round: what slows a round down slows both."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, ratio, high = np.percentile(ratios, (25, 50, 75)).tolist()
    return Comparison(what, unit, statistics.median(ours), than, statistics.median(theirs), ratio, low, high, more)


def turns(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each side gives in each round; one round before them warms up. Every other round goes backwards."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            found[name].append(sides[name]())
    return {name: values[1:] for name, values in found.items()}


def steps_per_second(env: gymnasium.Env, actions: np.ndarray) -> float:
    """Of all `actions`, resets between episodes included."""
    env.reset()
    start = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return len(actions) / (time.perf_counter() - start)


def told(value: float) -> str:
    """Three digits, or all before the point."""
    digits = max(0, 2 - int(np.floor(np.log10(abs(value))))) if value else 0
    return f"{value:,.{digits}f}"


HEADINGS = ("figure", "better is", "uniros", "beside it", "theirs", "ratio", "middle half")


def cells(row: Comparison) -> tuple[str, ...]:
    """A line of the table, as HEADINGS name its columns."""
    return (row.what, "more" if row.more else "less", f"{told(row.ours)} {row.unit}", row.than,
            f"{told(row.theirs)} {row.unit}", f"{told(row.ratio)} x", f"{told(row.low)} to {told(row.high)}")


def show(rows: Iterable[Comparison]) -> None:
    """Print the table."""
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        left = "  ".join(cell.ljust(width) if place in (0, 1, 3) else cell.rjust(width)
                         for place, (cell, width) in enumerate(zip(line, widths, strict=True)))
        print(left, flush=True)
