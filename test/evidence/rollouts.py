"""Rollouts.

The policy acts in the env server: no network lies between an observation and its action. In lock-step
`test/benchmark/rollouts.py` takes the same policy in a loop of this process as the measure, in turn in one run. In real
time, at 10 Hz, the learner sits behind a link that delays each packet by 50 ms +- 20 ms and loses 1 % each way (two
network namespaces, a relay between two TUN devices); a period is the time between two commands by the robot's clock,
its jitter how far that is from 100 ms. The same policy then acts at the learner's side, step by step over the same
link. The arm is first a simulated one, then the emulated real one with its driver.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import psutil
from benchmark import rollouts
from far_robot import robot, rolled, rolled_periods, stepped_periods
from impaired import Link
from live import serve, wait_until
from policies import drawn
from run import Row

import uniros_learner as uniros
from uniros_bringup.graph import Graph
from uniros_learner.roslink import LEASE_EXPIRY
from uniros_msgs.errors import LeaseHeld, WorkerDied

CYCLE = 0.1  # s
SHARE = 0.9  # of the loop's steps/s
JITTER = 2.0  # ms
ROLLED, STEPPED = 60.0, 15.0  # s
ARMS = {"simulated arm": ("sim", "real_time:=true"), "emulated real arm": ("real",)}


def measure() -> Iterator[Row]:
    ratios = rollouts.main()
    yield Row("lock-step: steps/s over those of the same policy in a loop in this process", f"at least {SHARE:g} x",
              f"{ratios['rollout']:.2f} x", ratios["rollout"] >= SHARE)
    yield Row("lock-step: one step action after the other, for comparison", "", f"{ratios['step actions']:.2f} x")
    for name, words in ARMS.items():
        with robot(Link(), *words) as env:
            yield from behind_the_link(name, env)
    yield vanished()


def behind_the_link(name: str, env: uniros.GymProxy) -> Iterator[Row]:
    env.reset(seed=0)
    batches = rolled(env, ROLLED)
    jitter = 1e3 * np.abs(rolled_periods(batches) - CYCLE)
    p99 = float(np.percentile(jitter, 99))
    yield Row(f"{name} behind the link: jitter of the control period with a rollout", f"p99 below {JITTER:g} ms",
              f"p50 {np.median(jitter):.2f}, p99 {p99:.2f}, most {jitter.max():.2f} ms ({len(jitter)} periods)",
              p99 < JITTER)
    yield Row(f"{name} behind the link: transitions that arrived", "all",
              f"{sum(batch.count for batch in batches)}, none lost", True)
    periods = 1e3 * stepped_periods(env, STEPPED)
    p50, p99 = np.percentile(periods, (50, 99))
    yield Row(f"{name} behind the link: the period that stepping gives", "",
              f"p50 {p50:.0f}, p99 {p99:.0f}, most {periods.max():.0f} ms ({len(periods)} periods)")


def vanished() -> Row:
    """A learner of which nothing is left, not even the process that would give its lease back."""
    with Graph() as graph:
        serve(graph, "RX200ReachSim-v0", "/rx200", real_time=True)
        with uniros.connect(graph.master.uri) as env, suppress(WorkerDied), \
                env.rollout(drawn(env.observation_space, env.action_space)):
            psutil.Process(env._link.pid).kill()
            seconds = wait_until(lambda: free(graph.master.uri), LEASE_EXPIRY + 5.0)
    return Row("from the SIGKILL of a learner's connection to the arm doing as another learner says",
               f"at most {LEASE_EXPIRY + 2.0:g} s, with a lease of {LEASE_EXPIRY:g} s", f"{seconds:.1f} s",
               seconds <= LEASE_EXPIRY + 2.0)


def free(uri: str) -> bool:
    try:
        with uniros.connect(uri) as other:
            other.reset()
            other.step(np.zeros(5, np.float32))
    except LeaseHeld:
        time.sleep(0.05)
        return False
    return True
