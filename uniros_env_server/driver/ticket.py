"""The promise of a motion: whoever asked for it can wait for its outcome."""

from __future__ import annotations

import enum
import threading

import numpy as np


class Outcome(enum.Enum):
    """How a motion ended."""

    ARRIVED = "arrived"
    REPLACED = "replaced by another command"
    STOPPED = "stopped"
    LEFT_PATH = "left its path"
    NOT_THERE = "did not reach its goal"


class Ticket:
    """A motion that somebody waits for. The control loop closes it once; any thread may wait.

    goal_tolerance, path_tolerance: (J,) rad, inf where anything will do. time_tolerance: s to settle at the goal.
    """

    def __init__(self, goal_tolerance: np.ndarray, time_tolerance: float, path_tolerance: np.ndarray | None = None):
        self.goal_tolerance = goal_tolerance
        self.time_tolerance = time_tolerance
        self.path_tolerance = path_tolerance
        self.outcome: Outcome | None = None
        self.text = ""
        self._done = threading.Event()

    def close(self, outcome: Outcome, text: str = "") -> None:
        """The first outcome counts."""
        if self.outcome is None:
            self.outcome, self.text = outcome, text or outcome.value
            self._done.set()

    def wait(self, timeout: float) -> bool:
        """Whether it has ended within `timeout` s."""
        return self._done.wait(timeout)
