"""Whole episodes from the batches that a rollout sends: what breaks off is never learnt from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uniros_learner.training.episodes import Episode
from uniros_msgs.transitions import DONE, GOES_ON, Transitions, seconds


@dataclasses.dataclass(frozen=True)
class DomainEpisode(Episode):
    """An episode and where it took place. `step` counts the domain's own steps."""

    domain: str = ""
    policy: str = ""  # version that acted at its end
    late: int = 0  # action cycles that passed without an action, where time is real


@dataclasses.dataclass(frozen=True)
class Experience:
    """The T transitions of one whole episode."""

    batches: Sequence[Transitions]

    @property
    def length(self) -> int:
        return sum(batch.count for batch in self.batches)

    def rows(self) -> list[tuple[Any, Any, NDArray, float, bool, dict[str, Any]]]:
        """(observation, next observation, action, reward, terminated, info) of each step."""
        found = []
        for batch in self.batches:
            observations, infos, actions = batch.observations(), batch.infos(), batch.actions()
            found += [
                (_row(observations, t), _row(observations, t + 1), actions[t], float(batch.reward[t]),
                 bool(batch.terminated[t]), infos[t + 1])
                for t in range(batch.count)
            ]
        return found

    def last_info(self) -> Mapping[str, Any]:
        return self.batches[-1].infos()[-1]

    def periods(self) -> NDArray[np.float64]:
        """(T - 1,) s from each command to the next, as the server stamped them."""
        commanded = np.concatenate([seconds(batch.stamps["commanded"][1:]) for batch in self.batches])
        return np.diff(commanded)

    def episode(self, domain: str, step: int, when: float) -> DomainEpisode:
        """For the log. step: of the domain, this episode included; when: s since training began."""
        info, last = self.last_info(), self.batches[-1]
        success, distance = info.get("is_success"), info.get("distance")
        return DomainEpisode(
            step=step,
            seconds=round(when, 3),
            total_reward=float(sum(batch.reward.sum() for batch in self.batches)),
            length=self.length,
            success=None if success is None else bool(success),
            final_error=None if distance is None else float(distance),
            domain=domain,
            policy=last.policy,
            late=int(last.stamps["overruns"][-1]),
        )


class Assembly:
    """Puts the batches of one rollout after another together, as they come. `dropped` counts transitions that were not
    learnt from: of episodes that broke off, were left, or have a gap."""

    def __init__(self) -> None:
        self.dropped = 0
        self._parts: list[Transitions] = []

    def add(self, batch: Transitions) -> Experience | None:
        """The episode that this batch completes, if it does."""
        if self._parts and not _follows(batch, self._parts[-1]):
            self.drop()
        if not self._parts and batch.step != 1:
            self.dropped += batch.count
            return None
        self._parts.append(batch)
        if batch.end == GOES_ON:
            return None
        if batch.end != DONE:
            self.drop()
            return None
        whole, self._parts = Experience([part for part in self._parts if part.count]), []
        return whole

    def drop(self) -> None:
        """No more will come of the episode that has begun."""
        self.dropped += sum(part.count for part in self._parts)
        self._parts = []


def _follows(batch: Transitions, last: Transitions) -> bool:
    return batch.episode == last.episode and batch.step == last.step + last.count


def _row(observations: Any, t: int) -> Any:
    if isinstance(observations, dict):
        return {key: _row(part, t) for key, part in observations.items()}
    return observations[t]
