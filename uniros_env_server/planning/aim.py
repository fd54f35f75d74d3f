"""Configurations that bring the tool to a pose: several, because an arm has more than one way to get there."""

from __future__ import annotations

import numpy as np

from uniros_env_server.planning.margins import Margins
from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.robot import Array
from uniros_msgs.errors import NoPath

SEEDS = 64  # random configurations that inverse kinematics starts from, besides the start and the named poses
ALIKE = 0.05  # rad, solutions that differ by less in every joint are one
MOST = 8  # solutions that are tried
POSITION = 1e-3  # m, that the tool may be away from the pose asked for
TURN = 0.02  # rad, that it may be turned away from it
ITERATIONS = 100
DAMPING = 0.02
LARGEST_STEP = 0.5  # rad


def aims(kinematics: Kinematics, margins: Margins, start: Array, position: Array, orientation: Array | None,
         rng: np.random.Generator) -> list[Array]:
    """Configurations (A,) rad that keep all margins and bring the tool to a position (3,) m, the nearest one first.

    With an orientation, a quaternion x, y, z, w of the tool in the base frame, only those that turn the tool so. Raises
    NoPath when there are none.
    """
    within = margins.lower, margins.upper
    seeds = np.vstack([np.clip([start, *margins.rests], *within), rng.uniform(*within, (SEEDS, len(start)))])
    target = np.tile(position, (len(seeds), 1))
    solution = kinematics.ik(target, seeds, margin=margins.limit_margin)
    found, left = solution.q[solution.success], float(solution.error.min())
    if not len(found):
        raise NoPath(f"no joint positions bring the tool to {_text(position)}: {1000 * left:.0f} mm are left at best. "
                     "Choose a position within the arm's reach")
    if orientation is not None:
        found = _turned(kinematics, margins, found, position, orientation)
    kept = found[margins.keeps(found)]
    if not len(kept):
        nearest = found[np.argmax(margins.spare(found).min(axis=0))]
        raise NoPath(f"the tool cannot rest at {_text(position)}: {margins.trouble(nearest)}. Choose a pose further "
                     "away from it")
    return _different(kept[np.argsort(np.abs(kept - start).max(axis=1), kind="stable")])


def _turned(kinematics: Kinematics, margins: Margins, q: Array, position: Array, orientation: Array) -> Array:
    """Those of configurations (M, A) that come to the pose by damped least squares over position and turn."""
    wanted = _matrix(orientation)
    damping = DAMPING**2 * np.eye(q.shape[1])
    for _ in range(ITERATIONS):
        error, _ = _error(kinematics.fk(q), position, wanted)
        jacobian = kinematics.jacobian(q)
        turned = jacobian.transpose(0, 2, 1)
        step = np.linalg.solve(turned @ jacobian + damping, turned @ error[:, :, None])[:, :, 0]
        q = np.clip(q + np.clip(step, -LARGEST_STEP, LARGEST_STEP), margins.lower, margins.upper)
    error, turn = _error(kinematics.fk(q), position, wanted)
    away = np.linalg.norm(error[:, :3], axis=1)
    there = (away <= POSITION) & (turn <= TURN)
    if not there.any():
        best = np.argmin(away + turn)
        raise NoPath(f"an arm with {len(margins.lower)} joints does not bring the tool to {_text(position)} turned "
                     f"like that: {1000 * away[best]:.0f} mm and {turn[best]:.2f} rad are left at best. Choose another "
                     "orientation, or leave it out")
    found: Array = q[there]
    return found


def _error(poses: Array, position: Array, wanted: Array) -> tuple[Array, Array]:
    """(M, 6) m and rad from tool poses (M, 4, 4) to the pose wanted, the turn as angle times axis; and that angle (M,).

    Turned by exactly half a circle no axis is known: the angle tells of it all the same.
    """
    left = wanted @ poses[:, :3, :3].transpose(0, 2, 1)
    odd = left - left.transpose(0, 2, 1)
    axis = odd[:, [2, 0, 1], [1, 2, 0]]
    sine, cosine = np.linalg.norm(axis, axis=1) / 2, (np.trace(left, axis1=1, axis2=2) - 1) / 2
    angle = np.arctan2(sine, cosine)
    return np.hstack([position - poses[:, :3, 3], axis * (angle / np.maximum(2 * sine, 1e-9))[:, None]]), angle


def _matrix(quaternion: Array) -> Array:
    """(3, 3) rotation of a quaternion x, y, z, w."""
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: Array = np.eye(3) + 2 * w * cross + 2 * cross @ cross
    return turn


def _different(q: Array) -> list[Array]:
    """The first few of configurations (M, A) that are not alike."""
    kept: list[Array] = []
    for one in q:
        if len(kept) < MOST and all(np.abs(one - other).max() >= ALIKE for other in kept):
            kept.append(one)
    return kept


def _text(position: Array) -> str:
    return "({:.3f}, {:.3f}, {:.3f}) m".format(*position)
