"""RX200 Reach in batches: steps/s over the size of the batch, through ROS and in this process, beside gymnasium's
AsyncVectorEnv and Stable-Baselines3's SubprocVecEnv, which give each environment a process.

    .venv/bin/python test/benchmark/batches.py [rounds]

All sides of one size take turns in short rounds, so a machine that slows down slows all of them down; ratios are
medians over the rounds. Every step of a batch counts as one step of each of its environments.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env import SubprocVecEnv

import uniros_learner as uniros
from uniros_env_server import registration

ENV_ID = "RX200ReachSim-v0"
SIZES = (1, 4, 16, 64)
ROUND = 0.5  # s, each side's turn
WARM_UP = 0.3  # s
ACTIONS = 50  # different ones, drawn beforehand

Step = Callable[[Any], Any]


def single() -> gymnasium.Env:
    return gymnasium.make(ENV_ID, disable_env_checker=True)


def started(size: int, stack: ExitStack) -> dict[str, Step]:
    """All sides, reset. Those that fork come first: before there are threads."""
    workers = gymnasium.make_vec(ENV_ID, size, vectorization_mode="async", disable_env_checker=True)
    subproc = SubprocVecEnv([single] * size, start_method="fork")
    sides = {"in-process": None, "uniros": uniros.make_vec(ENV_ID, size), "AsyncVectorEnv": workers,
             "SubprocVecEnv": subproc}
    sides["in-process"] = gymnasium.make_vec(ENV_ID, size)
    for venv in sides.values():
        stack.callback(venv.close)
        venv.reset()
    return {name: venv.step for name, venv in sides.items()}


def rate(step: Step, actions: np.ndarray, seconds: float) -> float:
    """Steps of single environments per second."""
    start = time.perf_counter()
    for count, action in enumerate(itertools.cycle(actions), 1):
        step(action)
        if (elapsed := time.perf_counter() - start) > seconds:
            return count * actions.shape[1] / elapsed
    raise AssertionError("a cycle has no end")


def measure(size: int, rounds: int) -> dict[str, list[float]]:
    actions = np.random.default_rng(0).uniform(-1, 1, (ACTIONS, size, 5)).astype(np.float32)
    with ExitStack() as stack:
        sides = started(size, stack)
        for step in sides.values():
            rate(step, actions, WARM_UP)
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, step in sides.items():
                rates[name].append(rate(step, actions, ROUND))
    return rates


def ratio(over: list[float], under: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def main(rounds: int = 6) -> dict[int, dict[str, float]]:
    """Run, print the table, and return for each size uniros's steps/s over those of the other sides."""
    registration.register()
    others = ("in-process", "AsyncVectorEnv", "SubprocVecEnv")
    found = {}
    print(f"{ENV_ID}, steps/s" + "".join(f"{name:>16}" for name in ("uniros", *others)) + "   uniros over each")
    for size in SIZES:
        rates = measure(size, rounds)
        found[size] = {name: ratio(rates["uniros"], rates[name]) for name in others}
        cells = "".join(f"{statistics.median(rates[name]):16,.0f}" for name in ("uniros", *others))
        print(f"N = {size:<21}{cells}   " + "  ".join(f"{found[size][name]:.2f} x" for name in others), flush=True)
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
