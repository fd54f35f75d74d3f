"""A served environment is the environment.

The same seed and actions in-process and through ROS: observations, rewards, flags and infos, compared to the last bit,
types included. Classic control, toy text, MuJoCo, gymnasium-robotics, and every kind of space.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import gymnasium
import gymnasium_robotics
from exact import assert_same
from odd_envs import SPACES, Sampled
from run import Row

import uniros_learner as uniros

gymnasium.register_envs(gymnasium_robotics)

STEPS = 1000
IDS = (
    "CartPole-v1", "Acrobot-v1", "MountainCarContinuous-v0", "Pendulum-v1", "FrozenLake-v1", "Taxi-v3", "Blackjack-v1",
    "CliffWalking-v1", "Hopper-v5", "HalfCheetah-v5", "Ant-v5", "gymnasium_robotics:FetchReach-v4",
    "gymnasium_robotics:FetchPickAndPlace-v4",
)  # fmt: skip


def measure() -> Iterator[Row]:
    for env_id in IDS:
        yield Row(
            env_id, "identical", compare(gymnasium.make(env_id, disable_env_checker=True), uniros.make(env_id)), True
        )
    for kind in SPACES:
        yield Row(
            f"{SPACES[kind]}", "identical", compare(Sampled(kind), uniros.make("odd_envs:Sampled", kind=kind)), True
        )
    yield Row("two runs of RX200ReachSim-v0 with one seed", "identical", repeat("RX200ReachSim-v0"), True)


def compare(here: gymnasium.Env, there: gymnasium.Env) -> str:
    """Step both; raises AssertionError at the first difference."""
    actions = copy.deepcopy(here.action_space)  # an environment may draw from its own
    actions.seed(11)
    resets = 1
    with there:
        assert_same(there.reset(seed=11), here.reset(seed=11))
        for _ in range(STEPS):
            action = actions.sample()
            said = there.step(action)
            assert_same(said, here.step(action))
            if said[2] or said[3]:
                assert_same(there.reset(), here.reset())
                resets += 1
    here.close()
    return f"{STEPS:,} steps, {resets} resets: identical"


def repeat(env_id: str) -> str:
    first, second = (uniros.make(env_id) for _ in range(2))
    with first:
        return compare(second, first)
