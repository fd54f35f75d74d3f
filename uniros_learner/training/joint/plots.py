"""Pictures of a joint run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.joint.domain import Domain
from uniros_learner.training.plots import running_mean

COLOURS = ("#08519c", "#d94801", "#238b45", "#6a51a3")  # of the domains, in their order
SMOOTHING = 20  # episodes
FEW = 200  # episodes that can be seen one by one
MILLI = 1e3


class Mark(NamedTuple):
    """What a check found in a domain."""

    domain: str
    step: int  # of the domain
    seconds: float  # s since training began
    success_rate: float


def learning_curves(path: Path, domains: Sequence[Domain], marks: Sequence[Mark], config: TrainingConfig) -> None:
    """Success and final error of each domain's training episodes against wall-clock time and against its own steps.

    marks: what checks and the evaluation found without exploration.
    """
    figure = Figure(figsize=(10, 6), dpi=120, layout="constrained")
    figure.suptitle(f"{config.algorithm.upper()} learns in {' and '.join(domain.env_id for domain in domains)}, "
                    f"seed {config.seed}")
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    for column, unit in enumerate(("seconds", "step")):
        for domain, colour in zip(domains, COLOURS * len(domains), strict=False):
            _success(axes[0, column], domain, unit, colour)
            found = [mark for mark in marks if mark.domain == domain.name]
            if found:
                axes[0, column].plot([getattr(mark, unit) for mark in found],
                                     [100.0 * mark.success_rate for mark in found],
                                     "D", color=colour, markeredgecolor="black", clip_on=False)
            _errors(axes[1, column], domain, unit, colour)
        axes[0, column].axhline(100.0 * config.evaluation.target, color="grey", linewidth=0.8, linestyle="--")
        for each in axes[:, column]:
            each.grid(alpha=0.25)
            each.spines[["top", "right"]].set_visible(False)
    _label(axes)
    figure.savefig(path)


def _label(axes: np.ndarray) -> None:
    axes[0, 0].set_ylim(-3.0, 103.0)
    axes[0, 0].set_xlim(left=0.0)
    axes[1, 0].set_yscale("log")
    axes[1, 0].yaxis.set_major_formatter("{x:g}")
    axes[1, 1].set_xscale("symlog", linthresh=100)
    axes[1, 1].set_xlim(left=0.0)
    axes[0, 0].set_ylabel("success rate (%)")
    axes[1, 0].set_ylabel("final error (mm, logarithmic)")
    axes[1, 0].set_xlabel("wall-clock time (s)")
    axes[1, 1].set_xlabel("steps in the domain itself (logarithmic beyond 100)")
    axes[0, 0].plot([], [], "D", color="white", markeredgecolor="black", label="without exploration")
    if axes[0, 0].get_legend_handles_labels()[0]:
        axes[0, 0].legend(loc="lower right", frameon=False)


def _success(axes: Axes, domain: Domain, unit: str, colour: str) -> None:
    told = [episode for episode in domain.episodes if episode.success is not None]
    rate = running_mean(np.array([100.0 * bool(episode.success) for episode in told]), SMOOTHING)
    axes.plot([getattr(episode, unit) for episode in told], rate, color=colour,
              label=f"{domain.name}, last {SMOOTHING} training episodes")


def _errors(axes: Axes, domain: Domain, unit: str, colour: str) -> None:
    told = [episode for episode in domain.episodes if episode.final_error is not None]
    errors = np.array([MILLI * (episode.final_error or 0.0) for episode in told])
    at = [getattr(episode, unit) for episode in told]
    few = len(told) < FEW
    axes.plot(at, errors, ".", color=colour, markersize=7 if few else 3, alpha=0.8 if few else 0.3, zorder=2 + few)
    axes.plot(at, running_mean(errors, SMOOTHING), color=colour, zorder=3)
