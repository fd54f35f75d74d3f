"""From a launch file's bag to a table and a reality gap, as a user goes the way."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from live import wait_until

import uniros_learner as uniros
from uniros_bringup.command import find_launch_file
from uniros_bringup.graph import Graph
from uniros_bringup.supervisor import Launch
from uniros_bringup.xmlrpc import CallFailed, call
from uniros_learner.replay import trajectories

NODES = Path(__file__).resolve().parents[2] / "uniros_learner" / "nodes"


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that sim.launch has recorded to: three episodes of at most 100 steps, and the beginning of a fourth."""
    folder = tmp_path_factory.mktemp("bags")
    with Graph() as graph:
        launch = Launch(find_launch_file("sim"), [f"bags:={folder}"], graph.master)
        try:
            wait_until(lambda: offers(graph, "/rx200/env/describe"), 30.0)
            with uniros.connect(graph.master.uri, "/rx200") as env:
                rng = np.random.default_rng(4)
                for seed in range(3):
                    env.reset(seed=seed)
                    ended = False
                    while not ended:
                        _, _, terminated, truncated, _ = env.step(rng.uniform(-1, 1, 5).astype(np.float32))
                        ended = terminated or truncated
                env.reset()
                env.step(np.zeros(5, np.float32))
                wait_until(lambda: episodes_in(folder) == 3, 10.0)
        finally:
            launch.close()  # kills what does not end at once
    yield folder


def offers(graph: Graph, service: str) -> bool:
    try:
        return bool(call(graph.master.uri, "lookupService", service))
    except CallFailed:
        return False


def episodes_in(folder: Path) -> int:
    """In a copy, for the bag is being recorded."""
    count = 0
    for path in folder.glob("*.bag.active"):
        copy = folder.parent / path.name
        copy.write_bytes(path.read_bytes())
        count += sum(trajectory.whole for trajectory in trajectories(copy))
        copy.with_suffix("").unlink()
    return count


def test_launch_files_record_and_replay_shows_it(bags: Path) -> None:
    command = [sys.executable, NODES / "replay", bags, "--no-plots", "--drift", "last"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    bag, = bags.glob("*.bag")
    assert re.fullmatch(r"rx200-sim-\d{8}-\d{6}\.bag", bag.name)
    assert done.stdout.startswith("/rx200: RX200ReachSim-v0, sim, lock-step, cycle 0.1 s\n")
    assert "3 whole" in done.stdout
    found = re.search(r"end effector \(mm\) +([\d.]+) +([\d.]+) +([\d.]+)", done.stdout)
    assert found and max(map(float, found.groups())) < 0.1, done.stdout  # the same arm: only rounding differs
