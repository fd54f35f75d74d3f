"""What all domains have brought so far: kept in memory, in a CSV file and for TensorBoard, and judged."""

from __future__ import annotations

import time
from collections.abc import Sequence

from stable_baselines3.common.logger import Logger

from uniros_learner.multi_task_member import State
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.episodes import EpisodeLog, Statistics, summarise
from uniros_learner.training.joint.domain import Domain
from uniros_learner.training.joint.experience import DomainEpisode, Experience

LEAD = 10  # episodes of a simulation before it is asked how often it succeeds
LOG_PERIOD = 2.0  # s between two points in TensorBoard


class Ledger:
    """For the thread that learns."""

    def __init__(self, config: TrainingConfig, domains: Sequence[Domain], log: EpisodeLog, logger: Logger,
                 before: float = 0.0):
        """before: s of training, of a run that goes on."""
        self._start = time.monotonic() - before
        self._config, self._domains, self._log, self._logger = config, domains, log, logger
        self._due = 0.0  # s, monotonic

    @property
    def seconds(self) -> float:
        """Since training began."""
        return time.monotonic() - self._start

    def take(self, domain: Domain, experience: Experience) -> None:
        """Note a whole episode that is learnt from."""
        self.note(domain, experience.episode(domain.name, domain.learnt + experience.length, self.seconds))
        domain.time(experience)

    def note(self, domain: Domain, episode: DomainEpisode) -> None:
        domain.note(episode)
        self._log.add(episode)

    def convincing(self) -> bool:
        """Whether the last episodes of every domain succeed as often as early stopping asks for."""
        return bool(self._config.early_stop.window) and all(map(self._is_convincing, self._domains))

    def _is_convincing(self, domain: Domain) -> bool:
        window = self._config.early_stop.window if domain.lock_step else self._config.joint.window
        last = list(domain.recent)[-window:] if window else []
        return len(last) == window and (summarise(last).success_rate or 0.0) >= self._config.early_stop.success_rate

    def head_start_over(self) -> bool:
        """Whether simulations have come so far that arms may move: one succeeds often enough, or none is left."""
        simulated = [domain for domain in self._domains if domain.lock_step]
        there = [domain for domain in simulated if domain.member.state is State.UP]
        return not there or not self._config.joint.head_start or any(map(self._leads, there))

    def _leads(self, domain: Domain) -> bool:
        rate = domain.running().success_rate
        return len(domain.recent) >= LEAD and (rate is None or rate >= self._config.joint.head_start)

    def passed(self, domain: Domain, episodes: Sequence[DomainEpisode]) -> bool:
        """Whether a check of the policy, without exploration, came out well."""
        return (summarise(episodes).success_rate or 0.0) >= self._config.early_stop.check_success_rate

    def check_episodes(self, domain: Domain) -> int:
        """How many a check asks of a domain."""
        return self._config.early_stop.check_episodes if domain.lock_step else self._config.joint.check_episodes

    def log(self, step: int) -> None:
        """Put what there is into TensorBoard, from time to time. step: of all domains together."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LOG_PERIOD
        for domain in self._domains:
            record(self._logger, domain.name, domain.running())
            self._logger.record(f"{domain.name}/steps", domain.made)
        self._logger.dump(step)


def record(logger: Logger, name: str, found: Statistics) -> None:
    """Figures under a name."""
    for key in ("success_rate", "mean_return", "mean_length", "mean_error"):
        value = getattr(found, key)
        if value is not None:
            logger.record(f"{name}/{key}", value)
