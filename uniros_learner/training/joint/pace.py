"""Who waits for whom: simulations for updates, updates for experience, arms for simulations.

A simulation makes thousands of steps in the time of some hundred updates. Left alone it would take the cores that
updates need, and fill the buffer with what a policy of long ago did.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence

from uniros_learner.training.joint.domain import Domain
from uniros_learner.training.joint.plan import JointPlan

AHEAD = 50  # steps by which simulations may be ahead of the updates
STILL_WAITS = 0.5  # s after which a simulation that has not asked again is taken to be down, or busy


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
        self._turns = itertools.count(1)
        self._last: dict[int, int] = {}  # turn of each simulation
        self._asked: dict[int, float] = {}  # s, monotonic, when a simulation that waits has asked last

    def go_on_from(self, domains: Sequence[Domain], updates: int, arms_may_move: bool) -> None:
        """Before anything happens: so much there has been."""
        self.steps = sum(domain.learnt for domain in domains)
        self.simulated = sum(domain.learnt for domain in domains if domain.lock_step)
        self.updates, self.arms_may_move = updates, arms_may_move

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

    def simulation_may_go_on(self, number: int) -> bool:
        """Whether a lock-step environment may make some more steps; those that ask take turns."""
        with self._changed:
            now = time.monotonic()
            self._asked[number] = now
            waiting = [other for other, when in self._asked.items() if now - when < STILL_WAITS]
            due = min(waiting, key=lambda other: self._last.get(other, 0))
            if due != number or self.simulated >= self._starts + AHEAD + self.updates / self._ratio():
                return False
            self._last[number] = next(self._turns)
            del self._asked[number]
            return True

    def updates_due(self) -> int:
        """Updates that may be made with the experience there is."""
        most = max(self._plan.most_updates_per_step, self._ratio())  # simulations wait for as many as that
        return max(0, int((self.steps - self._starts) * most) - self.updates)

    def wait(self, patience: float) -> None:
        """Until something has come, for `patience` (s) at most."""
        with self._changed:
            self._changed.wait(patience)
