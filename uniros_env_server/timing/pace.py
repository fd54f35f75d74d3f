"""How fast simulated time passes, beside the time of the world."""

from __future__ import annotations

import time


class Timeline:
    """The monotonic clock (s), or where a simulation's time goes faster or slower, that time."""

    def __init__(self) -> None:
        self.factor = 1.0  # simulated s per s
        self._since, self._origin = 0.0, 0.0  # s, monotonic and simulated, when that began

    def now(self) -> float:
        """s, that never jump."""
        return self._origin + (time.monotonic() - self._since) * self.factor

    def pace(self, factor: float) -> None:
        """From now on, at another rate."""
        now = time.monotonic()
        self._origin, self._since, self.factor = self._origin + (now - self._since) * self.factor, now, factor


class Pace:
    """Holds lock-step back to a multiple of real time, for who wants to watch."""

    def __init__(self) -> None:
        self.factor = 0.0  # simulated s per s; 0: as fast as it goes
        self._due = 0.0  # s, monotonic, when the cycle under way may end

    def begin(self) -> None:
        """A cycle begins; time that the learner took is not made up for."""
        self._due = max(self._due, time.monotonic()) if self.factor else 0.0

    def end(self, seconds: float) -> None:
        """Wait until so many simulated seconds may have passed since it began."""
        if self.factor:
            self._due += seconds / self.factor
            time.sleep(max(0.0, self._due - time.monotonic()))
