"""Several runs side by side: those that differ by their seed only are one group, with a curve and a spread."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from uniros_learner.training import config as configs
from uniros_learner.training.episodes import Episode, Statistics, read, read_as, summarise
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.joint.experience import DomainEpisode
from uniros_learner.training.plots import AXES, SMOOTHING, running_mean
from uniros_learner.training.run_folder import RunFolder

POINTS = 300  # of a curve
NOT_COMPARED = ("seed", "checkpoints", "device", "threads")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run as it was left; of a joint one, what happened in one of its domains."""

    folder: RunFolder
    config: configs.TrainingConfig
    episodes: Sequence[Episode]  # of training
    judged: Statistics | None  # of the evaluation at its end
    domain: str = ""  # of a joint run

    @property
    def told(self) -> bool:
        """Whether its environment tells of successes."""
        return any(episode.success is not None for episode in self.episodes)

    def reached(self, rate: float) -> Episode | None:
        """The episode at which as many of the last `SMOOTHING` had succeeded; None if never."""
        success = running_mean(np.array([bool(episode.success) for episode in self.episodes], dtype=float))
        good = np.flatnonzero(success[SMOOTHING - 1:] >= rate)
        return self.episodes[good[0] + SMOOTHING - 1] if len(good) else None


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ by their seed only."""

    name: str
    runs: list[Run]


def load(paths: Iterable[Path]) -> list[Run]:
    """The runs in these folders; of joint ones each domain. Raises InvalidConfig where there is none."""
    return [run for path in paths for run in _load(RunFolder(path))]


def _load(folder: RunFolder) -> list[Run]:
    if not folder.metrics.is_file():
        raise InvalidConfig(f"there is no {folder.metrics}: expected run folders as train leaves them")
    config = configs.load(folder.config)
    if not config.joint.envs:
        judged = read(folder.evaluation)
        return [Run(folder, config, read(folder.metrics), summarise(judged) if judged else None)]
    learnt = _by_domain(read_as(DomainEpisode, folder.metrics))
    tried = _by_domain(read_as(DomainEpisode, folder.evaluation))
    return [Run(folder, config, learnt[name], summarise(tried[name]) if name in tried else None, name)
            for name in learnt]


def _by_domain(episodes: Sequence[DomainEpisode]) -> dict[str, list[DomainEpisode]]:
    found: dict[str, list[DomainEpisode]] = {}
    for episode in episodes:
        found.setdefault(episode.domain, []).append(episode)
    return found


def grouped(runs: Sequence[Run]) -> list[Group]:
    """The runs by what they have in common, in the order given; each group named by what sets it apart."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(yaml.safe_dump(_compared(run)), []).append(run)
    common = [_flat(_compared(each[0])) for each in found.values()]
    differing = [key for key in common[0] if len({str(settings.get(key)) for settings in common}) > 1]
    return [Group(_name(runs[0], settings, differing), runs) for settings, runs in zip(common, found.values())]


def _compared(run: Run) -> dict[str, object]:
    settings = yaml.safe_load(configs.dump(run.config))
    return {name: value for name, value in settings.items() if name not in NOT_COMPARED} | {"domain": run.domain}


def _flat(settings: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _name(run: Run, settings: dict[str, object], differing: Sequence[str]) -> str:
    """The algorithm, and whatever else sets groups of one algorithm apart, as far as it can be said shortly."""
    elsewhere = ("algorithm", "steps", "env_id", "domain")
    told = [key for key in differing if key not in elsewhere and "algorithm" not in differing]
    parts = [run.config.algorithm.upper(), *([run.domain] if run.domain else [])]
    if "env_id" in differing:
        parts.append(run.config.env_id)
    return ", ".join([*parts, *(f"{key.split('.')[-1]} {settings.get(key)}" for key in told[:3])])


# --- the table --------------------------------------------------------------------------------------------------------


def rows(groups: Sequence[Group], target: float) -> list[list[str]]:
    """A head, and for each group its medians with the range over its seeds."""
    head = ["", "seeds", f"steps to {target:.0%}", "seconds", "success", "final error (mm)", "return"]
    return [head, *(_row(group, target) for group in groups)]


def _row(group: Group, target: float) -> list[str]:
    there = [run.reached(target) for run in group.runs]
    found = [run.judged for run in group.runs if run.judged]
    never = sum(each is None for each in there)
    return [
        group.name,
        str(len(group.runs)),
        _range([each.step for each in there if each], "{:,.0f}") + (f" ({never} never)" if never else ""),
        _range([each.seconds for each in there if each], "{:.1f}"),
        _range([each.success_rate for each in found if each.success_rate is not None], "{:.0%}"),
        _range([1000 * each.mean_error for each in found if each.mean_error is not None], "{:.1f}"),
        _range([each.mean_return for each in found if each.mean_return is not None], "{:.3g}"),
    ]


def _range(values: Sequence[float], form: str) -> str:
    if not values:
        return "-"
    middle = form.format(float(np.median(values)))
    if len(values) == 1 or min(values) == max(values):
        return middle
    return f"{middle} [{form.format(min(values))}, {form.format(max(values))}]"


# --- the picture ------------------------------------------------------------------------------------------------------


def draw(path: Path, groups: Sequence[Group]) -> None:
    """Success rate, or return where there is none, against steps and against time; median and range over seeds."""
    told = all(run.told for group in groups for run in group.runs)
    figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
    for axes, unit in zip(figure.subplots(1, 2, sharey=True), AXES):
        for number, group in enumerate(groups):
            _curve(axes, group, unit, told, f"C{number}")
        axes.set_xlabel(AXES[unit])
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    left, right = figure.axes
    left.set_ylabel(f"success rate (%), last {SMOOTHING} episodes" if told else f"return, last {SMOOTHING} episodes")
    right.legend(loc="lower right", frameon=False)
    figure.suptitle("training, with exploration: median and range over seeds")
    figure.savefig(path)


def _curve(axes: Axes, group: Group, unit: str, told: bool, colour: str) -> None:
    """A run that was solved early stays where it ended."""
    ends = [float(getattr(run.episodes[-1], unit)) for run in group.runs if run.episodes]
    if not ends:
        return
    at = np.linspace(0.0, max(ends), POINTS)
    curves = np.array([_interpolated(run.episodes, unit, told, at) for run in group.runs if run.episodes])
    axes.plot(at, np.median(curves, axis=0), color=colour, label=f"{group.name} ({len(curves)})")
    if len(curves) > 1:
        axes.fill_between(at, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.2, linewidth=0)


def _interpolated(episodes: Sequence[Episode], unit: str, told: bool, at: NDArray[Any]) -> NDArray[Any]:
    values = [100.0 * bool(e.success) if told else e.total_reward for e in episodes]
    return np.interp(at, [getattr(e, unit) for e in episodes], running_mean(np.array(values)))
