"""Pictures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.episodes import Episode, Judged

SMOOTHING = 40  # episodes
ONE, MEAN, MARK = "#9ecae1", "#08519c", "#d94801"  # an episode, their running mean, an evaluation
AXES = {"step": "training steps", "seconds": "wall-clock time (s)"}  # what both episodes and marks know


class Mark(NamedTuple):
    """An evaluation along the way."""

    step: int
    seconds: float  # s since training began
    success_rate: float


def learning_curve(path: Path, episodes: Sequence[Episode], marks: Sequence[Mark], config: TrainingConfig) -> None:
    """Success rate, where there is one, and return of training's episodes against steps and against time, as a PNG.

    marks: what evaluations found meanwhile and at the end.
    """
    told = any(episode.success is not None for episode in episodes)
    figure = Figure(figsize=(10, 6 if told else 3.5), dpi=120, layout="constrained")
    figure.suptitle(f"{config.algorithm.upper()} on {config.env_id}, seed {config.seed}")
    axes = figure.subplots(1 + told, 2, sharex="col", sharey="row", squeeze=False)
    rates = [100.0 * mark.success_rate for mark in marks]
    for column, unit in enumerate(AXES):
        x, at = [getattr(e, unit) for e in episodes], [getattr(mark, unit) for mark in marks]
        if told:
            _success(axes[0, column], x, episodes, config.evaluation.target)
            axes[0, column].plot(at, rates, "D", color=MARK, label="evaluation on fresh goals")
        _returns(axes[-1, column], x, episodes)
        axes[-1, column].set_xlabel(AXES[unit])
        axes[-1, column].set_xlim(left=0)
    if told:
        axes[0, 0].set_ylabel("success rate (%)")
        axes[0, 0].legend(loc="center left", frameon=False)
    axes[-1, 0].set_ylabel("return per episode")
    axes[-1, 1].legend(loc="lower right", frameon=False)
    figure.savefig(path)


def judged(path: Path, episodes: Sequence[Judged], config: TrainingConfig) -> None:
    """How the episodes of an evaluation ended, as a PNG: shares of them below each final error, and below each length.

    Where the environment tells no error, the returns instead.
    """
    errors = [1000.0 * episode.final_error for episode in episodes if episode.final_error is not None]
    timed = all(episode.duration is not None for episode in episodes)
    lengths = [(episode.duration or 0.0) if timed else episode.length for episode in episodes]
    figure = Figure(figsize=(10, 3.5), dpi=120, layout="constrained")
    figure.suptitle(f"{config.algorithm.upper()} on {config.env_id}: {len(episodes)} evaluated episodes")
    left, right = figure.subplots(1, 2, sharey=True)
    _distribution(left, errors or [episode.total_reward for episode in episodes],
                  "final error (mm)" if errors else "return per episode")
    _distribution(right, lengths, "length (s)" if timed else "length (steps)")
    left.set_ylabel("share of episodes below (%)")
    figure.savefig(path)


def _distribution(axes: Axes, values: Sequence[float], label: str) -> None:
    ordered = np.sort(np.asarray(values, dtype=float))
    axes.step(ordered, 100.0 * np.arange(1, len(ordered) + 1) / len(ordered), where="post", color=MEAN)
    axes.axvline(float(np.percentile(ordered, 95)), color="grey", linewidth=0.8, linestyle="--", label="95% are below")
    axes.set_xlabel(label)
    axes.set_ylim(0.0, 103.0)
    axes.legend(loc="upper left", frameon=False)
    _grid(axes)


def _success(axes: Axes, x: Sequence[float], episodes: Sequence[Episode], target: float) -> None:
    rate = running_mean(np.array([100.0 * bool(e.success) for e in episodes]))
    axes.plot(x, rate, color=MEAN, label=f"last {SMOOTHING} training episodes")
    axes.axhline(100.0 * target, color="grey", linewidth=0.8, linestyle="--", label=f"target {target:.0%}")
    axes.set_ylim(-3.0, 103.0)
    _grid(axes)


def _returns(axes: Axes, x: Sequence[float], episodes: Sequence[Episode]) -> None:
    returns = np.array([e.total_reward for e in episodes])
    axes.plot(x, returns, ".", color=ONE, markersize=4, label="one episode")
    axes.plot(x, running_mean(returns), color=MEAN, label=f"mean of the last {SMOOTHING}")
    _grid(axes)


def _grid(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def running_mean(values: NDArray, window: int = SMOOTHING) -> NDArray:
    """(N,) mean of each value and those up to `window` - 1 before it."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - window, 0)
    return (total[last] - total[first]) / (last - first)
