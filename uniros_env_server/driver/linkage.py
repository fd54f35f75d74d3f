"""The gripper's linkage: a horn on the servo drives a rod to each finger, which slides on a rail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Linkage:
    """Between the horn's angle (rad) and a finger's distance from the middle (m): slider and crank."""

    horn: float  # m, r
    arm: float  # m, L

    def opening(self, angle: Any) -> np.ndarray:
        """Distance (m) of each finger from the middle: r sin a + sqrt(L^2 - (r cos a)^2)."""
        angle = np.asarray(angle)
        return self.horn * np.sin(angle) + np.sqrt(self.arm**2 - (self.horn * np.cos(angle)) ** 2)

    def angle(self, opening: Any) -> np.ndarray:
        """The horn's angle (rad) at a finger's distance (m); distances out of reach count as the nearest in reach."""
        reach = np.clip(opening, self.arm - self.horn, self.arm + self.horn)
        cosine = (self.horn**2 + reach**2 - self.arm**2) / (2 * self.horn * reach)
        return math.pi / 2 - np.arccos(np.clip(cosine, -1.0, 1.0))

    def rate(self, angle: Any) -> np.ndarray:
        """How far a finger moves for each radian of the horn (m/rad)."""
        angle = np.asarray(angle)
        across = self.horn * np.cos(angle)
        return across + across * self.horn * np.sin(angle) / np.sqrt(self.arm**2 - across**2)
