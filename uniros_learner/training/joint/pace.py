"""Who waits for whom: simulations for updates, updates for experience, arms for simulations.

A simulation makes thousands of steps in the time of some hundred updates. Left alone it would take the cores that
updates need, and fill the buffer with what a policy of long ago did.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from uniros_learner.training.joint.plan import JointPlan

AHEAD = 50  # steps by which a simulation may be ahead of the updates


class Pace:
    """Counts, and says who may go on. For any thread."""

    def __init__(self, plan: JointPlan, learning_starts: int, updates_per_step: Callable[[], float]):
        """learning_starts: steps, of all domains together, before the first update. updates_per_step: what simulations
        wait for, as it is now."""
        self._plan, self._starts, self._ratio = plan, learning_starts, updates_per_step
        self._changed = threading.Condition()
        self.steps = 0  # of whole episodes, of all domains
        self.simulated = 0  # of them in lock-step
        self.updates = 0
        self.arms_may_move = False  # whether the simulations' head start is over

    def note_steps(self, count: int, lock_step: bool) -> None:
        """A whole episode has come."""
        with self._changed:
            self.steps += count
            self.simulated += count * lock_step
            self._changed.notify_all()

    def note_updates(self, count: int) -> None:
        """The policy has been updated."""
        with self._changed:
            self.updates += count
            self._changed.notify_all()

    def simulation_may_go_on(self) -> bool:
        """Whether a lock-step environment may make some more steps."""
        return self.simulated < self._starts + AHEAD + self.updates / self._ratio()

    def updates_due(self) -> int:
        """Updates that may be made with the experience there is."""
        if self.steps < max(1, self._starts):
            return 0
        return max(0, int(self.steps * self._plan.most_updates_per_step) - self.updates)

    def wait(self, patience: float) -> None:
        """Until something has come, for `patience` (s) at most."""
        with self._changed:
            self._changed.wait(patience)
