"""What can be wrong with an arm that somebody else measures, seen from its measurements and its set-point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uniros_env_server.robots.joint_states import ALIKE, Sample
from uniros_env_server.robots.model import Array, RobotModel

SEEN_MOVING = 0.04  # rad, a set-point that has gone this far has moved the arm, or nobody measures


@dataclass(frozen=True)
class Patience:
    """How long what may be wrong. What is beyond is a fault."""

    age: float = 0.25  # s, of the newest sound measurement
    behind: float = 0.25  # rad, a joint this far from its set-point ...
    behind_for: float = 0.5  # s, ... for so long is blocked
    appear: float = 15.0  # s, for the driver to appear


class Vigil:
    """Looks in every turn of the loop; each answer is a sentence, empty when all is well."""

    def __init__(self, model: RobotModel, patience: Patience) -> None:
        self._model, self._patience = model, patience
        self._columns = [model.published.index(name) for name in model.arm]
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: the set-point was put where the arm is."""
        self._behind_since: float | None = None  # s, monotonic
        self._changed = -1.0  # s, monotonic: when the numbers last changed ...
        self._then: Array = np.zeros(len(self._columns))  # rad, ... and where the set-point was

    def frozen(self, sample: Sample, setpoint: Array, now: float) -> str:
        """The very same numbers again and again, with fresh stamps, while the arm was told to move."""
        if sample.changed != self._changed:
            self._changed, self._then = sample.changed, setpoint
        if sample.alike < ALIKE or np.abs(setpoint - self._then).max() < SEEN_MOVING:
            return ""
        return (f"joint_states hold the very same numbers for {now - sample.changed:.2f} s while the arm was told to "
                "move: either nobody measures them, or it is blocked")

    def blocked(self, sample: Sample, setpoint: Array, now: float) -> str:
        """A joint that does not get where it is told to be."""
        behind = np.abs(setpoint - sample.position[self._columns])
        worst = int(behind.argmax())
        if behind[worst] <= self._patience.behind:
            self._behind_since = None
            return ""
        if self._behind_since is None:
            self._behind_since = now
        if now - self._behind_since < self._patience.behind_for:
            return ""
        return (f"{self._model.arm[worst]} is {behind[worst]:.2f} rad from its set-point: is it blocked, or did "
                "somebody else move it?")
