"""RX200 Reach in lock-step: steps/s through worker, action and server, over steps/s of the same environment in this
process.

.venv/bin/python test/benchmark/lock_step.py [rounds]
"""

from __future__ import annotations

import sys
from functools import partial

import gymnasium
import numpy as np
from compare import Comparison, compare, show, steps_per_second, turns

import uniros_learner as uniros
from uniros_env_server import registration

ENV_ID = "RX200ReachSim-v0"
STEPS = 300  # per round


def rows(rounds: int = 10) -> list[Comparison]:
    """Ours over the environment itself."""
    registration.register()
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 5)).astype(np.float32)
    here = gymnasium.make(ENV_ID, disable_env_checker=True)
    with uniros.make(ENV_ID) as there:
        for env in (here, there):
            env.reset(seed=0)
        envs = {"in-process": here, "uniros": there}
        found = turns({name: partial(steps_per_second, env, actions) for name, env in envs.items()}, rounds)
    return [compare(f"{ENV_ID}, one arm in lock-step", "steps/s", found["uniros"], "in-process", found["in-process"])]


def main(rounds: int = 10) -> dict[str, float]:
    """Run, print the table, and return the ratio for others to use."""
    found = rows(rounds)
    show(found)
    return {"uniros / in-process": found[0].ratio}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
