"""The best policy of a run: the one that did best when it was judged without exploration."""

from __future__ import annotations

from stable_baselines3.common.base_class import BaseAlgorithm

from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.episodes import Statistics
from uniros_learner.training.policy_file import save_actor, save_policy
from uniros_learner.training.run_folder import RunFolder

Score = tuple[float, float]  # success rate, mean return


class Best:
    """Keeps its files."""

    def __init__(self, folder: RunFolder, config: TrainingConfig, score: Score | None = None):
        """score: of what the folder has already."""
        self.score = score
        self._folder, self._config = folder, config

    def offer(self, model: BaseAlgorithm, found: Statistics) -> None:
        """Keep the model's policy if it did better than the best so far, or as well after more training."""
        score = found.success_rate or 0.0, found.mean_return or 0.0
        if self.score is None or score[0] > self.score[0] or score >= self.score:
            self.score = score
            save_policy(self._folder.best, model, self._config)
            save_actor(self._folder.best_actor, model, self._config)
