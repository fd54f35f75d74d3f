"""A dead time between commands and the servos that follow them, counted in physics steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uniros_env_server.robots.robot import Array


@dataclass
class Ramp:
    """An even motion of the servos' set-points."""

    target: Array  # (N, nu) rad, m
    steps: int  # that it takes
    wait: int = 0  # steps until it begins


class Delay:
    """Commands on their way to the servos of N arms. With no dead time they are there at once.

    What the arms have been told to do is `told`: the set-points as they will be seen to move after the dead time.
    """

    def __init__(self) -> None:
        self.steps = 0  # of dead time, for commands from now on
        self._coming: deque[Ramp] = deque()
        self._start: Array = np.empty((0, 0))  # of the last ramp told
        self._last: Ramp | None = None  # told, `wait` counting down to its end

    def send(self, target: Array, steps: int, present: Array) -> bool:
        """Put a ramp on its way; False when it is to begin at once. present: the set-points now."""
        if not self.steps and not self._coming:
            self._last = None
            return False
        self._start = self.told(present)
        self._last = Ramp(target.copy(), steps, steps)
        before = self._coming[-1].wait if self._coming else 0
        self._coming.append(Ramp(target.copy(), steps, max(self.steps, before)))
        return True

    @property
    def idle(self) -> bool:
        """Whether there is no dead time, and nothing is late from when there was one."""
        return self._last is None and not self.steps

    def told(self, present: Array) -> Array:
        """(N, nu) rad, m: where the set-points have been told to be by now, `present` unless commands are late."""
        if self._last is None:
            return present
        share = 1.0 - self._last.wait / self._last.steps
        return self._last.target if share >= 1.0 else self._start + (self._last.target - self._start) * share

    def stretches(self, steps: int) -> Iterator[tuple[int, Ramp | None]]:
        """Let steps pass: pieces of them, each with the ramp that begins after it."""
        if self._last is not None:
            self._last.wait = max(0, self._last.wait - steps)
        while self._coming and self._coming[0].wait <= steps:
            due = self._coming.popleft()
            piece, steps = due.wait, steps - due.wait
            for ramp in self._coming:
                ramp.wait -= piece
            yield piece, due
        for ramp in self._coming:
            ramp.wait -= steps
        yield steps, None

    def put(self, rows: NDArray[np.intp] | range, target: Array) -> None:
        """Arms have been put at `target`, (len(rows), nu): what was on its way to them is void."""
        for ramp in (*self._coming, *([self._last] if self._last else [])):
            ramp.target[rows] = target
        if self._last is not None:
            self._start[rows] = target

    def clear(self) -> None:
        """Forget everything that is on its way."""
        self._coming.clear()
        self._last = None

    def rescale(self, share: float) -> None:
        """The physics steps are `share` times as long from now on."""
        for ramp in (*self._coming, *([self._last] if self._last else [])):
            ramp.steps, ramp.wait = max(1, round(ramp.steps / share)), round(ramp.wait / share)
