"""RX200 Reach in batches: steps/s over the size of the batch, through ROS and in this process, beside gymnasium's
AsyncVectorEnv and Stable-Baselines3's SubprocVecEnv, which give each environment a process.

    .venv/bin/python test/benchmark/batches.py [rounds]

All sides of one size take turns in short rounds, so a machine that slows down slows all of them down; ratios are
medians over the rounds. Every step of a batch counts as one step of each of its environments.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from compare import Comparison, compare, show, turns
from stable_baselines3.common.vec_env import SubprocVecEnv
from start_up import private

import uniros_learner as uniros
from uniros_env_server import registration

ENV_ID = "RX200ReachSim-v0"
SIZES = (1, 4, 16, 64)
ROUND = 0.5  # s, each side's turn
ACTIONS = 50  # different ones, drawn beforehand

Step = Callable[[Any], Any]


def single() -> gymnasium.Env:
    return gymnasium.make(ENV_ID, disable_env_checker=True)


@dataclass(frozen=True)
class Side:
    """One way to step a batch, and what it cost to get it ready to."""

    step: Step
    seconds: float  # from the call to the end of the first reset
    megabytes: float  # of memory that processes started for it have to themselves


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


def rate(step: Step, actions: np.ndarray, seconds: float) -> float:
    """Steps of single environments per second."""
    start = time.perf_counter()
    for count, action in enumerate(itertools.cycle(actions), 1):
        step(action)
        if (elapsed := time.perf_counter() - start) > seconds:
            return count * actions.shape[1] / elapsed
    raise AssertionError("a cycle has no end")


OTHERS = ("in-process", "AsyncVectorEnv", "SubprocVecEnv")


def of_size(size: int, rounds: int) -> Iterator[Comparison]:
    """Ours over each of the others."""
    actions = np.random.default_rng(0).uniform(-1, 1, (ACTIONS, size, 5)).astype(np.float32)
    with ExitStack() as stack:
        sides = started(size, stack)
        rates = turns({name: partial(rate, each.step, actions, ROUND) for name, each in sides.items()}, rounds)
    for name in OTHERS:
        yield compare(f"batch of {size}", "steps/s", rates["uniros"], name, rates[name])
    if size == SIZES[-1]:
        mine = sides["uniros"]
        for name in OTHERS[1:]:
            theirs = sides[name]
            yield compare(f"batch of {size}, made and reset", "s", [mine.seconds], name, [theirs.seconds], more=False)
            yield compare(f"batch of {size}, memory of each", "MB", [mine.megabytes / size], name,
                          [theirs.megabytes / size], more=False)


def rows(rounds: int = 6) -> list[Comparison]:
    """Of all sizes."""
    registration.register()
    return [row for size in SIZES for row in of_size(size, rounds)]


def main(rounds: int = 6) -> dict[int, dict[str, float]]:
    """Run, print the table, and return for each size uniros's steps/s over those of the other sides."""
    found = rows(rounds)
    show(found)
    sizes = {f"batch of {size}": size for size in SIZES}
    return {size: {row.than: row.ratio for row in found if row.what == what} for what, size in sizes.items()}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
