"""Whether an arm's way from one configuration to another stays clear, for batches of ways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uniros_env_server.robots.model import Array, RobotModel
from uniros_env_server.safety.collision import CollisionModel
from uniros_env_server.tasks.task import Workspace

Flags = NDArray[np.bool_]

PIECES = 4  # of a way, for heights and workspace: an action moves no link more than 2 mm off the straight between two
FINE_PIECES = 12  # of a way on which links come near to each other
ROUNDING = 1e-9  # m
_SHARES = {pieces: np.arange(pieces + 1)[:, None] / pieces for pieces in (PIECES, FINE_PIECES)}


@dataclass(frozen=True, slots=True)
class Needs:
    """The clearance (m) that ways from each of S starts must keep, (S, 1) each."""

    table: Array
    links: Array
    workspace: Array


class PathClearance:
    """Judges ways, straight in joint space, by samples along them.

    A piece of a way is clear when it keeps the clearance needed, or when it does not lessen the clearance there is: an
    arm that already stands too near may move away.
    """

    def __init__(self, model: RobotModel) -> None:
        self._collision = CollisionModel(model)

    def at(self, q: Array, workspace: Workspace | None) -> tuple[Array, Array, Array]:
        """Clearance (m) of configurations q, (M, A) rad: from the table, between links, within the workspace."""
        poses = self._collision.poses(q)
        return self._collision.height(poses), self._collision.gap(poses), _inside(poses, workspace)

    def judge(self, starts: Array, end: Array, needs: Needs, workspace: Workspace | None) -> Flags:
        """(3, S, N) whether ways from S starts, (S, N, A), to one end, (N, A) rad, keep clear.

        The first axis tells of what: of the table, of other links, of the workspace's faces.
        """
        count = starts.shape[:2]
        poses = self._collision.poses(_samples(starts, end, PIECES).reshape(-1, end.shape[1]))
        height = self._collision.height(poses).reshape(*count, PIECES + 1)
        inside = _inside(poses, workspace).reshape(*count, PIECES + 1)
        ends = poses.reshape(*count, PIECES + 1, *poses.shape[1:])[0, :, ::PIECES]
        apart = self._far_apart(starts, end, ends, needs.links)
        near = ~apart.all(axis=0)
        if near.any():  # few of a large batch are
            apart[:, near] |= self._keep_apart(starts[:, near], end[near], needs.links)
        above = _clear(height[..., 1:] >= needs.table[..., None], height)
        return np.stack([above, apart, _clear(inside[..., 1:] >= needs.workspace[..., None], inside)])

    def _far_apart(self, starts: Array, end: Array, poses: Array, need: Array) -> Flags:
        """(S, N) whether the links are so far apart at both ends of the first ways that nothing can happen between."""
        first, last = self._collision.gap(poses.reshape(-1, *poses.shape[2:])).reshape(-1, 2).T
        first = first - self._collision.travel(starts[0], starts)
        return first + last - self._collision.travel(starts, end) >= 2 * need

    def _keep_apart(self, starts: Array, end: Array, need: Array) -> Flags:
        """(S, N) the same, looked at closely."""
        q = _samples(starts, end, FINE_PIECES)
        gap = self._collision.gap(self._collision.poses(q.reshape(-1, end.shape[1]))).reshape(q.shape[:3])
        lowest = gap[..., 1:] + gap[..., :-1] - self._collision.travel(q[..., 1:, :], q[..., :-1, :])
        return _clear(lowest >= 2 * need[..., None], gap)


def _samples(starts: Array, end: Array, pieces: int) -> Array:
    """(S, N, pieces + 1, A) rad, evenly along the ways."""
    return starts[:, :, None] + (end - starts)[:, :, None] * _SHARES[pieces]


def _clear(enough: Flags, clearance: Array) -> Flags:
    """(S, N) whether all pieces of the ways have clearance enough, (S, N, pieces), or lose none, (S, N, samples)."""
    if enough.all():
        return enough[..., 0]
    clear: Flags = np.logical_and.reduce(enough | (clearance[..., 1:] >= clearance[..., :-1] - ROUNDING), axis=2)
    return clear


def _inside(poses: Array, workspace: Workspace | None) -> Array:
    """(M,) m from the tool to the nearest face of the workspace, negative outside."""
    tool = poses[:, -1, :3, 3]
    if workspace is None:
        return np.full(len(tool), np.inf)
    return np.minimum(tool - workspace.low, workspace.high - tool).min(axis=1)
