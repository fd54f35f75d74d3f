"""What really happened to the arm: measured on the plant's side, not through the bus."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from uniros_env_server.emulation.distances import Distances
from uniros_env_server.emulation.plant import Plant
from uniros_env_server.robots.mjcf import TABLE, touching
from uniros_env_server.robots.model import Array


@dataclass(frozen=True, slots=True)
class Truth:
    """The plant now, and extremes since the last reset. Joints are keyed by name; rad and s, m and s for fingers."""

    seconds: float  # of plant time
    observed: int  # moments that the extremes are taken from
    position: dict[str, float]  # where the links are, play included
    velocity: dict[str, float]
    lowest: dict[str, float]  # least positions
    highest: dict[str, float]
    fastest: dict[str, float]  # greatest speeds, either way
    table: float  # m, least distance of a moving link to the table top now; negative when pressed into it
    table_least: float
    table_link: str  # the link that came so near
    links: float  # m, least distance between links that may meet, now
    links_least: float
    links_pair: tuple[str, str]


class Witness:
    """Keeps the extremes. `observe` is cheap; distances between links are looked at every `spacing`-th time."""

    def __init__(self, plant: Plant, spacing: int) -> None:
        self._plant, self._spacing = plant, spacing
        pairs = [tuple(map(plant.physics.geom, pair)) for pair in touching(plant.model)]
        self._feet = [int(other.id) for one, other in pairs if one.name == TABLE]
        self._meeting = [(int(one.id), int(other.id)) for one, other in pairs if one.name != TABLE]
        self._apart = Distances(plant.physics, self._meeting)
        self._box = np.array([plant.physics.geom_type[foot] == mujoco.mjtGeom.mjGEOM_BOX for foot in self._feet])
        self._size = plant.physics.geom_size[self._feet]
        self.reset()

    def reset(self) -> None:
        """Start anew from now."""
        self._observed = 0
        self._lowest = self._highest = self._plant.positions()
        self._fastest = np.abs(self._plant.speeds())
        self._table, self._links = self._distances()

    def observe(self) -> None:
        """Take in the plant as it stands."""
        self._observed += 1
        positions = self._plant.positions()
        self._lowest = np.minimum(self._lowest, positions)
        self._highest = np.maximum(self._highest, positions)
        self._fastest = np.maximum(self._fastest, np.abs(self._plant.speeds()))
        if self._observed % self._spacing == 0:
            table, links = self._distances()
            self._table, self._links = min(self._table, table), min(self._links, links)

    def truth(self) -> Truth:
        """The report."""
        table, links = self._distances()
        self._table, self._links = min(self._table, table), min(self._links, links)
        return Truth(self._plant.seconds, self._observed, self._named(self._plant.positions()),
                     self._named(self._plant.speeds()), self._named(self._lowest), self._named(self._highest),
                     self._named(self._fastest), table[0], self._table[0], self._link(self._table[1]), links[0],
                     self._links[0], (self._link(self._links[1]), self._link(self._links[2])))

    def _distances(self) -> tuple[tuple[float, int], tuple[float, int, int]]:
        """(m, geom) nearest to the table, (m, geom, geom) of the two nearest links."""
        world = self._plant.world
        mujoco.mj_kinematics(self._plant.physics, world)
        heights = world.geom_xpos[self._feet, 2] - self._reach(world.geom_xmat[self._feet, 6:9])
        lowest = int(np.argmin(heights))
        gaps = self._apart.measure(world)
        nearest = int(np.argmin(gaps))
        return (float(heights[lowest]), self._feet[lowest]), (float(gaps[nearest]), *self._meeting[nearest])

    def _reach(self, upright: Array) -> Array:
        """(F,) m that geoms reach below their centres; upright: (F, 3) bottom rows of their rotations."""
        boxes = np.abs(upright * self._size).sum(axis=1)
        capsules = np.abs(upright[:, 2]) * self._size[:, 1] + self._size[:, 0]
        reach: Array = np.where(self._box, boxes, capsules)
        return reach

    def _named(self, values: Array) -> dict[str, float]:
        return dict(zip(self._plant.joints, map(float, values), strict=True))

    def _link(self, geom: int) -> str:
        body = self._plant.physics.geom_bodyid[geom]
        return str(self._plant.physics.body(body).name)
