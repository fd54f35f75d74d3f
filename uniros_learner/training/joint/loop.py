"""What the two ways of learning in several domains have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from uniros_learner.training.joint.domain import Domain
from uniros_learner.training.joint.experience import DomainEpisode
from uniros_learner.training.joint.ledger import Ledger

OnExam = Callable[[Mapping[Domain, Sequence[DomainEpisode] | None], bool], None]
"""Told what a check found in each domain (None where it failed), and whether it was passed."""


class End(Enum):
    """Why training ended."""

    SOLVED = "solved early"
    STEPS = "all steps done"
    TIME = "out of time"
    STOPPED = "interrupted"
    BROKEN = "broken off by an error"


class Loop(Protocol):
    """Collects and learns."""

    def learn(self, ledger: Ledger, stop: Callable[[], bool], shown: Callable[[], None], rested: Callable[[], None],
              on_exam: OnExam) -> End:
        """Until the policy is good enough, time or steps are used up, or `stop()`. Leaves the environments free.

        shown: called often, to keep the display up to date. rested: called often, whenever model and replay buffer are
        as whole episodes left them, and may be kept. Raises what nothing can be done about.
        """

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs of it, as JSON can hold it."""

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """Before `learn`, when model and domains are as they were."""
