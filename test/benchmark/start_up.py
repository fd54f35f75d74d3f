"""How long it takes until an environment is ready to step, and what memory it needs: through ROS, and in a process.

    .venv/bin/python test/benchmark/start_up.py [count]

Environments are made one after the other and all stay open: ours with a ROS master, an env server and a worker each,
and gymnasium's AsyncVectorEnv of one, spawned, since a process with rospy in it must not be forked. Memory is what the
processes started for one do not share with others.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gymnasium
import psutil
from compare import Comparison, compare, show

import uniros_learner as uniros
from uniros_env_server import registration

ENV_ID = "RX200ReachSim-v0"
COUNT = 10


def private() -> float:
    """MB that the processes we started do not share with others."""
    return sum(process.memory_full_info().uss for process in psutil.Process().children(recursive=True)) / 1e6


def started(make: Callable[[], Any], count: int) -> tuple[list[float], list[float]]:
    """Seconds and MB of each, from the call to the end of the first reset."""
    seconds, megabytes = [], []
    with ExitStack() as stack:
        for _ in range(count):
            memory, start = private(), time.perf_counter()
            env = make()
            stack.callback(env.close)
            env.reset(seed=0)
            seconds.append(time.perf_counter() - start)
            megabytes.append(private() - memory)
    return seconds, megabytes


def rows(count: int = COUNT) -> list[Comparison]:
    """Ours beside a process of its own for each."""
    registration.register()
    other, spawned = "AsyncVectorEnv of one", {"context": "spawn"}
    theirs = started(lambda: gymnasium.make_vec(ENV_ID, 1, "async", spawned, disable_env_checker=True), count)
    ours = started(lambda: uniros.make(ENV_ID), count)
    return [
        compare("from make() to ready to step", "s", ours[0], other, theirs[0], more=False),
        compare(f"the last of {count}", "s", ours[0][-1:], other, theirs[0][-1:], more=False),
        compare("memory of one environment", "MB", ours[1], other, theirs[1], more=False),
    ]


def main(count: int = COUNT) -> list[Comparison]:
    found = rows(count)
    show(found)
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
