"""What comes back from a server is a true gymnasium.Env: it passes every checker, and learners take it as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from exact import assert_same
from live import serve
from stable_baselines3 import DQN, TD3
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import uniros_learner as uniros
from uniros_bringup.graph import Graph
from uniros_env_server import registration
from uniros_env_server.testing import EnvContract

pytestmark = pytest.mark.patient


class TestServedPendulum(EnvContract):
    @classmethod
    def make_env(cls) -> gymnasium.Env:
        return uniros.make("Pendulum-v1")


class TestServedReach(EnvContract):
    @classmethod
    def make_env(cls) -> gymnasium.Env:
        return uniros.make("RX200ReachSim-v0")


class TestServedReachGoal(EnvContract):
    @classmethod
    def make_env(cls) -> gymnasium.Env:
        return uniros.make("RX200ReachGoalSim-v0")


class TestReachInProcess(EnvContract):
    @classmethod
    def make_env(cls) -> gymnasium.Env:
        registration.register()
        return gymnasium.make("RX200ReachSim-v0", disable_env_checker=True)


def test_stable_baselines_checks_and_trains_on_them_as_they_are() -> None:
    with uniros.make("RX200ReachSim-v0") as env:
        assert isinstance(env, gymnasium.Env)
        sb3_check_env(env, warn=False)
        model = TD3("MlpPolicy", env, learning_starts=20, batch_size=8, policy_kwargs={"net_arch": [8]}, device="cpu")
        model.learn(60)
    with uniros.make("CartPole-v1") as env:
        sb3_check_env(env)
        DQN("MlpPolicy", env, learning_starts=20, policy_kwargs={"net_arch": [8]}, device="cpu").learn(60)


def test_gymnasium_makes_our_ids() -> None:
    env = gymnasium.make("uniros_learner:uniros/RX200ReachSim-v0", reward_type="sparse")
    observation, info = env.reset(seed=1)
    assert observation.shape == (28,) and "distance" in info
    assert env.step(env.action_space.sample())[1] in (0.0, -1.0)
    env.close()


def test_two_runs_with_one_seed_are_the_same_bits() -> None:
    runs = []
    for _ in range(2):
        with uniros.make("RX200ReachSim-v0") as env:
            env.action_space.seed(3)
            said: list[Any] = [env.reset(seed=3)]
            for _ in range(150):
                said.append(env.step(env.action_space.sample()))
                if said[-1][2] or said[-1][3]:
                    said.append(env.reset())
            runs.append(said)
    assert_same(runs[0], runs[1])


def test_two_masters_do_not_see_each_other() -> None:
    with uniros.make("RX200ReachSim-v0") as one, uniros.make("RX200ReachSim-v0") as other:
        assert one._link.address != other._link.address
        first, second = one.reset(seed=1)[0], other.reset(seed=2)[0]
        assert not np.array_equal(first, second)
        for number in range(20):
            up, down = np.full(5, 0.2, np.float32), np.full(5, -0.2, np.float32)
            here, there = one.step(up)[0], other.step(down)[0]
            assert not np.array_equal(here, there), number
        nodes = [
            subprocess.run(
                ["rosnode", "list"],
                env={**os.environ, "ROS_MASTER_URI": env._link.address.rpartition(" ")[2]},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
            for env in (one, other)
        ]
        assert [sum("env_server" in name for name in names) for names in nodes] == [1, 1]
        assert not {n for n in nodes[0] if "learner" in n} & {n for n in nodes[1] if "learner" in n}


def test_a_node_may_do_without_a_worker(graph: Graph) -> None:
    serve(graph, "CartPole-v1", "/pole")
    script = """
from uniros_learner.env import RosEnv
from uniros_learner.roslink import RosLink
env = RosEnv(RosLink("/pole", "a node"))
observation, _ = env.reset(seed=5)
print(observation.tolist(), env.step(1)[1])
env.close()
"""
    shown = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **graph.master.env()}, capture_output=True, text=True
    )
    expected = gymnasium.make("CartPole-v1").reset(seed=5)[0].tolist()
    assert shown.stdout.strip() == f"{expected} 1.0", shown.stderr
