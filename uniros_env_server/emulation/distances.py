"""How far solid links are apart, exactly: MuJoCo's own distance between boxes is 0 at times when they are far apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import mujoco
import numpy as np
from numpy.typing import NDArray

from uniros_env_server.robots.model import Array

_CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))
_EDGES = np.array([(one, other) for one in range(8) for other in range(one) if (one ^ other).bit_count() == 1])


class Distances:
    """Distances between pairs of geoms, boxes or capsules, all at once.

    Two that do not overlap are nearest between two edges, or between a corner and a face. Overlapping ones come out
    negative or near 0.
    """

    def __init__(self, physics: mujoco.MjModel, pairs: list[tuple[int, int]]) -> None:
        parts = {geom: _part(physics, geom) for geom in sorted({geom for pair in pairs for geom in pair})}
        counts = [len(part.corners) for part in parts.values()]
        first = dict(zip(parts, np.cumsum([0, *counts])))  # each geom's first corner among all
        self._owner = np.repeat(list(parts), counts)
        self._corners = np.concatenate([part.corners for part in parts.values()])
        self._radii = np.array([parts[one].radius + parts[other].radius for one, other in pairs])
        edges = [(number, *(first[one] + mine), *(first[other] + theirs)) for number, (one, other) in enumerate(pairs)
                 for mine, theirs in product(parts[one].edges, parts[other].edges)]
        self._edge_pair, *self._edge_ends = np.array(edges).T
        faces = [(number, first[point] + corner, box) for number, pair in enumerate(pairs)
                 for point, box in (pair, pair[::-1]) if _is_box(physics, box)
                 for corner in range(len(parts[point].corners))]
        self._face_pair, self._face_corner, self._box = np.array(faces, dtype=int).reshape(-1, 3).T
        self._half = physics.geom_size[self._box]

    def measure(self, world: mujoco.MjData) -> Array:
        """(pairs,) m."""
        turns, places = world.geom_xmat.reshape(-1, 3, 3), world.geom_xpos
        corners = np.einsum("pij,pj->pi", turns[self._owner], self._corners) + places[self._owner]
        gaps = np.full(len(self._radii), np.inf)
        np.minimum.at(gaps, self._edge_pair, _between(*(corners[ends] for ends in self._edge_ends)))
        local = np.einsum("pji,pj->pi", turns[self._box], corners[self._face_corner] - places[self._box])
        outside = np.linalg.norm(np.maximum(np.abs(local) - self._half, 0.0), axis=1)
        np.minimum.at(gaps, self._face_pair, outside)
        result: Array = gaps - self._radii
        return result


@dataclass(frozen=True)
class _Part:
    """A geom as edges with a radius around them."""

    corners: Array  # (P, 3) m, in the geom's frame
    edges: NDArray[np.intp]  # (E, 2) numbers of corners
    radius: float  # m


def _part(physics: mujoco.MjModel, geom: int) -> _Part:
    size = physics.geom_size[geom]
    if _is_box(physics, geom):
        return _Part(_CORNERS * size, _EDGES, 0.0)
    return _Part(np.array([[0.0, 0.0, -size[1]], [0.0, 0.0, size[1]]]), np.array([[0, 1]]), float(size[0]))


def _is_box(physics: mujoco.MjModel, geom: int) -> bool:
    return bool(physics.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX)


def _between(a: Array, b: Array, c: Array, d: Array) -> Array:
    """(N,) m between the segments ab and cd, all (N, 3) (Ericson, Real-Time Collision Detection, 5.1.9)."""
    one, other, gap = b - a, d - c, a - c
    aa, bb, ab = _dot(one, one), _dot(other, other), _dot(one, other)
    ag, bg = _dot(one, gap), _dot(other, gap)
    spread = aa * bb - ab * ab
    s = np.clip(np.divide(ab * bg - ag * bb, spread, out=np.zeros_like(aa), where=spread > 1e-12), 0.0, 1.0)
    t = np.clip((ab * s + bg) / bb, 0.0, 1.0)
    s = np.clip((ab * t - ag) / aa, 0.0, 1.0)
    distance: Array = np.linalg.norm(gap + s[:, None] * one - t[:, None] * other, axis=1)
    return distance


def _dot(a: Array, b: Array) -> Array:
    product: Array = (a * b).sum(axis=1)
    return product
