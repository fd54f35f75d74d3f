"""Failures, caused for real.

SIGKILL and SIGSTOP to each process in turn while a learner steps. The tests in `test/integration/test_failures.py`
assert these deadlines and cause the other failures, too: NaN, wrong shapes, a second learner, a stopped clock, a paused
subscriber.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
from run import Row

import uniros_learner as uniros
from uniros_msgs import errors

REPEATS = 5
LEARNER = """
import uniros_learner as uniros
env = uniros.make("CartPole-v1")
env.reset()
print("ready", flush=True)
while True:
    env.step(0), env.reset()
"""


def measure() -> Iterator[Row]:
    for victim, error in (("worker", errors.WorkerDied), ("server", errors.ServerDied), ("master", errors.MasterDied)):
        slowest = max(until_noticed(victim, error) for _ in range(REPEATS))
        name = f"SIGKILL of the {victim} to {error.__name__} in the learner, slowest of {REPEATS}"
        yield Row(name, "within 1 s", f"{slowest * 1e3:.0f} ms", slowest < 1.0)
    slowest = max(until_gone() for _ in range(REPEATS))
    name = f"SIGKILL of the learner to the end of worker, server and master, slowest of {REPEATS}"
    yield Row(name, "within 5 s", f"{slowest:.2f} s", slowest < 5.0)
    for victim in ("nobody", "server", "worker"):
        slowest = max(until_closed(victim) for _ in range(REPEATS))
        yield Row(
            f"close() with {victim} frozen, slowest of {REPEATS}", "within 7 s", f"{slowest:.2f} s", slowest < 7.0
        )


def family(worker: psutil.Process) -> dict[str, psutil.Process]:
    """The worker and what it started, by role."""
    found = {"worker": worker}
    for child in worker.children(recursive=True):
        found["master" if "rosmaster" in " ".join(child.cmdline()) else "server"] = child
    return found


def until_noticed(victim: str, error: type[Exception]) -> float:
    with uniros.make("CartPole-v1") as env:
        env.reset()
        family(psutil.Process(env._link.pid))[victim].kill()
        start = time.monotonic()
        try:
            while True:
                if env.step(0)[2]:
                    env.reset()
        except error:
            return time.monotonic() - start


def until_gone() -> float:
    learner = subprocess.Popen([sys.executable, "-c", LEARNER], stdout=subprocess.PIPE, text=True)
    assert learner.stdout and learner.stdout.readline() == "ready\n"
    others = psutil.Process(learner.pid).children(recursive=True)
    learner.kill()
    learner.wait()
    start = time.monotonic()
    assert len(others) >= 3
    while any(alive(process) for process in others):
        time.sleep(0.01)
    return time.monotonic() - start


def alive(process: psutil.Process) -> bool:
    """A zombie is not: it only waits for init to take note."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until_closed(victim: str) -> float:
    env = uniros.make("CartPole-v1")
    env.reset()
    if victim != "nobody":
        family(psutil.Process(env._link.pid))[victim].send_signal(signal.SIGSTOP)
    start = time.monotonic()
    env.close()
    return time.monotonic() - start
