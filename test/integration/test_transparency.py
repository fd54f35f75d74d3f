"""A served environment is the environment: to the last bit, types included."""

from __future__ import annotations

from typing import Any

import gymnasium
import gymnasium_robotics
import numpy as np
import pytest
from exact import assert_same
from live import serve
from odd_envs import SPACES, Sampled

import uniros_learner as uniros

pytestmark = pytest.mark.patient
gymnasium.register_envs(gymnasium_robotics)

SERVED = [
    ("CartPole-v1", {}),
    ("Pendulum-v1", {"g": 9.81}),
    ("FrozenLake-v1", {"desc": None, "map_name": "4x4"}),
    ("Taxi-v3", {}),
    ("Blackjack-v1", {}),
    ("Hopper-v5", {}),
    ("gymnasium_robotics:FetchReach-v4", {}),
]


def roll(env: gymnasium.Env, actions: list[Any], **reset: Any) -> list[Any]:
    """Everything an environment says in two episodes: resets with a seed and without, and a step per action."""
    said: list[Any] = [env.reset(seed=42, **reset)]
    for action in actions:
        said.append(env.step(action))
        if said[-1][2] or said[-1][3]:
            said.append(env.reset())
    return said


def actions_of(space: gymnasium.Space, count: int) -> list[Any]:
    space.seed(7)
    return [space.sample() for _ in range(count)]


@pytest.mark.parametrize(("env_id", "kwargs"), SERVED, ids=[env_id for env_id, _ in SERVED])
def test_same_seed_and_actions_give_the_same_bits(env_id: str, kwargs: dict[str, Any]) -> None:
    here = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    with uniros.make(env_id, **kwargs) as there:
        assert there.observation_space == here.observation_space
        assert there.action_space == here.action_space
        actions = actions_of(here.action_space, 60)
        assert_same(roll(there, actions), roll(here, actions))
    here.close()


def test_every_kind_of_space_and_info_passes_exactly(graph: Any) -> None:
    for kind in SPACES:
        serve(graph, "odd_envs:Sampled", f"/{kind}", kind=kind)
    for kind in SPACES:
        here = Sampled(kind)
        with uniros.connect(graph.master.uri, f"/{kind}") as there:
            assert there.observation_space == here.observation_space
            actions = actions_of(here.action_space, 40)
            options = {"pose": np.arange(3), "name": "x"}
            assert_same(roll(there, actions, options=options), roll(here, actions, options=options))
