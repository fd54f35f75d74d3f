"""Training from a script of one's own: `uniros.Trainer("reach", algorithm="sac").train()`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniros_learner.training import config as configs
from uniros_learner.training import run_folder
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.run_folder import RunFolder
from uniros_learner.training.target import Target
from uniros_learner.training.terminal import Terminal

if TYPE_CHECKING:
    import gymnasium
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv

    from uniros_learner.training.episodes import Statistics


@dataclasses.dataclass(frozen=True)
class Result:
    """What training came to."""

    folder: RunFolder
    model: BaseAlgorithm
    end: str  # why it ended
    steps: int
    evaluation: Statistics | None  # of the finished policy without exploration; None when it was stopped
    summary: str  # the table that `rosrun uniros train` prints


class Trainer:
    """One run, as `rosrun uniros train` makes them: with a run folder, checkpoints and an evaluation."""

    def __init__(
        self,
        config: TrainingConfig | Mapping[str, Any] | str | Path = "reach",
        *,
        env: gymnasium.Env | VecEnv | None = None,
        run_dir: str | Path | None = None,
        callbacks: Sequence[BaseCallback] = (),
        stop: Callable[[], bool] = lambda: False,
        quiet: bool = False,
        **changes: Any,
    ):
        """config: settings, a mapping of them as YAML has it, a YAML file, or the name of one in config/algorithms.
        changes: of them, whole settings by name: `steps=5000`, `hyperparameters={"gamma": 0.9}`.
        env: to learn in, instead of the one that the settings name; stays the caller's.
        run_dir: an empty or new folder; default runs/ALGORITHM-TIME. callbacks: of Stable-Baselines3, beside ours.
        stop: asked after every step whether to end. quiet: print nothing.

        Raises InvalidConfig for settings that are unknown or cannot be.
        """
        self.config = _settings(config, changes)
        self._env, self._callbacks, self._stop, self._quiet = env, callbacks, stop, quiet
        self._run_dir = Path(run_dir) if run_dir else None

    def train(self) -> Result:
        """Learn, judge, and leave everything in the run folder; raises what the environment raises."""
        from uniros_learner.training.episodes import summarise
        from uniros_learner.training.trainer import Trainer as Run

        folder = run_folder.create(self._run_dir or run_folder.fresh(self.config.algorithm, Path("runs")))
        with self._environment() as env, self._terminal() as terminal:
            run = Run(self.config, env, folder, terminal, self._stop, callbacks=self._callbacks)
            try:
                run.run()
            finally:
                summary = run.describe()
            judged = summarise(run.evaluation) if run.evaluation else None
        return Result(folder, run.model, run.end.value, run.steps, judged, summary)

    @contextlib.contextmanager
    def _environment(self) -> Iterator[gymnasium.Env | VecEnv]:
        if self._env is not None:
            yield self._env
            return
        config = self.config
        place = Target(env_id=config.env_id, env_args=config.env_args, num_envs=config.num_envs)
        with contextlib.closing(place.open()) as env:
            yield env

    @contextlib.contextmanager
    def _terminal(self) -> Iterator[Terminal]:
        if not self._quiet:
            yield Terminal()
            return
        with open(os.devnull, "w") as nowhere:
            yield Terminal(nowhere)


def _settings(config: TrainingConfig | Mapping[str, Any] | str | Path, changes: Mapping[str, Any]) -> TrainingConfig:
    if isinstance(config, TrainingConfig):
        return dataclasses.replace(config, **changes)
    if isinstance(config, Mapping):
        return configs.of({**config, **changes})
    path, algorithm = configs.find(str(config))
    return configs.merged(path, changes, algorithm)
