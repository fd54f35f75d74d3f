"""A quicker way with fewer corners, from one that only avoids what is in the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from uniros_env_server.planning.timing import duration
from uniros_env_server.robots.robot import Array

Passes = Callable[[Array, Array], bool]  # whether the straight way between two configurations may be taken
ATTEMPTS = 40  # at a shortcut between two random places


def shortened(corners: Sequence[Array], passes: Passes, bounds: Array, rng: np.random.Generator,
              stop: Callable[[], bool]) -> list[Array]:
    """Corners of a way between the same ends that takes no longer; `bounds` as in `timing.timed`."""
    best = _pruned(list(corners), passes)
    time = _time(best, bounds)
    for _ in range(ATTEMPTS):
        if len(best) == 2 or stop():
            break
        first, last = np.sort(rng.uniform(0, len(best) - 1, 2))
        one, other = _place(best, first), _place(best, last)
        shorter = [*best[: int(first) + 1], one, other, *best[int(last) + 1 :]]
        if _time(shorter, bounds) < time and passes(one, other):
            best, time = shorter, _time(shorter, bounds)
    return _pruned(best, passes)


def _pruned(corners: list[Array], passes: Passes) -> list[Array]:
    """Without the corners that can be passed by: from each, straight on to the last that is in sight."""
    kept, here = [corners[0]], 0
    while here < len(corners) - 1:
        further = range(len(corners) - 1, here + 1, -1)
        here = next((k for k in further if passes(corners[here], corners[k])), here + 1)
        kept.append(corners[here])
    return kept


def _place(corners: list[Array], where: float) -> Array:
    """(A,) rad at a corner's number, or in between."""
    before = min(int(where), len(corners) - 2)
    place: Array = corners[before] + (where - before) * (corners[before + 1] - corners[before])
    return place


def _time(corners: Sequence[Array], bounds: Array) -> float:
    return sum(duration(one, other, bounds) for one, other in pairwise(corners))
