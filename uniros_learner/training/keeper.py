"""When checkpoints are written: at the beginning of an episode, every so many steps and seconds, and at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import unwrap_vec_wrapper

from uniros_learner.training.checkpoint import Checkpoint, cut_episodes, write
from uniros_learner.training.config import CheckpointPlan
from uniros_learner.training.normalise import Normalise
from uniros_learner.training.seeding import begin_at, derive, present_episode

PATIENCE = 2.0  # times the steps between two checkpoints: so long an episode's end is waited for


class Keeper(BaseCallback):
    """Writes checkpoints of the model, and has it go on from one.

    A moment when all environments begin an episode costs nothing, and a run that goes on from there equals one that was
    never interrupted. Where such moments do not come by themselves, in batches and in algorithms whose rollouts end
    anywhere, all episodes are begun anew for a checkpoint that is due by steps. One that is due by the clock changes
    nothing there: who goes on from it begins other episodes.
    """

    def __init__(self, model: BaseAlgorithm, plan: CheckpointPlan, path: Path, seed: int,
                 about: Callable[[], dict[str, Any]]):
        """seed: of the run. about: what else must be known to go on, as JSON can hold it."""
        super().__init__()
        self.model = model
        self._plan, self._path, self._seed, self._about = plan, path, seed, about
        self._at_steps, self._at_time = 0, time.monotonic()  # of the last one
        self._begun = True  # whether all environments are at the beginning of an episode
        self._moment: Checkpoint | None = None  # to be gone on from

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Before `learn()`: put everything in place."""
        checkpoint.put_into(self.model)
        self._moment, self._at_steps = checkpoint, self.model.num_timesteps
        venv, episode = self.model.get_env(), checkpoint.about["episode"]
        assert venv is not None
        if episode:
            begin_at(venv, tuple(episode))
        else:
            cut_episodes(self.model)
            venv.seed(derive(self._seed, self.model.num_timesteps))

    def keep(self) -> None:
        """Write a checkpoint of how things stand. Raises OSError."""
        venv = self.model.get_env()
        assert venv is not None
        episode = present_episode(venv) if self._begun else None
        write(self._path, self.model, {**self._about(), "episode": episode})
        self._at_steps, self._at_time = self.model.num_timesteps, time.monotonic()

    def _on_rollout_start(self) -> None:
        if self._moment:
            self._moment.put_moment(self.model)
            self._moment = None
        elif self._due(self._plan.steps) and (self._begun or self._impatient()):
            if not self._begun or present_episode(self.training_env) is None:
                self._begin_anew()
            self.keep()
        elif self._late() and (self._begun or self.training_env.num_envs > 1):
            self.keep()

    def _on_step(self) -> bool:
        self._begun = bool(np.all(self.locals["dones"]))
        return True

    def _due(self, steps: float) -> bool:
        """Whether each environment has made so many steps since the last one."""
        return 0 < steps * self.model.n_envs <= self.model.num_timesteps - self._at_steps

    def _late(self) -> bool:
        return 0 < self._plan.seconds <= time.monotonic() - self._at_time

    def _impatient(self) -> bool:
        return self.training_env.num_envs > 1 or self._due(PATIENCE * self._plan.steps)

    def _begin_anew(self) -> None:
        """Other episodes in all environments, in the middle of `learn()`."""
        cut_episodes(self.model)
        model: Any = self.model
        self.training_env.seed(derive(self._seed, model.num_timesteps))
        model._last_obs = self.training_env.reset()
        model._last_episode_starts = np.ones(model.n_envs, dtype=bool)
        normalise = unwrap_vec_wrapper(self.training_env, Normalise)
        if normalise:
            model._last_original_obs = normalise.get_original_obs()
        if getattr(model, "action_noise", None):
            model.action_noise.reset()
        self._begun = True
