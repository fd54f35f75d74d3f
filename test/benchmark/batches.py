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
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import psutil
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


@dataclass(frozen=True)
class Side:
    """One way to step a batch, and what it cost to get it ready to."""

    step: Step
    seconds: float  # from the call to the end of the first reset
    megabytes: float  # of memory that processes started for it, or this one, now have to themselves


def started(size: int, stack: ExitStack) -> dict[str, Side]:
    """All sides, reset. Those that fork come first: before there are threads."""
    makers: dict[str, Callable[[], Any]] = {
        "AsyncVectorEnv": lambda: gymnasium.make_vec(ENV_ID, size, "async", disable_env_checker=True),
        "SubprocVecEnv": lambda: SubprocVecEnv([single] * size, start_method="fork"),
        "uniros": lambda: uniros.make_vec(ENV_ID, size),
        "in-process": lambda: gymnasium.make_vec(ENV_ID, size),
    }
    return {name: side(make, stack) for name, make in makers.items()}


def side(make: Callable[[], Any], stack: ExitStack) -> Side:
    memory, start = private(), time.perf_counter()
    venv = make()
    stack.callback(venv.close)
    venv.reset()
    seconds = time.perf_counter() - start
    return Side(venv.step, seconds, private() - memory)


def private() -> float:
    """MB that this process and all it started do not share with others."""
    me = psutil.Process()
    return sum(process.memory_full_info().uss for process in (me, *me.children(recursive=True))) / 1e6


def rate(step: Step, actions: np.ndarray, seconds: float) -> float:
    """Steps of single environments per second."""
    start = time.perf_counter()
    for count, action in enumerate(itertools.cycle(actions), 1):
        step(action)
        if (elapsed := time.perf_counter() - start) > seconds:
            return count * actions.shape[1] / elapsed
    raise AssertionError("a cycle has no end")


def measure(size: int, rounds: int) -> tuple[dict[str, Side], dict[str, list[float]]]:
    """The sides, and the rates of each in each round."""
    actions = np.random.default_rng(0).uniform(-1, 1, (ACTIONS, size, 5)).astype(np.float32)
    with ExitStack() as stack:
        sides = started(size, stack)
        for each in sides.values():
            rate(each.step, actions, WARM_UP)
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, each in sides.items():
                rates[name].append(rate(each.step, actions, ROUND))
    return sides, rates


def ratio(over: list[float], under: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def main(rounds: int = 6) -> dict[int, dict[str, float]]:
    """Run, print the tables, and return for each size uniros's steps/s over those of the other sides."""
    registration.register()
    names = ("uniros", "in-process", "AsyncVectorEnv", "SubprocVecEnv")
    found: dict[int, dict[str, float]] = {}
    print(f"{ENV_ID}, steps/s" + "".join(f"{name:>16}" for name in names) + "   uniros over each")
    for size in SIZES:
        sides, rates = measure(size, rounds)
        found[size] = {name: ratio(rates["uniros"], rates[name]) for name in names[1:]}
        cells = "".join(f"{statistics.median(rates[name]):16,.0f}" for name in names)
        print(f"N = {size:<21}{cells}   " + "  ".join(f"{each:.2f} x" for each in found[size].values()), flush=True)
    for what, unit in (("seconds", "s until reset"), ("megabytes", "MB per environment")):
        shares = [getattr(sides[name], what) / (SIZES[-1] if unit.startswith("MB") else 1) for name in names]
        print(f"N = {SIZES[-1]}, {unit:<18}" + "".join(f"{share:16.2f}" for share in shares))
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
