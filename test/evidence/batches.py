"""Batches.

One Step goal carries the actions of all environments of a server; the arms are simulated as one batch on all cores.
Speeds as `test/benchmark/batches.py` measures them, all sides in turn in one run. Then Stable-Baselines3's PPO over 64
served arms learns to reach, until a check finds 95 of 100 fresh goals reached without exploration; its time is that of
everything from the first step to the end of that check. Beside it TD3 with one arm (`td3_reach`, which asks for 99 of
100), whose time goes to the last step of training only.
"""

from __future__ import annotations

import csv
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from benchmark import batches
from run import Row
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from uniros_learner.sb3 import RosVecEnv, make_vec_env

SEEDS = (0, 1, 2)
ARMS = 64
GOALS = 100
TARGET = 0.95
CHECK_AFTER = 100  # episodes of training, of which the share TARGET must succeed in spite of exploration
PATIENCE = 60.0  # s
SETTINGS = {"n_steps": 8, "batch_size": 128, "n_epochs": 4, "learning_rate": 1e-3, "gamma": 0.9, "gae_lambda": 0.9,
            "policy_kwargs": {"net_arch": [64, 64], "log_std_init": -0.5, "optimizer_kwargs": {"fused": True}}}


def measure() -> Iterator[Row]:
    yield from speeds()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:  # in turn: a machine that slows down slows both
            seconds, steps, rate = learn(seed)
            ours.append(seconds)
            yield Row(f"PPO over {ARMS} arms, seed {seed}", "at least 95 % of 100 goals",
                      f"{rate:.0%} after {steps:,} steps, {seconds:.1f} s", rate >= TARGET)
            seconds, steps, rate = learn_alone(seed, Path(folder) / str(seed))
            theirs.append(seconds)
            yield Row(f"TD3 with one arm, seed {seed}", "", f"{rate:.0%} after {steps:,} steps, {seconds:.1f} s")
    yield Row("wall-clock time of TD3 over that of PPO, medians", "more than 1 x",
              f"{np.median(theirs) / np.median(ours):.1f} x", bool(np.median(ours) < np.median(theirs)))


def speeds() -> Iterator[Row]:
    found = batches.main()
    for size, ratios in found.items():
        last = size == max(found)
        for name, asked in (("in-process", 0.85), ("AsyncVectorEnv", 1.0), ("SubprocVecEnv", 1.0)):
            what = "the same batch in-process" if name == "in-process" else name
            yield Row(f"N = {size}: steps/s through ROS over {what}", f"at least {asked:g} x" if last else "",
                      f"{ratios[name]:.2f} x", ratios[name] >= asked if last else None)


def learn(seed: int) -> tuple[float, int, float]:
    """Seconds, steps of all arms together, and the share of fresh goals reached."""
    torch.set_num_threads(1)
    venv = make_vec_env("RX200ReachSim-v0", ARMS)
    try:
        model = PPO("MlpPolicy", venv, seed=seed, device="cpu", **SETTINGS)
        start, rate, checks = time.monotonic(), 0.0, 0
        while rate < TARGET and time.monotonic() - start < PATIENCE:
            model.learn(1_000_000, Promising(start), reset_num_timesteps=not checks)
            rate = judge(model, venv, seed=1_000_000 + 1_000 * checks)
            model._last_obs = None  # the check used the environments: training begins new episodes
            checks += 1
        return time.monotonic() - start, model.num_timesteps, rate
    finally:
        venv.close()


class Promising(BaseCallback):
    """Ends training when the latest episodes look good enough for a check, or patience is at its end."""

    def __init__(self, start: float):
        super().__init__()
        self._start, self._recent = start, list[bool]()

    def _on_step(self) -> bool:
        ended = zip(self.locals["infos"], self.locals["dones"], strict=True)
        self._recent = [*self._recent, *(info["is_success"] for info, done in ended if done)][-CHECK_AFTER:]
        promising = len(self._recent) == CHECK_AFTER and np.mean(self._recent) >= TARGET
        return not promising and time.monotonic() - self._start < PATIENCE


def judge(model: PPO, venv: RosVecEnv, seed: int) -> float:
    """The share of goals reached without exploration: of the first episodes after two resets."""
    reached = 0
    for part in range(2):
        venv.seed(seed + part * ARMS)
        observations = venv.reset()
        playing = np.arange(ARMS) < GOALS // 2
        while playing.any():
            observations, _, dones, infos = venv.step(model.predict(observations, deterministic=True)[0])
            reached += sum(infos[row]["is_success"] for row in np.flatnonzero(dones & playing))
            playing &= ~dones
    return reached / GOALS


def learn_alone(seed: int, run: Path) -> tuple[float, int, float]:
    """The same of `rosrun uniros train td3_reach`."""
    subprocess.run(["rosrun", "uniros", "train", "td3_reach", "--seed", str(seed), "--run-dir", str(run)], check=True)
    metrics = list(csv.DictReader((run / "metrics.csv").open()))
    judged = list(csv.DictReader((run / "evaluation.csv").open()))
    rate = float(np.mean([row["success"] == "1" for row in judged]))
    return float(metrics[-1]["seconds"]), int(metrics[-1]["step"]), rate
