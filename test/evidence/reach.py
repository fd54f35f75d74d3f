"""Learning to reach.

TD3 from scratch through reset and step actions (`config/algorithms/td3_reach.yaml`), then 100 fresh goals at 2 cm
without exploration.
"""

from __future__ import annotations

import csv
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from run import Row

import uniros_learner as uniros

SEEDS = (0, 1, 2)
DRIFT = 0.02  # m


def measure() -> Iterator[Row]:
    for seed in SEEDS:
        yield train(seed)
    for moves, name in ((0, "at rest"), (3, "told to stay in mid-motion")):
        drift = zero_action_drift(moves)
        figure = f"end effector under zero actions for 10 s, {name}, largest of 20 starts"
        yield Row(figure, "less than 20 mm", f"{drift * 1e3:.1f} mm", drift < DRIFT)


def train(seed: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        subprocess.run(
            ["rosrun", "uniros", "train", "td3_reach", "--seed", str(seed), "--run-dir", str(run)], check=True
        )
        metrics = list(csv.DictReader((run / "metrics.csv").open()))
        judged = list(csv.DictReader((run / "evaluation.csv").open()))
    rate = float(np.mean([row["success"] in ("True", "1", "true") for row in judged]))
    seconds, steps = float(metrics[-1]["seconds"]), int(metrics[-1]["step"])
    return Row(
        f"training, seed {seed}",
        "at least 95 % within 60 s",
        f"{rate:.0%} of {len(judged)} goals after {steps:,} steps, {seconds:.1f} s",
        rate >= 0.95 and seconds <= 60,
    )


def zero_action_drift(moves: int) -> float:
    """Largest distance (m) from where the end effector was told to stay, over 100 cycles of 0.1 s.

    Told so after `moves` random actions: the figure then holds the way it takes to stop, too.
    """
    worst = 0.0
    with uniros.make("RX200ReachSim-v0") as env:
        for seed in range(20):
            observation, _ = env.reset(seed=seed)  # the arm stands where it is commanded to be
            env.action_space.seed(seed)
            for _ in range(moves):
                observation = env.step(env.action_space.sample())[0]
            start = observation[:3].astype(float)
            for _ in range(100):  # flags ignored: success ends an episode, not the arm
                observation = env.step(np.zeros(5, np.float32))[0]
                worst = max(worst, float(np.linalg.norm(observation[:3] - start)))
    return worst
