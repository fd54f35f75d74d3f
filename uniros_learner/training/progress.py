"""How far a training is, as a message: the same for one environment and for several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from uniros_learner.training.callbacks import SHOWN_EPISODES
from uniros_learner.training.episodes import Episode, summarise
from uniros_learner.training.joint.domain import names
from uniros_msgs.msg import TrainingProgress

if TYPE_CHECKING:
    from uniros_learner.training.joint.run import JointRun
    from uniros_learner.training.trainer import Trainer

TRAINING, EVALUATING = "training", "evaluating"  # states before the end


def of_trainer(trainer: Trainer) -> TrainingProgress:
    """Of a run in one environment, or in a batch. May be called from any thread."""
    last = trainer.config.early_stop.window or SHOWN_EPISODES
    found = _common(trainer, trainer.episodes[-last:])
    found.episodes = len(trainer.episodes)
    found.env_ids = [trainer.config.env_id]
    found.domains = names(found.env_ids)
    found.domain_steps, found.domain_episodes = [found.steps], [found.episodes]
    found.domain_success = [found.success_rate]
    return found


def of_joint(run: JointRun) -> TrainingProgress:
    """Of a run in several environments. May be called from any thread."""
    last = max(run.config.early_stop.window, run.config.joint.window) or SHOWN_EPISODES
    found = _common(run, [episode for domain in run.domains for episode in domain.episodes[-last:]])
    found.episodes = sum(len(domain.episodes) for domain in run.domains)
    found.policy_version = max(domain.policy for domain in run.domains)
    for domain in run.domains:
        found.env_ids.append(domain.env_id)
        found.domains.append(domain.name)
        found.domain_steps.append(domain.made)
        found.domain_episodes.append(len(domain.episodes))
        found.domain_success.append(_or_nan(summarise(domain.episodes[-last:]).success_rate))
    return found


def _common(run: Trainer | JointRun, last: Sequence[Episode]) -> TrainingProgress:
    """last: the episodes that the running figures are taken from."""
    now = summarise(last)
    size, capacity = _buffer(run.model)
    return TrainingProgress(
        algorithm=run.config.algorithm, run_folder=str(run.folder.path), state=EVALUATING if run.seconds else TRAINING,
        steps=run.steps, total_steps=run.config.steps, updates=run.updates, success_rate=_or_nan(now.success_rate),
        mean_return=_or_nan(now.mean_return), buffer_size=size, buffer_capacity=capacity)


def _buffer(model: Any) -> tuple[int, int]:
    """(transitions held, transitions that fit) in what an off-policy algorithm learns from."""
    replay = getattr(model, "replay_buffer", None)
    parts = getattr(replay, "parts", [replay] if replay is not None else [])
    return sum(part.size() * part.n_envs for part in parts), sum(part.buffer_size * part.n_envs for part in parts)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
