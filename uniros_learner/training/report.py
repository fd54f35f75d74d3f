"""The short table at the end of a run, for the person at the terminal and as summary.txt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from uniros_learner.training.episodes import Episode, Statistics, summarise
from uniros_learner.training.run_folder import RunFolder

if TYPE_CHECKING:
    from uniros_learner.training.trainer import Trainer

Rows = Sequence[tuple[str, str]]


def summary(run: Trainer) -> str:
    """What a training run achieved and where its files are."""
    config = run.config
    rows = [("training", _training(run))]
    if run.evaluation:
        result = summarise(run.evaluation)
        rows += evaluation_rows(result)
        if result.success_rate is not None:
            target = config.evaluation.target
            reached = "reached" if result.success_rate >= target else "NOT reached"
            rows.append(("target", f"{target:.0%} success: {reached}"))
    else:
        rows.append(("evaluation", "none"))
    title = f"{config.algorithm.upper()} on {config.env_id}, seed {config.seed}: {run.end.value}"
    return table(title, rows) + "\n" + files(run.folder)


def verdict(run: Trainer) -> str:
    """The same in two lines."""
    rows = evaluation_rows(summarise(run.evaluation)) if run.evaluation else [("evaluation", "none")]
    found = ", ".join(f"{name} {text}" for name, text in rows[:2])
    return f"{run.end.value} after {run.steps:,} steps, {run.seconds:.1f} s; {found}\nall of it in {run.folder.shown}"


def _training(run: Trainer) -> str:
    seconds = max(run.seconds, 1e-9)
    return (f"{run.steps:,} steps in {run.seconds:.1f} s ({run.steps / seconds:.0f} steps/s, "
            f"{run.updates / seconds:.0f} updates/s), {len(run.episodes):,} episodes")


def evaluation_rows(result: Statistics) -> Rows:
    """The rows of a table for an evaluation; without those that the environment tells nothing about."""
    rows = []
    if result.success_rate is not None:
        rows.append(("success", f"{result.success_rate:.0%} of {result.episodes} fresh goals"))
    if result.mean_error is not None and result.p95_error is not None:
        mean, p95 = 1000 * result.mean_error, 1000 * result.p95_error
        rows.append(("final error", f"{mean:.1f} mm on average, p95 {p95:.1f} mm"))
    rows.append(("episode length", f"{result.mean_length:.1f} steps on average"))
    rows.append(("return", f"{result.mean_return:.3f} on average"))
    return rows


def evaluation_table(title: str, episodes: Sequence[Episode]) -> str:
    """What an evaluation found."""
    return table(title, evaluation_rows(summarise(episodes)))


def files(folder: RunFolder) -> str:
    """What lies in the run folder, and what to do with it."""
    rows = [*folder.contents(), ("", ""), ("again", f"rosrun uniros evaluate {folder.shown}")]
    if folder.checkpoint.exists():
        rows.append(("go on", f"rosrun uniros train --resume {folder.shown} --steps MORE"))
    return table(f"files in {folder.shown}", rows)


def table(title: str, rows: Rows) -> str:
    """Two columns under a title."""
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {text}".rstrip() for name, text in rows)]) + "\n"
