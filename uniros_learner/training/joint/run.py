"""A joint run: trains one policy in several domains until it is good enough in all, judges it in each, and leaves
everything about it in a run folder."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from stable_baselines3.common.logger import configure

from uniros_learner.env import RosEnv
from uniros_learner.training import markdown
from uniros_learner.training.actor import actor_of
from uniros_learner.training.checkpoint import Checkpoint, write
from uniros_learner.training.config import TrainingConfig, dump
from uniros_learner.training.episodes import EpisodeLog, summarise
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.joint import plots, report
from uniros_learner.training.joint.domain import Domain
from uniros_learner.training.joint.exam import sit_in_all
from uniros_learner.training.joint.experience import DomainEpisode
from uniros_learner.training.joint.ledger import Ledger, record
from uniros_learner.training.joint.loop import End
from uniros_learner.training.joint.plots import Mark
from uniros_learner.training.joint.resume import go_on, what_it_takes
from uniros_learner.training.joint.setup import Setup, set_up
from uniros_learner.training.joint.view import View, shown
from uniros_learner.training.policy_file import save_actor, save_policy
from uniros_learner.training.provenance import collect
from uniros_learner.training.run_folder import RunFolder, replace
from uniros_learner.training.terminal import Terminal

RESULT = "result.json"  # in the run folder: what `report.figures` says


class JointRun:
    """One run in environments that become its own: `close()` closes them, and those that came back in their stead.

    stop: asked often whether the user wants an end. resume: a checkpoint of the same run to go on from.
    Raises InvalidConfig when the algorithm cannot learn in these environments together, or the checkpoint does not fit;
    they are closed then.
    """

    def __init__(self, config: TrainingConfig, envs: Sequence[RosEnv], folder: RunFolder, terminal: Terminal,
                 stop: Callable[[], bool] = lambda: False, resume: Checkpoint | None = None):
        self.config, self.folder = config, folder
        self.end, self.seconds = End.BROKEN, 0.0
        self.marks: list[Mark] = []
        self.evaluation: dict[Domain, list[DomainEpisode]] = {}
        self._terminal, self._stop = terminal, stop
        self._before = 0.0  # s of training, of a run that goes on
        self._setup: Setup = set_up(config, envs)
        self.domains, self.model = self._setup.domains, self._setup.model
        if resume:
            self._go_on_from(resume)
        self._kept = self.steps, time.monotonic()  # when, last
        replace(folder.config, dump(config))
        self.about = self._about()
        replace(folder.about, json.dumps(self.about, indent=2))
        self.model.set_logger(configure(str(folder.tensorboard), ["tensorboard"]))

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        try:
            self._before, self.marks = go_on(self._setup, checkpoint, self.folder.metrics)
        except InvalidConfig:
            self.close()
            raise

    def _about(self) -> dict[str, Any]:
        """What the run is made with, and in which environments."""
        seeds = {"run": self.config.seed, "goals": self.config.evaluation.seed}
        found = {domain.name: collect(domain.env, domain.env.description, seeds) for domain in self.domains}
        return {**found[self.domains[0].name],
                "environment": {name: each["environment"] for name, each in found.items()}}

    @property
    def steps(self) -> int:
        """That were learnt from, of all domains."""
        return self.model.num_timesteps

    @property
    def updates(self) -> int:
        return self.model._n_updates

    def run(self) -> None:
        """Train, and evaluate unless the user stopped it; `end` says why training ended."""
        try:
            self.train()
            if self.end is not End.STOPPED:
                self.evaluate()
        except KeyboardInterrupt:
            self.end = End.STOPPED
            raise

    def train(self) -> None:
        """Learn until the policy is good enough, steps or time are used up, or the user stops it; then save."""
        before = sorted((each for domain in self.domains for each in domain.episodes), key=lambda each: each.seconds)
        start = time.monotonic() - self._before
        try:
            with EpisodeLog(self.folder.metrics, DomainEpisode, before) as log, self._shown() as view:
                ledger = Ledger(self.config, self.domains, log, self.model.logger, self._before)
                keep = partial(self._keep_in_time, ledger)
                self.end = self._setup.loop.learn(ledger, self._stop, view.update, keep, self._on_exam(ledger))
        finally:
            self.seconds = time.monotonic() - start
            self.save()

    def _keep_in_time(self, ledger: Ledger) -> None:
        """Write a checkpoint when one is due."""
        plan, (steps, when) = self.config.checkpoints, self._kept
        by_steps = 0 < plan.steps * len(self.domains) <= self.steps - steps
        if by_steps or 0 < plan.seconds <= time.monotonic() - when:
            self._keep(ledger.seconds)

    def _keep(self, seconds: float) -> None:
        write(self.folder.checkpoint, self.model, what_it_takes(self._setup, seconds, self.marks))
        self._kept = self.steps, time.monotonic()

    @contextlib.contextmanager
    def _shown(self) -> Iterator[View]:
        view = View(self._terminal, self.domains, lambda: self.updates, self._setup.note, self._before)
        with shown(view):
            yield view

    def _on_exam(self, ledger: Ledger) -> Callable[[Mapping[Domain, Sequence[DomainEpisode] | None], bool], None]:
        def on_exam(results: Mapping[Domain, Sequence[DomainEpisode] | None], passed: bool) -> None:
            for domain, episodes in results.items():
                self._note("check", domain, episodes or [], ledger.seconds)
            found = ", ".join(f"{domain.name} {report.rate(episodes)}" for domain, episodes in results.items())
            self._terminal.say(f"check after {ledger.seconds:.0f} s: {found}; training "
                               + ("ends" if passed else "goes on"))

        return on_exam

    def evaluate(self) -> None:
        """Judge the policy in each domain, all at once, and keep the episodes in the run folder."""
        plan, policy = self.config.evaluation, actor_of(self.model, version="final")
        asked = dict.fromkeys(self.domains, plan.episodes)
        total = plan.episodes * len(asked)
        with self._terminal.progress("evaluating", f"{total} episodes", total) as display:

            def show(found: Mapping[Domain, Sequence[DomainEpisode]]) -> None:
                display.update(sum(map(len, found.values())), lambda: ", ".join(
                    f"{domain.name} {report.rate(episodes)}" for domain, episodes in found.items()))

            found = sit_in_all(asked, policy, plan.seed, self._stop, show)
        if self._stop():
            self.end = End.STOPPED
        with EpisodeLog(self.folder.evaluation, DomainEpisode) as log:
            for domain, episodes in found.items():
                self.evaluation[domain] = episodes or []
                for episode in episodes or []:
                    log.add(episode)
                self._note("eval", domain, episodes or [], self.seconds)
        self.model.logger.dump(self.steps)

    def _note(self, name: str, domain: Domain, episodes: Sequence[DomainEpisode], seconds: float) -> None:
        """Keep what a check or the evaluation found for the learning curve and TensorBoard."""
        result = summarise(episodes)
        if result.success_rate is not None:
            self.marks.append(Mark(domain.name, domain.made, seconds, result.success_rate))
        record(self.model.logger, f"{name}/{domain.name}", result)

    def save(self) -> None:
        """Write the policy, the model and a checkpoint as they are."""
        save_policy(self.folder.policy, self.model, self.config)
        save_actor(self.folder.actor, self.model, self.config)
        self.model.save(self.folder.model)
        self._keep(self.seconds)

    def describe(self, bags: Sequence[dict[str, Any]] = ()) -> str:
        """Draw the learning curves, write report and summary; returns the summary. bags: where transitions were
        recorded."""
        self.model.logger.close()
        plots.learning_curves(self.folder.curve, self.domains, self.marks, self.config)
        text = report.summary(self)
        replace(self.folder.summary, text)
        replace(self.folder.path / RESULT, json.dumps(report.figures(self), indent=2))
        ended = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        about = {**self.about, "ended": ended, "end": self.end.value, "checks": self.marks, "bags": list(bags)}
        replace(self.folder.about, json.dumps(about, indent=2))
        rows = [(name, *cells) for name, cells in report.results(self)]
        page = markdown.report(report.places(self), f"{self.end.value}; {report.outcome(self)}",
                               ("", *(domain.name for domain in self.domains)), rows, self.config, about, self.folder)
        replace(self.folder.report, page)
        return text

    def close(self) -> None:
        """Close the environments. Idempotent."""
        self._setup.close()

