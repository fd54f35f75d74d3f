"""A run is a folder: what lies where in it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from uniros_learner.training.fields import InvalidConfig


@dataclass(frozen=True)
class RunFolder:
    """The names of a run's files; what each is for is in `CONTENTS`."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def policy(self) -> Path:
        return self.path / "policy.safetensors"

    @property
    def model(self) -> Path:
        return self.path / "model.zip"

    @property
    def actor(self) -> Path:
        return self.path / "actor.safetensors"

    @property
    def best(self) -> Path:
        return self.path / "best.safetensors"

    @property
    def best_actor(self) -> Path:
        return self.path / "best_actor.safetensors"

    @property
    def about(self) -> Path:
        return self.path / "run.json"

    @property
    def report(self) -> Path:
        return self.path / "report.md"

    @property
    def judged(self) -> Path:
        return self.path / "evaluation.png"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.csv"

    @property
    def curve(self) -> Path:
        return self.path / "learning_curve.png"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def summary(self) -> Path:
        return self.path / "summary.txt"

    def contents(self) -> list[tuple[str, str]]:
        """(name, meaning) of the files that are there."""
        return [(name, meaning) for name, meaning in CONTENTS.items() if (self.path / name).exists()]

    def drop_if_empty(self) -> None:
        """Leave no folder behind in which nothing has happened."""
        if not any(self.path.iterdir()):
            self.path.rmdir()

    @property
    def shown(self) -> str:
        """The path as a person would type it from here."""
        relative = os.path.relpath(self.path)
        return str(self.path.absolute()) if relative.startswith("..") else relative


CONTENTS = {
    "report.md": "the run on one page",
    "policy.safetensors": "the policy; loading it runs no code",
    "actor.safetensors": "the same as an env server takes it, without learning library",
    "best.safetensors": "the policy that did best when it was judged",
    "best_actor.safetensors": "the same as an env server takes it",
    "model.zip": "the whole Stable-Baselines3 model; loading it runs code",
    "checkpoint.safetensors": "all that train --resume needs to go on",
    "config.yaml": "every setting of this run",
    "run.json": "versions, git state, machine, environment, bags",
    "learning_curve.png": "success and return against steps and time",
    "evaluation.png": "final errors and times of the evaluated episodes",
    "metrics.csv": "each training episode",
    "evaluation.csv": "each evaluated episode",
    "tensorboard": "tensorboard --logdir shows losses, too",
}


def create(path: Path) -> RunFolder:
    """Make the folder. Raises InvalidConfig when there is something in it, or it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise InvalidConfig(f"the run folder {path} is not empty: name another one, nothing is overwritten")
    except OSError as error:
        raise InvalidConfig(f"the run folder {path} cannot be made: {error}") from error
    return RunFolder(path)


def existing(path: Path) -> RunFolder:
    """The folder of a run that shall go on. Raises InvalidConfig when it is none."""
    folder = RunFolder(path)
    for file in (folder.config, folder.checkpoint):
        if not file.is_file():
            raise InvalidConfig(f"there is no {file}: expected the folder of a run that came to its first checkpoint")
    return folder


def fresh(name: str, parent: Path) -> Path:
    """`parent/name-<time>`, with a number behind it when two runs start in the same second."""
    wanted = parent / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    count = 2
    path = wanted
    while path.exists():
        path = wanted.with_name(f"{wanted.name}-{count}")
        count += 1
    return path


def replace(path: Path, content: bytes | str) -> None:
    """Write a file so that it is never there by half."""
    partial = path.with_name(f".{path.name}.part")
    if isinstance(content, str):
        partial.write_text(content)
    else:
        partial.write_bytes(content)
    os.replace(partial, path)
