"""How near an arm's links come to the table and to each other, for batches of configurations."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import product

import numpy as np

from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.model import Array, Geometry, RobotModel

SLACK = 0.4  # how far covering spheres may stand out, as a share of a primitive's (half) thickness
CHUNK = 64  # poses looked at at once: more would leave the cache, and BLAS would wait for threads


def _in_chunks(measure: Callable[[CollisionModel, Array], Array]) -> Callable[[CollisionModel, Array], Array]:
    """The same function of many poses, worked out for `CHUNK` of them at a time."""

    @wraps(measure)
    def chunked(model: CollisionModel, poses: Array) -> Array:
        if len(poses) <= CHUNK:
            return measure(model, poses)
        return np.concatenate([measure(model, poses[at : at + CHUNK]) for at in range(0, len(poses), CHUNK)])

    return chunked


class CollisionModel:
    """The solid geometry of an arm, prepared for distances.

    Heights above the table are exact: a box is as low as its lowest corner, a capsule as its lower end. Distances
    between links are those of covering spheres, which never come out too large. The fingers count as if they stood
    everywhere between open and closed at once.
    """

    def __init__(self, model: RobotModel) -> None:
        self._kinematics = Kinematics(model)
        solid = [(name, _swept(geometry, name, model)) for name, link in model.links.items()
                 for geometry in link.geometry if geometry.solid]
        above = {name for name in (*model.near, *model.far) if any(joint.moves for joint in model.chain(name))}
        feet = [(name, *foot) for name, geometry in solid if name in above for foot in feet_of(geometry)]
        self._feet = _Points(feet, model)
        near = [(name, *ball) for name, geometry in solid if name in model.near for ball in cover(geometry)]
        far = [(name, *ball) for name, geometry in solid if name in model.far for ball in cover(geometry)]
        self._near, self._far = _Points(near, model), _Points(far, model)
        self._levers = _levers([self._feet, self._near, self._far], model)
        self._reach = np.array([[one + other if (a, b) in model.meeting else -np.inf for b, _, other in far]
                                for a, _, one in near])

    def travel(self, start: Array, end: Array) -> Array:
        """(M,) m, at least as far as any point of the arm moves on the way between configurations, (M, A) rad."""
        return np.abs(end - start) @ self._levers

    def poses(self, q: Array) -> Array:
        """(M, A + 2, 4, 4) poses (m) of the base, of what each joint moves, and of the tool. q: (M, A) rad."""
        return self._kinematics.bodies(q)

    @_in_chunks
    def height(self, poses: Array) -> Array:
        """(M,) m from the lowest point of any link that moves down to the table."""
        return self._feet.lowest(poses)

    @_in_chunks
    def gap(self, poses: Array) -> Array:
        """(M,) m between the two nearest links that may meet; negative where their covers overlap."""
        near, far = self._near.positions(poses), self._far.positions(poses)
        way = near[:, :, :, None] - far[:, :, None, :]
        way *= way
        distance = way[0]
        distance += way[1]
        distance += way[2]
        np.sqrt(distance, out=distance)
        distance -= self._reach
        return distance.reshape(len(poses), -1).min(axis=1)


def _levers(points: list[_Points], model: RobotModel) -> Array:
    """(A,) m, at least as far as any of the points ever gets from each joint's axis: the arm stretched out."""
    axes = np.array([model.joints[name].axis for name in model.arm])
    lengths = [float(np.linalg.norm(model.joints[name].origin)) for name in model.arm]
    levers = np.zeros(len(model.arm))
    for body, local, radius in ((b, x[:3], r) for group in points for b, x, r in
                                zip(group.body, group.local, group.radius, strict=True)):
        for joint in range(body):
            own = np.linalg.norm(np.cross(axes[joint], local)) if joint == body - 1 else np.linalg.norm(local)
            levers[joint] = max(levers[joint], sum(lengths[joint + 1 : body]) + own + radius)
    return levers


class _Points:
    """Points with radii, each fixed to one of the arm's bodies."""

    def __init__(self, points: list[tuple[str, Array, float]], model: RobotModel) -> None:
        homes = [_home(name, model) for name, _, _ in points]
        self.body = np.array([body for body, _ in homes])
        offsets = np.array([offset for _, offset in homes]) + [point for _, point, _ in points]
        self.local = np.concatenate([offsets, np.ones((len(points), 1))], axis=1)
        self.radius = np.array([radius for _, _, radius in points])
        spread = np.zeros((len(model.arm) + 2, 4, len(points)))  # all bodies' poses times this give all points at once
        spread[self.body, :, np.arange(len(points))] = self.local
        self._spread = spread.reshape(-1, len(points))

    def positions(self, poses: Array) -> Array:
        """(3, M, P) x, y and z (m)."""
        rows = poses.transpose(2, 0, 1, 3)[:3]
        return (rows.reshape(3 * len(poses), -1) @ self._spread).reshape(3, len(poses), -1)

    def lowest(self, poses: Array) -> Array:
        """(M,) m, the least height."""
        heights = poses[:, :, 2].reshape(len(poses), -1) @ self._spread
        heights -= self.radius
        return heights.min(axis=1)


def _home(link: str, model: RobotModel) -> tuple[int, Array]:
    """The body that carries a link (0 the base, then one per joint of the arm) and the link's offset in it (m)."""
    body = 0
    offset: Array = np.zeros(3)
    for joint in model.chain(link):
        offset = offset + joint.origin
        if joint.name in model.arm:
            body, offset = model.arm.index(joint.name) + 1, np.zeros(3)
    return body, offset


def _swept(geometry: Geometry, link: str, model: RobotModel) -> Geometry:
    """A box on a sliding finger, stretched over all places where the finger may be; anything else as it is."""
    for joint in model.chain(link):
        if joint.kind == "prismatic":
            axis, middle = np.array(joint.axis), (joint.lower + joint.upper) / 2
            size = np.array(geometry.size) + axis * (joint.upper - joint.lower)
            return Geometry("box", tuple(np.array(geometry.start) + axis * middle), size=tuple(size))
    return geometry


def feet_of(geometry: Geometry) -> list[tuple[Array, float]]:
    """Points and radii (m) one of which is the lowest of the primitive, however it is turned."""
    if geometry.kind == "capsule":
        return [(np.array(end), geometry.radius) for end in (geometry.start, geometry.end)]
    half = np.array(geometry.size) / 2
    return [(np.array(geometry.start) + half * signs, 0.0) for signs in product((-1, 1), repeat=3)]


def cover(geometry: Geometry) -> list[tuple[Array, float]]:
    """Centres and radii (m) of spheres that together hold all of a primitive."""
    if geometry.kind == "capsule":
        start, end, radius = np.array(geometry.start), np.array(geometry.end), geometry.radius
        spacing = 2 * radius * np.sqrt((1 + SLACK) ** 2 - 1)
        pieces = int(np.ceil(np.linalg.norm(end - start) / spacing))
        wide = float(np.hypot(radius, np.linalg.norm(end - start) / pieces / 2))
        return [(start + (end - start) * share, wide) for share in np.linspace(0, 1, pieces + 1)]
    half = np.array(geometry.size) / 2
    thin = half.min()
    side = thin * np.sqrt(((1 + SLACK) ** 2 - 1) / 2)  # of a quarter cell across the two wider directions
    cells = np.where(half > thin, np.ceil(half / side), 1).astype(int)
    radius = float(np.linalg.norm(half / cells))
    steps = [np.linspace(-1 + 1 / n, 1 - 1 / n, n) for n in cells]
    return [(np.array(geometry.start) + half * share, radius) for share in product(*steps)]
