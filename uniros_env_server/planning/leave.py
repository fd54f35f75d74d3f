"""The way out of a place that is too near to something: in steps, each of which lessens no clearance that is short."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from uniros_env_server.planning.margins import Margins
from uniros_env_server.robots.robot import Array

STEP = 0.3  # rad, standard deviation of a step of each joint; halved where none of its size leads out
LEAST_STEP = 0.004  # rad
TRIES = 64  # steps that are drawn at once
LOOKS = 12  # of them, the most promising first, that are looked at closely


def leave(margins: Margins, q: Array, rng: np.random.Generator, stop: Callable[[], bool]) -> list[Array] | None:
    """Corners, (A,) rad each, from q to a configuration that keeps all margins; None when no way out was found."""
    corners = [q]
    if margins.keeps(q[None])[0]:
        return corners
    for rest in margins.rests:
        if margins.keeps(rest[None])[0] and margins.clear(q, rest):
            return [q, rest]
    step = STEP
    while not margins.keeps(corners[-1][None])[0]:
        if step < LEAST_STEP or stop():
            return None
        better = _better(margins, corners[-1], step, rng)
        if better is None:
            step /= 2
        else:
            corners.append(better)
            step = min(2 * step, STEP)
    return corners


def _better(margins: Margins, q: Array, step: float, rng: np.random.Generator) -> Array | None:
    """A configuration about a step away from q from which less is short of the margins, with a clear way there."""
    tries = np.clip(q + step * rng.normal(size=(TRIES, len(q))), margins.lower, margins.upper)
    gain = _shortage(margins, q[None])[0] - _shortage(margins, tries)
    for number in np.argsort(-gain, kind="stable")[:LOOKS]:
        if gain[number] > 0 and margins.clear(q, tries[number]):
            found: Array = tries[number]
            return found
    return None


def _shortage(margins: Margins, q: Array) -> Array:
    """(M,) how much (m, rad) configurations (M, A) are short of margins and beyond limits, in all."""
    beyond = np.abs(q - np.clip(q, margins.lower, margins.upper)).sum(axis=1)
    short: Array = beyond - np.minimum(margins.spare(q), 0.0).sum(axis=0)
    return short
