"""The action cycle, on the emulated arm.

The same where time passes by itself: success and final error after two and a half minutes of training
(UNIROS_ARM_BUDGET: so many seconds), updates being made while the arm moves, two arms at a time.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from action_cycle import CYCLES, train
from run import Row

from uniros_learner.training.episodes import read, summarise

BUDGET = float(os.environ.get("UNIROS_ARM_BUDGET", "150"))  # s of training
GOALS = 10  # of an evaluation
ARMS = 2  # at a time


def measure(cycles: Sequence[float] = CYCLES, seed: int = 0) -> Iterator[Row]:
    with ThreadPoolExecutor(ARMS) as pool:
        yield from pool.map(lambda cycle: on_the_arm(cycle, seed), cycles)


def on_the_arm(cycle: float, seed: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        run = train("RX200ReachReal-v0", cycle, seed, Path(folder) / "run", 1_000_000, BUDGET)
        episodes = read(run / "metrics.csv")
        subprocess.run(["rosrun", "uniros", "evaluate", str(run), "--episodes", str(GOALS), "--out",
                        str(run / "judged.csv")], check=True)
        judged = summarise(read(run / "judged.csv"))
    rate, error = judged.success_rate or 0.0, 1000 * (judged.mean_error or np.nan)
    return Row(f"cycle {cycle:g} s, emulated arm, seed {seed}", "",
               f"{episodes[-1].step:,} steps in {episodes[-1].seconds:.0f} s, {len(episodes)} episodes; "
               f"then {rate:.0%} of {judged.episodes}, {error:.1f} mm")
