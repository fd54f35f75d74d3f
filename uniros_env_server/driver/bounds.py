"""What the set-point may do, whoever commands it: joint and servo limits, speed, and distance to the measurement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPEED_SLACK = 1.02  # paths keep the speed limit by themselves; this catches what they do not foresee


@dataclass(frozen=True)
class Bounds:
    """Limits of all axes, (J,) each."""

    lower: np.ndarray  # rad
    upper: np.ndarray  # rad
    speed: np.ndarray  # rad/s
    lead: float  # rad
    lag: float  # s, a moving servo is this far behind: the lead may be greater by this times the speed

    def reachable(self, target: np.ndarray, measured: np.ndarray | None, velocity: np.ndarray) -> np.ndarray:
        """The position nearest to `target` within the limits and the lead; `velocity` (rad/s) is the path's there."""
        position = np.clip(target, self.lower, self.upper)
        if measured is None:
            return position
        lead = self.lead + self.lag * np.abs(velocity)
        return np.clip(np.clip(position, measured - lead, measured + lead), self.lower, self.upper)

    def towards(self, setpoint: np.ndarray, target: np.ndarray, dt: float) -> np.ndarray:
        """Where the set-point may be after `dt` s on its way to `target`."""
        most = self.speed * SPEED_SLACK * dt
        return np.clip(setpoint + np.clip(target - setpoint, -most, most), self.lower, self.upper)
