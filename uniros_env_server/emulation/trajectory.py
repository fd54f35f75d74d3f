"""The profile by which a servo goes from one goal to the next: step, rectangular, trapezoidal or triangular.

Source: ROBOTIS e-manual, "What is the Profile".
"""

from __future__ import annotations

import math


class Trajectory:
    """A point on its way to a goal, in ticks and seconds.

    No limit (0) on speed means a step, none on acceleration a jump to full speed.
    """

    def __init__(self, position: float) -> None:
        self.position = self.goal = position
        self.speed = 0.0
        self._top = self._acceleration = 0.0

    @property
    def going(self) -> bool:
        """Whether the goal has not been reached yet."""
        return self.position != self.goal

    def aim(self, goal: float, top: float, acceleration: float) -> None:
        """Go to `goal` with at most `top` ticks/s and `acceleration` ticks/s2."""
        self.goal, self._top, self._acceleration = goal, top, acceleration

    def aim_in(self, goal: float, seconds: float, ramp: float) -> None:
        """Go to `goal` within `seconds`, of which `ramp` is for acceleration and as much for deceleration."""
        ramp = min(ramp, seconds / 2)
        top = abs(goal - self.position) / (seconds - ramp) if seconds else 0.0
        self.aim(goal, top, top / ramp if ramp else 0.0)

    def stop(self, position: float) -> None:
        """Be at rest at a position."""
        self.position = self.goal = position
        self.speed = 0.0

    def step(self, seconds: float) -> float:
        """Where the point is after `seconds` more."""
        way = self.goal - self.position
        if not self._top:
            self.stop(self.goal)
        elif not self._acceleration:
            self._move(math.copysign(self._top, way), seconds)
        else:
            wish = math.copysign(min(self._top, math.sqrt(2 * self._acceleration * abs(way))), way)
            change = self._acceleration * seconds
            self._move(self.speed + max(-change, min(change, wish - self.speed)), seconds)
        return self.position

    def _move(self, speed: float, seconds: float) -> None:
        way = self.goal - self.position
        self.speed = speed
        if abs(way) <= abs(speed) * seconds and speed * way >= 0:
            self.stop(self.goal)
        else:
            self.position += speed * seconds
