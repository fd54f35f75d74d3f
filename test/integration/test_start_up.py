"""What starts with an environment, and what must not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

import uniros_learner as uniros
from uniros_learner.proxy import GymProxy

READY = 3.0  # s of computing until an environment can be stepped; less by the clock, since several start side by side
LEARNER = """
import sys
import uniros_learner as uniros
with uniros.make("RX200ReachSim-v0") as env:
    env.reset(seed=0)
    env.step(env.action_space.sample())
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def env() -> Iterator[GymProxy]:
    with uniros.make("RX200ReachSim-v0") as made:
        made.reset(seed=0)
        yield made


def packages(pid: int) -> set[str]:
    """Python packages of which a process has loaded shared libraries."""
    return set(re.findall(r"(?:site|dist)-packages/(\w+)/", Path(f"/proc/{pid}/maps").read_text()))


def test_a_server_has_no_torch(env: GymProxy) -> None:
    loaded = packages(env.description.pid)
    assert {"numpy", "mujoco"} <= loaded
    assert not loaded & {"torch", "matplotlib", "stable_baselines3"}


def test_a_worker_has_neither_physics_nor_torch(env: GymProxy) -> None:
    loaded = packages(env._link.pid)
    assert "numpy" in loaded
    assert not loaded & {"mujoco", "torch", "matplotlib", "scipy"}


def test_a_learner_has_neither_physics_nor_ros() -> None:
    done = subprocess.run([sys.executable, "-c", LEARNER], capture_output=True, text=True, timeout=60.0, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"mujoco", "torch", "matplotlib", "scipy", "stable_baselines3", "rospy"}


def computed() -> float:
    """s of CPU time of all that we started and that still runs."""
    children = psutil.Process().children(recursive=True)
    return sum(sum(process.cpu_times()[:2]) for process in children if process.is_running())


def test_the_last_of_several_is_ready_as_soon_as_the_first() -> None:
    cost = []
    with ExitStack() as stack:
        for _ in range(2):
            before = computed()
            stack.enter_context(uniros.make("RX200ReachSim-v0")).reset(seed=0)
            cost.append(computed() - before)
    assert max(cost) < READY
    assert cost[-1] < 1.5 * cost[0]
