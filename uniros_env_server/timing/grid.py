"""When action cycles end: a grid of absolute deadlines."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """How often things happen, checked once."""

    cycle_time: float = 0.1  # s, of an action cycle
    control_rate: float = 50.0  # Hz, of the control loop
    least_ramp: float = 0.0  # s, an action with less time left than this is too late for its cycle
    phase_lock: bool = True  # whether cycles end just when a new measurement has come

    def __post_init__(self) -> None:
        periods = self.cycle_time * self.control_rate
        if not 10.0 <= self.control_rate <= 100.0:
            raise ValueError(f"control_rate must be 10 to 100 Hz, not {self.control_rate}")
        if periods < 1 - 1e-6 or abs(periods - round(periods)) > 1e-6:
            raise ValueError(f"cycle_time must be a whole number of control periods of {1 / self.control_rate:g} s, "
                             f"not {self.cycle_time} s")
        if not 0.0 <= self.least_ramp <= self.cycle_time:
            raise ValueError(f"least_ramp must be 0 to {self.cycle_time} s, not {self.least_ramp}")


class Grid:
    """The absolute deadlines at which action cycles end, and how many of them passed without an action."""

    def __init__(self, rates: Rates) -> None:
        self.overruns = 0
        self._rates = rates
        self._origin: float | None = None  # s, monotonic
        self._last = 0  # number of the last cycle that had an action

    def retimed(self, rates: Rates) -> Grid:
        """A grid of other cycles, which the next action sets; the count goes on."""
        grid = Grid(rates)
        grid.overruns = self.overruns
        return grid

    @property
    def started(self) -> bool:
        """Whether there was an action yet."""
        return self._origin is not None

    def assign(self, now: float, later: float = 0.0) -> float:
        """The end (s, monotonic) of the cycle that an action arriving now belongs to.

        The first one sets the grid, and its own cycle is `later` (s) longer than the others.
        """
        if self._origin is None:
            self._origin = now + later
        cycle = self._rates.cycle_time
        number = math.floor((now - self._origin) / cycle) + 1
        if self._origin + number * cycle - now < self._rates.least_ramp:
            number += 1
        number = max(number, self._last + 1)
        self.overruns += number - self._last - 1
        self._last = number
        return self._origin + number * cycle
