"""Joint training under the eyes of a test: in a thread, stopped in any case, and its books checked."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Self

import numpy as np

from uniros_learner.env import RosEnv
from uniros_learner.training import config as configs
from uniros_learner.training.checkpoint import Checkpoint
from uniros_learner.training.joint.run import JointRun
from uniros_learner.training.run_folder import RunFolder, create
from uniros_learner.training.terminal import Terminal


class Training:
    """A run whose training goes on in a thread, from the folder's checkpoint if there is one.

    At the end of the block it is stopped, and has raised nothing.
    """

    def __init__(self, config: configs.TrainingConfig, envs: Sequence[RosEnv], folder: Path):
        self._said, self._ending, self._failed = StringIO(), threading.Event(), list[BaseException]()
        checkpoint = RunFolder(folder).checkpoint
        resume = Checkpoint(checkpoint) if checkpoint.exists() else None
        where = RunFolder(folder) if resume else create(folder)
        self.run = JointRun(config, envs, where, Terminal(self._said), self._ending.is_set, resume)
        self._thread = threading.Thread(target=self._train)

    @property
    def said(self) -> str:
        return self._said.getvalue()

    def stop(self) -> float:
        """Seconds that it takes."""
        start = time.monotonic()
        self._ending.set()
        self._thread.join(20.0)
        assert not self._thread.is_alive()
        return time.monotonic() - start

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.stop()
        finally:
            self.run.close()
        if self._failed and kind is None:
            raise self._failed[0]

    def _train(self) -> None:
        try:
            self.run.train()
        except BaseException as error:  # noqa: BLE001 - raised above
            self._failed.append(error)


def consistent(run: JointRun) -> None:
    """What was counted, logged, kept and updated with are the same transitions: those of whole episodes."""
    replay: Any = run.model.replay_buffer
    rows = list(csv.DictReader(run.folder.metrics.open()))
    for domain, part in zip(run.domains, replay.parts, strict=True):
        lengths = [int(row["length"]) for row in rows if row["domain"] == domain.name]
        assert len(lengths) == len(domain.episodes)
        assert sum(lengths) == domain.learnt == part.size()
        assert np.flatnonzero(part.dones[: part.size()]).tolist() == (np.cumsum(lengths) - 1).tolist()
        assert domain.made == domain.learnt + domain.dropped
    assert run.steps == sum(domain.learnt for domain in run.domains)


def grows(run: JointRun, number: int, by: int = 1) -> Callable[[], bool]:
    """Whether a domain has had so many more episodes than now."""
    domain = run.domains[number]
    before = len(domain.episodes)
    return lambda: len(domain.episodes) >= before + by
