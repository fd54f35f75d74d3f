"""RX200 Reach in lock-step: steps/s through worker, action and server, over steps/s of the same environment in this
process.

.venv/bin/python test/benchmark/lock_step.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time

import gymnasium
import numpy as np

import uniros_learner as uniros
from uniros_env_server import registration

ENV_ID = "RX200ReachSim-v0"
STEPS = 300  # per round


def measure(env: gymnasium.Env, actions: np.ndarray) -> float:
    """Steps per second, resets between episodes included."""
    env.reset()
    start = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return len(actions) / (time.perf_counter() - start)


def main(rounds: int = 10) -> dict[str, float]:
    """Run, print the table, and return the ratio for others to use."""
    registration.register()
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 5)).astype(np.float32)
    here = gymnasium.make(ENV_ID, disable_env_checker=True)
    rates: dict[str, list[float]] = {"in-process": [], "uniros": []}
    with uniros.make(ENV_ID) as there:
        for env in (here, there):
            env.reset(seed=0)
            measure(env, actions)
        for _ in range(rounds):
            rates["in-process"].append(measure(here, actions))
            rates["uniros"].append(measure(there, actions))
    ratio = statistics.median(u / p for u, p in zip(rates["uniros"], rates["in-process"], strict=True))
    for name, values in rates.items():
        print(f"{ENV_ID} {name:<12}{statistics.median(values):>8.0f} steps/s")
    print(f"through GymProxy and ROS: {ratio:.2f} x in-process")
    return {"uniros / in-process": ratio}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
