"""Learning through ROS and without it.

The same script, Stable-Baselines3's TD3 as it is, learns to reach in the same environment: once in this process, once
behind an env server that `uniros.make` starts. Seeds decide everything, so that both sides make the same steps and
updates, to the bit; what differs is time. The sides take turns, and each begins first as often as the other. Time runs
from the first step until 95 % of the last 40 episodes succeed; start-up is not in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import gymnasium
import numpy as np
import torch
from run import Row
from stable_baselines3 import TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise

import uniros_learner as uniros
from uniros_env_server import registration

ENV_ID = "RX200ReachSim-v0"
SEEDS = (0, 1, 2, 3)
WINDOW, TARGET = 40, 0.95
MOST_STEPS = 20_000
ASKED = 1.15


def measure(seeds: Sequence[int] = SEEDS) -> Iterator[Row]:
    registration.register()
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {"in-process": [], "through ROS": []}
    for number, seed in enumerate(seeds):
        steps = {}
        for side in sorted(times, reverse=bool(number % 2)):
            seconds, steps[side] = learn(side, seed)
            times[side].append(seconds)
        same = steps["in-process"] == steps["through ROS"]
        yield Row(f"seed {seed}: steps to 95 %, in-process and through ROS", "the same",
                  " and ".join(f"{count:,}" for count in steps.values()), same)
    ratios = [ros / bare for ros, bare in zip(times["through ROS"], times["in-process"], strict=True)]
    told = ", ".join(f"{name} {np.median(each):.2f} s" for name, each in times.items())
    median = float(np.median(ratios))
    yield Row("time to 95 % through ROS over in-process, median of the seeds", f"at most {ASKED:g} x",
              f"{median:.3f} x ({min(ratios):.3f} to {max(ratios):.3f}); {told}", median <= ASKED)


def learn(side: str, seed: int) -> tuple[float, int]:
    """Seconds and steps until the target."""
    env = gymnasium.make(ENV_ID) if side == "in-process" else uniros.make(ENV_ID)
    try:
        noise = NormalActionNoise(np.zeros(5), np.full(5, 0.2))
        model = TD3("MlpPolicy", env, learning_rate=1e-3, gamma=0.95, batch_size=128, buffer_size=100_000,
                    learning_starts=300, tau=0.01, action_noise=noise, seed=seed, device="cpu",
                    policy_kwargs={"net_arch": [64, 64], "optimizer_kwargs": {"fused": True}})
        start = time.perf_counter()
        model.learn(MOST_STEPS, Convincing())
        return time.perf_counter() - start, model.num_timesteps
    finally:
        env.close()


class Convincing(BaseCallback):
    """Ends training at the target."""

    def _on_training_start(self) -> None:
        self._last: list[bool] = []

    def _on_step(self) -> bool:
        if self.locals["dones"][0]:
            self._last = [*self._last, bool(self.locals["infos"][0]["is_success"])][-WINDOW:]
        return len(self._last) < WINDOW or float(np.mean(self._last)) < TARGET
