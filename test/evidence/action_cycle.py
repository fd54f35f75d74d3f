"""The action cycle, in simulation.

How long an action lasts decides how learning goes: TD3 (`config/algorithms/td3.yaml`) on Reach with cycles of 0.1, 0.4,
0.8 and 1.6 s; one unit of an action stays 1 rad/s, so that longer cycles mean coarser motions (and coarser
exploration), and an episode is over after 10 s of the arm's time. Steps, simulated time and wall-clock time (which is
not the point here: it is that of whatever else the machine does) until 95 of 100 fresh goals are reached without
exploration, which is tried every 40 episodes.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from run import Row

from uniros_learner.training.episodes import read, summarise

CYCLES = (0.1, 0.4, 0.8, 1.6)  # s
SEEDS = (0, 1, 2)
STEPS = 10_000  # at most
TARGET = 0.95
EPISODE = 10.0  # s of arm time at most, whatever the cycle


def measure(cycles: Sequence[float] = CYCLES, seeds: Sequence[int] = SEEDS) -> Iterator[Row]:
    for cycle in cycles:
        yield in_simulation(cycle, seeds)


def in_simulation(cycle: float, seeds: Sequence[int]) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        runs = [train("RX200ReachSim-v0", cycle, seed, Path(folder) / str(seed), STEPS) for seed in seeds]
        solved = [json.loads((run / "run.json").read_text())["end"] == "solved early" for run in runs]
        last = [read(run / "metrics.csv")[-1] for run in runs]
        judged = [summarise(read(run / "evaluation.csv")) for run in runs]
    steps, seconds = float(np.median([each.step for each in last])), float(np.median([each.seconds for each in last]))
    rate = float(np.median([each.success_rate or 0.0 for each in judged]))
    error = 1000 * float(np.median([each.mean_error or np.nan for each in judged]))
    return Row(f"cycle {cycle:g} s, simulation ({len(runs)} seeds, medians)", "",
               f"{sum(solved)} of {len(runs)} solved; {steps:,.0f} steps, {steps * cycle:,.0f} s simulated, "
               f"{seconds:.1f} s; then {rate:.0%}, {error:.1f} mm")


def train(env_id: str, cycle: float, seed: int, folder: Path, steps: int, budget: float | None = None) -> Path:
    """One run, ended by Ctrl-C when its time is over."""
    changes = [f"env_id={env_id}", f"env_args={{cycle_time: {cycle}}}", f"max_episode_steps={round(EPISODE / cycle)}",
               f"early_stop.check_success_rate={TARGET}", "early_stop.success_rate=0.0"]
    if budget:
        changes += ["early_stop.window=0", "hyperparameters.learning_starts=100"]
    command = ["rosrun", "uniros", "train", "td3_reach", "--seed", str(seed), "--steps", str(steps), "--run-dir",
               str(folder), *(word for change in changes for word in ("--set", change))]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + budget if budget else float("inf")
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.5)
    if process.poll() is None:
        process.terminate()  # a request, as Ctrl-C: it saves what there is
    process.wait(timeout=120.0)
    return folder
