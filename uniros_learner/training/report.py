"""The short table at the end of a run, for the person at the terminal and as summary.txt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from uniros_learner.training.episodes import Episode, Statistics, summarise
from uniros_learner.training.run_folder import RunFolder

if TYPE_CHECKING:
    from uniros_learner.training.precision import Precision
    from uniros_learner.training.trainer import Trainer

UNFINISHED = ("interrupted", "broken off by an error")
SHOWN = ("report.md", "policy.safetensors", "config.yaml", "learning_curve.png", "metrics.csv", "tensorboard")
Rows = Sequence[tuple[str, str]]


def summary(run: Trainer) -> str:
    """What a training run achieved and where its files are."""
    config = run.config
    title = f"{config.algorithm.upper()} on {config.env_id}, seed {config.seed}: {run.end.value}"
    return table(title, result_rows(run)) + "\n" + files(run.folder, unfinished=run.end.value in UNFINISHED)


def result_rows(run: Trainer) -> Rows:
    """What came out of it."""
    rows = [("training", _training(run))]
    if not run.evaluation:
        return [*rows, ("evaluation", "none")]
    result = summarise(run.evaluation)
    rows += evaluation_rows(result)
    if result.success_rate is not None:
        target = run.config.evaluation.target
        reached = "reached" if result.success_rate >= target else "NOT reached"
        rows.append(("target", f"{target:.0%} success: {reached}"))
    return rows


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
        interval = f"{result.success_low:.0%} to {result.success_high:.0%}"
        rows.append(("success", f"{result.success_rate:.0%} of {result.episodes} fresh goals, 95% interval {interval}"))
    if result.mean_error is not None and result.p95_error is not None:
        mean, p95 = 1000 * result.mean_error, 1000 * result.p95_error
        rows.append(("final error", f"{mean:.1f} mm on average, p95 {p95:.1f} mm"))
    if result.time_to_goal is not None:
        rows.append(("time to goal", f"{result.time_to_goal:.2f} s on average"))
    rows.append(("episode length", f"{result.mean_length:.1f} steps on average"))
    rows.append(("return", f"{result.mean_return:.3f} on average"))
    if result.refusals is not None:
        rows.append(("refused", f"{result.refusals:.2g} steps per episode, by the safety gate"))
        energy = "not measured here" if result.mean_energy is None else f"{result.mean_energy:.2f} J per episode"
        rows.append(("energy", f"{energy} (mechanical, of the joints)"))
    return rows


def evaluation_table(title: str, episodes: Sequence[Episode], found: Sequence[Precision] = ()) -> str:
    """What an evaluation found."""
    return table(title, [*evaluation_rows(summarise(episodes)), *precision_rows(found)])


def precision_rows(found: Sequence[Precision]) -> Rows:
    """Means over the poses, and the worst of them."""
    if not found:
        return []
    rows = []
    for name in ("accuracy", "repeatability"):
        values = [1000 * getattr(each, name) for each in found]
        rows.append((name, f"{np.mean(values):.1f} mm on average of {len(values)} poses, worst {max(values):.1f} mm "
                           f"(ISO 9283, {found[0].repeats} repeats)"))
    return rows


def files(folder: RunFolder, unfinished: bool = False) -> str:
    """What matters most in the run folder, and what to do with it."""
    rows = [(name, meaning) for name, meaning in folder.contents() if name in SHOWN]
    rows += [("", ""), ("again", f"rosrun uniros evaluate {folder.shown}")]
    if unfinished and folder.checkpoint.exists():
        rows.append(("go on", f"rosrun uniros train --resume {folder.shown}"))
    return table(f"files in {folder.shown}", rows)


def table(title: str, rows: Rows) -> str:
    """Two columns under a title."""
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {text}".rstrip() for name, text in rows)]) + "\n"
