"""What recording costs: RX200 Reach in lock-step with a recorder on the env server's master, and without one.

.venv/bin/python test/benchmark/recording.py [rounds]

Two equal masters, one of them with a recorder, are stepped in turn through the learner's client.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from compare import Comparison, compare, steps_per_second, turns

import uniros_learner as uniros
from uniros_bringup.graph import Graph

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from live import record, serve

ENV_ID = "RX200ReachSim-v0"
STEPS = 500  # per round


def rates_of(rounds: int) -> tuple[dict[str, list[float]], float]:
    """Steps/s of both in each round, and the bytes on the disk per transition."""
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 5)).astype(np.float32)
    with ExitStack() as stack:
        envs = {}
        for name in ("not recorded", "recorded"):
            graph = stack.enter_context(Graph())
            serve(graph, ENV_ID, "/rx200")
            if name == "recorded":
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                record(graph, folder)
            envs[name] = stack.enter_context(uniros.connect(graph.master.uri, "/rx200"))
        time.sleep(1.0)  # until the recorder hears the server
        for env in envs.values():
            env.reset(seed=0)
        rates = turns({name: partial(steps_per_second, env, actions) for name, env in envs.items()}, rounds)
        size = sum(path.stat().st_size for path in folder.iterdir())
    return rates, size / (rounds + 1) / STEPS


def rows(rounds: int = 10) -> list[Comparison]:
    """Recorded beside not recorded."""
    rates, _ = rates_of(rounds)
    return [compare("lock-step while every transition is recorded", "steps/s", rates["recorded"], "not recorded",
                    rates["not recorded"])]


def main(rounds: int = 15) -> dict[str, float]:
    """Run, print the table, and return the ratio for others to use."""
    rates, size = rates_of(rounds)
    ratio = statistics.median(r / n for r, n in zip(rates["recorded"], rates["not recorded"], strict=True))
    for name, values in rates.items():
        print(f"{ENV_ID} {name:<14}{statistics.median(values):>8.0f} steps/s")
    print(f"recorded: {ratio:.3f} x as fast, {size:.0f} bytes per transition on the disk")
    return {"recorded / not recorded": ratio}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
