"""Trains a policy in an environment until it is good enough, and leaves everything about it in a run folder."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import Any

import gymnasium
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecEnv

from uniros_learner.env import RosEnv
from uniros_learner.training import markdown, plots, report
from uniros_learner.training.algorithms import build
from uniros_learner.training.best import Best
from uniros_learner.training.callbacks import Record, Show, Until
from uniros_learner.training.checkpoint import Checkpoint, cut_episodes
from uniros_learner.training.config import TrainingConfig, dump
from uniros_learner.training.environments import description_of, vectorise
from uniros_learner.training.episodes import Episode, EpisodeLog, Judged, Statistics, read, summarise
from uniros_learner.training.evaluation import evaluate, evaluate_shown
from uniros_learner.training.idle import training_while_waiting
from uniros_learner.training.keeper import Keeper
from uniros_learner.training.loops import Loop, StepLoop
from uniros_learner.training.plots import Mark
from uniros_learner.training.policy_file import save_actor, save_policy
from uniros_learner.training.provenance import collect
from uniros_learner.training.run_folder import RunFolder, replace
from uniros_learner.training.seeding import derive
from uniros_learner.training.terminal import Terminal
from uniros_learner.vector import RosVectorEnv
from uniros_msgs.errors import ConnectionFailed


class End(Enum):
    """Why training ended."""

    SOLVED = "solved early"
    STEPS = "all steps done"
    STOPPED = "interrupted"
    BROKEN = "broken off by an error"


class Stopped(Exception):
    """Raised inside an evaluation when the user wants an end."""


class Trainer:
    """One run. `env` stays the caller's, who closes it.

    stop: asked after every step whether the user wants an end. loop: how it learns, unless in plain steps.
    resume: a checkpoint of the same run to go on from. callbacks: of your own, as Stable-Baselines3 has them.
    Raises InvalidConfig when the algorithm cannot act in `env`, or the checkpoint does not fit.
    """

    def __init__(
        self,
        config: TrainingConfig,
        env: gymnasium.Env | VecEnv,
        folder: RunFolder,
        terminal: Terminal,
        stop: Callable[[], bool] = lambda: False,
        loop: Loop | None = None,
        resume: Checkpoint | None = None,
        callbacks: Sequence[BaseCallback] = (),
    ):
        self.config, self.folder = config, folder
        self.end, self.seconds, self.marks = End.BROKEN, 0.0, list[Mark]()
        self.episodes: list[Episode] = []
        self.evaluation: list[Judged] = []
        self._env, self._terminal, self._stop, self._loop = env, terminal, stop, loop or StepLoop()
        self._venv = vectorise(env, config)
        self.model = build(config, self._venv)
        self._recent = deque[Episode]()
        self._keeper = Keeper(self.model, config.checkpoints, folder.checkpoint, config.seed, self._about)
        self._callbacks, self._best = list(callbacks), Best(folder, config)
        self._resumed = self._go_on_from(resume) if resume else None
        replace(folder.config, dump(config))
        self.about = collect(self._venv, description_of(env), {"run": config.seed, "goals": config.evaluation.seed})
        replace(folder.about, json.dumps(self.about, indent=2))
        self.model.set_logger(configure(str(folder.tensorboard), ["tensorboard"]))

    def _about(self) -> dict[str, Any]:
        """What a checkpoint needs to know beside the model; `_go_on_from` takes it."""
        return {"seconds": time.monotonic() - self._start, "marks": self.marks, "recent": len(self._recent),
                "best": self._best.score}

    def _go_on_from(self, checkpoint: Checkpoint) -> dict[str, Any]:
        self._keeper.go_on_from(checkpoint)
        self.marks = [Mark(*each) for each in checkpoint.about["marks"]]
        score = checkpoint.about["best"]
        self._best.score = (score[0], score[1]) if score else None
        return checkpoint.about

    @property
    def steps(self) -> int:
        return self.model.num_timesteps

    @property
    def updates(self) -> int:
        return getattr(self.model, "_n_updates", 0)

    def run(self) -> None:
        """Train, and evaluate unless the user stopped it; `end` says why training ended.

        What the environment raises passes through, except when it ends because the user ends everything.
        """
        try:
            self.train()
            if self.end is not End.STOPPED:
                self.evaluate()
        except Stopped:
            self.end = End.STOPPED
        except KeyboardInterrupt:
            self.end = End.STOPPED
            raise
        except ConnectionFailed:
            if not self._stop():
                raise
            self.end = End.STOPPED

    def train(self) -> None:
        """Learn until the policy is good enough, the steps are used up, or the user stops it; then save, in any case.

        Raises Stopped, and what the environment raises.
        """
        before = self._resumed or {"seconds": 0.0, "recent": 0}
        self._start = time.monotonic() - before["seconds"]
        total = self.config.steps
        try:
            with (
                EpisodeLog(self.folder.metrics, before=self._before()) as log,
                self._terminal.progress("training", f"at most {total:,} steps", total) as display,
            ):
                self.episodes = log.episodes
                record = Record(log, self.config.early_stop, self._start, before["recent"])
                self._recent = record.recent
                self.end = self._learn(record, Show(display, record.recent))
        finally:
            self.seconds = time.monotonic() - self._start
            self.save()

    def _before(self) -> list[Episode]:
        """The episodes of a run that goes on."""
        return [each for each in read(self.folder.metrics) if each.step <= self.steps] if self._resumed else []

    def _learn(self, record: Record, show: Show) -> End:
        until = Until(self._stop, lambda: record.convincing() or self._check_due())
        while self.steps < self.config.steps:
            first = self.steps == 0
            callbacks = [record, show, until, self._keeper, *self._callbacks]
            with self._beside():
                self._loop.learn(self.model, self.config.steps - self.steps, callbacks, first)
            if self._stop():
                return End.STOPPED
            convinced = record.convincing()
            if convinced or self._check_due():
                if self._check() and convinced:
                    return End.SOLVED
                record.recent.clear()
                self._begin_anew()
        return End.STEPS

    def _beside(self) -> AbstractContextManager[object]:
        """Updates while steps are under way, where time passes by itself."""
        most = self.config.updates_while_waiting
        if most == 0 or not isinstance(self._env, (RosEnv, RosVectorEnv)):
            return nullcontext()
        return training_while_waiting(self.model, self._env, None if most < 0 else most)

    def _check_due(self) -> bool:
        every, last = self.config.evaluation.every, self.marks[-1].step if self.marks else 0
        return 0 < every <= self.steps - last

    def _check(self) -> bool:
        """Whether the policy also succeeds without exploration."""
        plan = self.config.early_stop
        seed = self.config.evaluation.seed + 1 + len(self.marks)
        episodes = evaluate(self.model, self._venv, plan.check_episodes, seed, self._heed_stop)
        rate = self._note("check", episodes).success_rate or 0.0
        passed = rate >= plan.check_success_rate
        self._terminal.say(
            f"check after {self.steps:,} steps: {rate:.0%} of {len(episodes)} fresh goals reached, training "
            + ("ends" if passed else "goes on")
        )
        return passed

    def _begin_anew(self) -> None:
        """After others used the environment: start an episode, on goals that no evaluation has seen."""
        cut_episodes(self.model)
        self._venv.seed(derive(self.config.seed, self.steps))
        self.model._last_obs = None

    def evaluate(self) -> None:
        """Judge the policy as the config plans it, and keep the episodes in the run folder. Raises Stopped."""
        with EpisodeLog(self.folder.evaluation, Judged) as log:

            def on_episode(episode: Judged) -> None:
                log.add(episode)
                self._heed_stop(episode)

            plan = self.config.evaluation
            self.evaluation = evaluate_shown(self.model, self._venv, plan, self._terminal, on_episode)
        self._note("eval", self.evaluation)

    def _heed_stop(self, episode: Episode) -> None:
        if self._stop():
            raise Stopped

    def _note(self, name: str, episodes: Sequence[Episode]) -> Statistics:
        """Keep what an evaluation found for the learning curve and TensorBoard."""
        result = summarise(episodes)
        self._best.offer(self.model, result)
        if result.success_rate is not None:
            self.marks.append(Mark(self.steps, time.monotonic() - self._start, result.success_rate))
        for key, value in dataclasses.asdict(result).items():
            if value is not None:
                self.model.logger.record(f"{name}/{key}", value)
        self.model.logger.dump(self.steps)
        return result

    def save(self) -> None:
        """Write the policy, the model and a checkpoint as they are."""
        save_policy(self.folder.policy, self.model, self.config)
        reason = save_actor(self.folder.actor, self.model, self.config)
        if reason:
            self._terminal.say(f"no actor.safetensors: {reason}")
        self.model.save(self.folder.model)
        self._keeper.keep()

    def describe(self, bags: Sequence[dict[str, Any]] = ()) -> str:
        """Draw the pictures, write report and summary; returns the summary. bags: where transitions were recorded."""
        self.model.logger.close()
        plots.learning_curve(self.folder.curve, self.episodes, self.marks, self.config)
        if self.evaluation:
            plots.judged(self.folder.judged, self.evaluation, self.config)
        ended = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        about = {**self.about, "ended": ended, "end": self.end.value, "checks": self.marks, "bags": list(bags)}
        replace(self.folder.about, json.dumps(about, indent=2))
        outcome, rows = f"{self.end.value} after {self.steps:,} steps", report.result_rows(self)
        page = markdown.report(self.config.env_id, outcome, ("", "result"), rows, self.config, about, self.folder)
        replace(self.folder.report, page)
        text = report.summary(self)
        replace(self.folder.summary, text)
        return text
