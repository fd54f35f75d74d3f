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
from pathlib import Path

import gymnasium
import numpy as np

import uniros_learner as uniros
from uniros_bringup.graph import Graph

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from live import record, serve  # noqa: E402

ENV_ID = "RX200ReachSim-v0"
STEPS = 500  # per round


def measure(env: gymnasium.Env, actions: np.ndarray) -> float:
    """Steps per second, resets between episodes included."""
    env.reset()
    start = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return len(actions) / (time.perf_counter() - start)


def main(rounds: int = 15) -> dict[str, float]:
    """Run, print the table, and return the ratio for others to use."""
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 5)).astype(np.float32)
    rates: dict[str, list[float]] = {"not recorded": [], "recorded": []}
    with ExitStack() as stack:
        envs = []
        for name in rates:
            graph = stack.enter_context(Graph())
            serve(graph, ENV_ID, "/rx200")
            if name == "recorded":
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                record(graph, folder)
            envs.append(stack.enter_context(uniros.connect(graph.master.uri, "/rx200")))
        time.sleep(1.0)  # until the recorder hears the server
        for env in envs:
            env.reset(seed=0)
            measure(env, actions)
        for number in range(rounds):
            for name, env in list(zip(rates, envs, strict=True))[:: 1 if number % 2 else -1]:
                rates[name].append(measure(env, actions))
        size = sum(path.stat().st_size for path in folder.iterdir())
    ratio = statistics.median(r / n for n, r in zip(*rates.values(), strict=True))
    for name, values in rates.items():
        print(f"{ENV_ID} {name:<14}{statistics.median(values):>8.0f} steps/s")
    print(f"recorded: {ratio:.3f} x as fast, {size / (rounds + 1) / STEPS:.0f} bytes per transition on the disk")
    return {"recorded / not recorded": ratio}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
