"""Pictures of what a bag holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uniros_learner.replay.summary import Server
from uniros_learner.replay.trajectory import Trajectory
from uniros_learner.training.plots import MARK, MEAN, ONE, SMOOTHING, running_mean

PANELS = 16  # numbers of an observation in it
COLUMNS = 4


def draw(folder: Path, server: Server, recent: Sequence[Trajectory]) -> list[Path]:
    """PNGs of an env server's episodes, of its times, and of the traces of some trajectories; their paths."""
    name = server.namespace.strip("/").replace("/", "-") or "env"
    made = []
    if server.returns:
        made.append(_episodes(folder / f"{name}-episodes.png", server))
    if server.cycles:
        made.append(_times(folder / f"{name}-timing.png", server))
    if recent:
        made.append(_traces(folder / f"{name}-traces.png", server, recent))
    return made


def _episodes(path: Path, server: Server) -> Path:
    told = [success for success in server.successes if success is not None]
    panels = [("return", np.array(server.returns)), ("length (steps)", np.array(server.lengths, float))]
    if told:
        panels.insert(0, ("success (%)", 100.0 * np.array(told, float)))
    figure = _figure(10, 2.4 * len(panels) + 0.6, server)
    for axes, (label, values) in zip(figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0], panels,
                                     strict=True):
        if label.startswith("success"):
            axes.set_ylim(-3.0, 103.0)
        else:
            axes.plot(np.arange(1, len(values) + 1), values, ".", color=ONE, markersize=4)
        axes.plot(np.arange(1, len(values) + 1), running_mean(values), color=MEAN)
        axes.set_ylabel(label)
        _grid(axes)
    axes.set_xlabel(f"episode; lines: mean of the last {SMOOTHING}")
    return _save(figure, path)


def _times(path: Path, server: Server) -> Path:
    panels = [(name, np.concatenate(times) * 1e3) for name, times in
              (("cycle (ms)", server.cycles), ("observation age (ms)", server.ages),
               ("command delay (ms)", server.delays)) if times]
    panels = [(name, values) for name, values in panels if len(values)]
    figure = _figure(3.6 * max(1, len(panels)), 3.2, server)
    for axes, (label, values) in zip(figure.subplots(1, max(1, len(panels)), squeeze=False)[0], panels, strict=False):
        top = max(np.percentile(values, 99.9), 1e-3)
        axes.hist(np.clip(values, None, top), bins=60, color=MEAN, log=True)
        axes.axvline(np.percentile(values, 99), color=MARK, linewidth=1, label="p99")
        axes.set_xlabel(label)
        axes.legend(frameon=False)
        _grid(axes)
    return _save(figure, path)


def _traces(path: Path, server: Server, recent: Sequence[Trajectory]) -> Path:
    """Numbers of the observation over time: positions, where they are named, before anything else."""
    tables = [trajectory.parts_of_observation() for trajectory in recent]
    names = sorted(tables[0], key=lambda name: not name.startswith(("tool", "distance", "position")))
    names = [name for name in names if not name.startswith("executed")][:PANELS]
    cycle = server.description.cycle_time if server.description else 0.0
    rows = -(-len(names) // COLUMNS)
    figure = _figure(13, 2.1 * rows + 0.6, server)
    grid = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        for number, table in enumerate(tables):
            newest = number == len(tables) - 1
            axes.plot(np.arange(len(table[name])) * (cycle or 1.0), table[name], color=MEAN if newest else ONE,
                      linewidth=1.4 if newest else 0.7, zorder=2 + newest)
        axes.set_title(name.replace("_", " ").replace("/", " "), fontsize=9)
        axes.tick_params(labelsize=7)
        _grid(axes)
    for axes in grid.flat[len(names):]:
        axes.set_visible(False)
    figure.supxlabel(f"{'time (s)' if cycle else 'step'}; dark: the last of {len(tables)} episodes", fontsize=9)
    return _save(figure, path)


def _figure(width: float, height: float, server: Server) -> Figure:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    figure.suptitle(server.title(), fontsize=10)
    return figure


def _grid(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    return path
