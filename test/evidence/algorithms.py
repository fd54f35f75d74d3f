"""Algorithms.

Each algorithm learns to reach with the simulated RX200 through ROS, with its settings in `config/algorithms/`: with the
dense reward (`reach.yaml`), and, by hindsight (HER), with the sparse one of the goal environment (`reach_goal.yaml`).
Training ends when a check finds 95 of 100 fresh goals reached without exploration; steps and seconds count to there, of
all environments together. Then 100 other goals: success and final error. Medians [lowest, highest] over the seeds.

![dense reward](images/algorithms_reach.png)
![sparse reward, HER](images/algorithms_reach_goal.png)
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from run import HERE, Row

from uniros_learner.training import comparison
from uniros_learner.training.catalogue import TORCH

SEEDS = (0, 1, 2)
SPARSE = tuple(name for name, entry in TORCH.items() if entry.off_policy)
MUST = ("td3", "sac", "tqc")  # solve the sparse variant
TARGET = 0.95
PICTURES = HERE.parent.parent / "docs" / "images"
CHANGES = [f"early_stop.success_rate={TARGET}", f"early_stop.check_success_rate={TARGET}"]


def measure(seeds: Sequence[int] = SEEDS, dense: Sequence[str] = tuple(TORCH), sparse: Sequence[str] = SPARSE
            ) -> Iterator[Row]:
    for task, names in (("reach", dense), ("reach_goal", sparse)):
        with tempfile.TemporaryDirectory() as folder:
            for name in names:
                runs = [train(f"{name}_{task}", seed, Path(folder) / f"{name}-{seed}") for seed in seeds]
                yield row(name, task, runs)
            found = comparison.load(sorted(Path(folder).iterdir()))
            comparison.draw(PICTURES / f"algorithms_{task}.png", comparison.grouped(found))


def train(config: str, seed: int, folder: Path) -> Path:
    """One run; how it goes shows here."""
    changes = [word for change in CHANGES for word in ("--set", change)]
    subprocess.run(["rosrun", "uniros", "train", config, "--seed", str(seed), "--run-dir", str(folder), *changes],
                   check=True)
    return folder


def row(name: str, task: str, folders: Sequence[Path]) -> Row:
    runs = comparison.load(folders)
    solved = [json.loads((folder / "run.json").read_text())["end"] == "solved early" for folder in folders]
    ends = [run.episodes[-1] for run in runs]
    judged = [run.judged for run in runs if run.judged]
    rates = [each.success_rate or 0.0 for each in judged]
    told = [f"{spread([end.step for end in ends], '{:,.0f}')} steps",
            f"{spread([end.seconds for end in ends], '{:.1f}')} s",
            f"{spread(rates, '{:.0%}')} success",
            f"{spread([1000 * (each.mean_error or np.nan) for each in judged], '{:.1f}')} mm"]
    variant = "sparse, HER" if task == "reach_goal" else "dense"
    asked = f"at least {TARGET:.0%}, every seed" if task == "reach" or name in MUST else ""
    return Row(f"{name.upper()}, {variant}", asked, f"{sum(solved)} of {len(runs)} solved: " + ", ".join(told),
               all(solved) and min(rates) >= TARGET if asked else None)


def spread(values: Sequence[float], form: str) -> str:
    middle, low, high = (form.format(each) for each in (np.median(values), min(values), max(values)))
    return middle if low == high else f"{middle} [{low}, {high}]"
