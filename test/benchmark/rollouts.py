"""Rollouts in lock-step on RX200 Reach: steps/s of episodes that the env server goes through by itself, until the last
transition has arrived here, over steps/s of the same policy in a loop in this process; and of one step action after the
other.

    .venv/bin/python test/benchmark/rollouts.py [rounds]

The policy has two layers of 64, as the ones we train. All take turns in short rounds, so a machine that slows down
slows all of them down; ratios are medians over the rounds.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import gymnasium
from compare import Comparison, compare, turns

import uniros_learner as uniros
from uniros_env_server import registration
from uniros_msgs.policy import Policy

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from policies import drawn

ENV_ID = "RX200ReachSim-v0"
STEPS = 1000  # per round
WIDTHS = (64, 64)


def loop(env: gymnasium.Env, policy: Policy) -> float:
    """Steps per second of the policy acting here, resets between episodes included."""
    start = time.perf_counter()
    observation, _ = env.reset()
    for _ in range(STEPS):
        observation, _, terminated, truncated, _ = env.step(policy.act(observation))
        if terminated or truncated:
            observation, _ = env.reset()
    return STEPS / (time.perf_counter() - start)


def roll(env: uniros.RosEnv, policy: Policy) -> float:
    """The same of the policy acting at the server, until the last transition is here and the server is free again."""
    start = time.perf_counter()
    with env.rollout(policy, steps=STEPS) as rollout:
        arrived = sum(len(batch.actions()) for batch in rollout)
    assert arrived == STEPS
    return STEPS / (time.perf_counter() - start)


def rates_of(rounds: int) -> dict[str, list[float]]:
    """Steps/s of each side in each round."""
    registration.register()
    here = gymnasium.make(ENV_ID, disable_env_checker=True)
    policy = drawn(here.observation_space, here.action_space, widths=WIDTHS)
    with uniros.make(ENV_ID) as there:
        for env in (here, there):
            env.reset(seed=0)
        return turns({"in-process loop": lambda: loop(here, policy), "rollout": lambda: roll(there, policy),
                      "step actions": lambda: loop(there, policy)}, rounds)


def rows(rounds: int = 8) -> list[Comparison]:
    """Rollouts beside both ways to loop."""
    rates = rates_of(rounds)
    return [compare("rollout of a policy of two layers of 64", "steps/s", rates["rollout"], name, rates[name])
            for name in ("in-process loop", "step actions")]


def main(rounds: int = 8) -> dict[str, float]:
    """Run, print the table, and return the ratios for others to use."""
    rates = rates_of(rounds)
    ratios = {name: statistics.median(rate / base for rate, base in zip(values, rates["in-process loop"], strict=True))
              for name, values in rates.items()}
    print(f"{ENV_ID}, a policy of {WIDTHS}" + " " * 8 + "steps/s    x in-process")
    for name, values in rates.items():
        print(f"{name:<40}{statistics.median(values):>8.0f}{ratios[name]:>14.2f}")
    return ratios


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
