"""When to be where on a way of straight pieces in joint space, within limits of speed, acceleration and jerk.

The arm rests at every corner: what is travelled is then exactly the way that was checked, while rounded corners would
leave it. With ways of few pieces that costs little, at 0.7 rad/s and 5 rad/s2 about a quarter of a second per corner.
Each piece is a motion from rest to rest with constant jerk by phases ("double S", Biagiotti and Melchiorri, Trajectory
Planning for Automatic Machines and Robots, 2008, section 3.4), all joints in proportion. Its phases are cubics, so
points at their ends with cubics between them are that very motion, not an approximation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from uniros_env_server.planning.trajectory import Trajectory
from uniros_env_server.robots.robot import Array

SHORTEST = 1e-9  # rad, a shorter piece of a way is none; s, a shorter phase of a motion is none
_JERKS = np.array([1.0, 0.0, -1.0, 0.0, -1.0, 0.0, 1.0])  # of the seven phases, in units of the limit


def timed(joints: tuple[str, ...], corners: Sequence[Array], bounds: Array) -> Trajectory:
    """The trajectory through corners, (A,) rad each, at rest in every one; bounds are (3, A): rad/s, rad/s2, rad/s3."""
    times: list[Array] = [np.zeros(1)]
    positions: list[Array] = [np.array([corners[0]])]
    velocities: list[Array] = [np.zeros((1, len(joints)))]
    for start, end in pairwise(corners):
        way = end - start
        if np.abs(way).max() < SHORTEST:
            continue
        lengths, jerk = _phases(way, bounds)
        ends, shares, rates = _along(lengths, jerk)
        times.append(times[-1][-1] + ends)
        positions.append(end - (1 - shares)[:, None] * way)  # the last one is the corner, to the bit
        velocities.append(rates[:, None] * way)
    return Trajectory(joints, np.concatenate(times), np.concatenate(positions), np.concatenate(velocities))


def duration(start: Array, end: Array, bounds: Array) -> float:
    """s that a straight motion takes from rest to rest."""
    way = end - start
    return 0.0 if np.abs(way).max() < SHORTEST else float(_phases(way, bounds)[0].sum())


def _phases(way: Array, bounds: Array) -> tuple[Array, float]:
    """The lengths (7,) s of the phases of a motion over `way`, and its jerk, in ways per s3."""
    speed, acceleration, jerk = (bounds / np.maximum(np.abs(way), SHORTEST)).min(axis=1)
    if speed * jerk >= acceleration**2:  # the acceleration's limit is reached on the way to full speed
        build, rise = acceleration / jerk, acceleration / jerk + speed / acceleration
    else:
        build = np.sqrt(speed / jerk)
        rise = 2 * build
    cruise = 1 / speed - rise
    if cruise < 0:  # too short a way for full speed
        cruise = 0.0
        if acceleration**3 <= jerk**2 / 2:
            build = acceleration / jerk
            rise = build / 2 + np.sqrt(build**2 / 4 + 1 / acceleration)
        else:
            build = np.cbrt(1 / (2 * jerk))
            rise = 2 * build
    return np.array([build, rise - 2 * build, build, cruise, build, rise - 2 * build, build]), float(jerk)


def _along(lengths: Array, jerk: float) -> tuple[Array, Array, Array]:
    """Ends of the phases (s from the start), the share of the way done there, and its rate (1/s)."""
    share = rate = acceleration = 0.0
    points = []
    for time, sign in zip(lengths, _JERKS, strict=True):
        share += time * (rate + time * (acceleration / 2 + time * sign * jerk / 6))
        rate += time * (acceleration + time * sign * jerk / 2)
        acceleration += time * sign * jerk
        points.append((share, rate))
    points[-1] = (1.0, 0.0)
    kept = lengths > SHORTEST
    kept[-1] = True
    shares, rates = np.array(points)[kept].T
    return np.cumsum(lengths)[kept], shares, rates
