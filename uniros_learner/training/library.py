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
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.run_folder import RunFolder
from uniros_learner.training.target import Target
from uniros_learner.training.terminal import Terminal

if TYPE_CHECKING:
    import gymnasium
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv

    from uniros_learner.training.episodes import Statistics
    from uniros_learner.training.joint.run import JointRun
    from uniros_learner.training.trainer import Trainer as Run


@dataclasses.dataclass(frozen=True)
class Result:
    """What training came to."""

    folder: RunFolder
    model: BaseAlgorithm
    end: str  # why it ended
    steps: int
    evaluation: Statistics | None  # of the finished policy without exploration; None when it was stopped
    domains: Mapping[str, Statistics]  # the same by domain, of a joint run; else empty
    summary: str  # the table that `rosrun uniros train` prints; empty when nothing has happened


class Trainer:
    """One run, as `rosrun uniros train` makes them: with a run folder, checkpoints and an evaluation.

    Settings with `joint.envs` make it a joint one, in all of these environments.
    """

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

        Raises InvalidConfig for settings that are unknown or cannot be, and for a joint run with `env` or `callbacks`.
        """
        self.config = _settings(config, changes)
        self._env, self._callbacks, self._stop, self._quiet = env, callbacks, stop, quiet
        self._run_dir, self._resumes = Path(run_dir) if run_dir else None, False
        if self._joint and (env is not None or callbacks):
            raise InvalidConfig("joint.envs: a joint run opens its environments itself, and its actors make no steps "
                                "of Stable-Baselines3's; expected neither env nor callbacks")

    @classmethod
    def resume(cls, run_dir: str | Path, changes: Sequence[str] = (), **others: Any) -> Trainer:
        """Go on with a run from its last checkpoint. changes: of its settings, as `steps=50_000`.

        others: as env, callbacks, stop, quiet above. Raises InvalidConfig when there is no such run.
        """
        folder = run_folder.existing(Path(run_dir))
        trainer = cls(configs.load(folder.config, changes), run_dir=run_dir, **others)
        trainer._resumes = True
        return trainer

    def train(self) -> Result:
        """Learn, judge, and leave everything in the run folder; raises what the environment raises."""
        folder, summary = self._folder(), ""
        with self._terminal() as terminal, self._run(folder, terminal) as run:
            try:
                run.run()
            finally:
                if run.steps:
                    summary = run.describe()
        return Result(folder, run.model, run.end.value, run.steps, *_judged(run), summary)

    @property
    def _joint(self) -> bool:
        return bool(self.config.joint.envs)

    def _folder(self) -> RunFolder:
        if self._resumes and self._run_dir:
            return run_folder.existing(self._run_dir)
        return run_folder.create(self._run_dir or run_folder.fresh(self.config.algorithm, Path("runs")))

    @contextlib.contextmanager
    def _run(self, folder: RunFolder, terminal: Terminal) -> Iterator[Run | JointRun]:
        from uniros_learner.training.checkpoint import Checkpoint
        from uniros_learner.training.joint.command import open_all
        from uniros_learner.training.joint.run import JointRun
        from uniros_learner.training.trainer import Trainer as Run

        checkpoint = Checkpoint(folder.checkpoint) if self._resumes else None
        if self._joint:
            envs = open_all([Target(each, self.config.env_args) for each in self.config.joint.envs])
            with contextlib.closing(JointRun(self.config, envs, folder, terminal, self._stop, checkpoint)) as run:
                yield run
        else:
            with self._environment() as env:
                yield Run(self.config, env, folder, terminal, self._stop, resume=checkpoint, callbacks=self._callbacks)

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


def _judged(run: Run | JointRun) -> tuple[Statistics | None, dict[str, Statistics]]:
    """Of all domains together, and of each."""
    from uniros_learner.training.episodes import Episode, summarise

    if not isinstance(run.evaluation, dict):
        return summarise(run.evaluation) if run.evaluation else None, {}
    together: list[Episode] = [episode for found in run.evaluation.values() for episode in found]
    domains = {domain.name: summarise(found) for domain, found in run.evaluation.items() if found}
    return summarise(together) if together else None, domains


def _settings(config: TrainingConfig | Mapping[str, Any] | str | Path, changes: Mapping[str, Any]) -> TrainingConfig:
    if isinstance(config, TrainingConfig):
        return dataclasses.replace(config, **changes)
    if isinstance(config, Mapping):
        return configs.of({**config, **changes})
    path, algorithm = configs.find(str(config))
    return configs.merged(path, changes, algorithm)
