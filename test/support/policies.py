"""Untrained policies for tests and benchmarks."""

from __future__ import annotations

import math

import gymnasium
import numpy as np

from uniros_msgs.features import Features
from uniros_msgs.policy import Policy


def drawn(observations: gymnasium.Space, actions: gymnasium.Space, seed: int = 0, widths: tuple[int, ...] = (64, 64),
          head: str = "", version: str = "") -> Policy:
    """A network with weights by chance; by default tanh for continuous actions, argmax for choices."""
    rng, width = np.random.default_rng(seed), Features(observations).size
    outputs = actions.n if isinstance(actions, gymnasium.spaces.Discrete) else math.prod(actions.shape)
    tensors = {}
    for name, following in [*((f"layer{n}", w) for n, w in enumerate(widths)), ("out", outputs)]:
        tensors[f"{name}.weight"] = rng.normal(0, width**-0.5, (following, width)).astype(np.float32)
        tensors[f"{name}.bias"] = rng.normal(0, 0.1, following).astype(np.float32)
        width = following
    head = head or ("argmax" if isinstance(actions, gymnasium.spaces.Discrete) else "tanh")
    return Policy(observations, actions, head, ["relu"] * len(widths), tensors, version)


def stepwise(observations: gymnasium.spaces.Box, actions: gymnasium.spaces.Discrete, before: int, after: int,
             above: float) -> Policy:
    """Chooses `before` until the first number of the observation is above a threshold, then `after`."""
    weight, bias = np.zeros((actions.n, observations.shape[0]), np.float32), np.full(actions.n, -1e3, np.float32)
    weight[after, 0], bias[after], bias[before] = 1.0, 0.0, above
    return Policy(observations, actions, "argmax", [], {"out.weight": weight, "out.bias": bias})


def turning(env: gymnasium.Env) -> Policy:
    """Turns the waist at full speed, whatever it sees."""
    policy = drawn(env.observation_space, env.action_space, widths=())
    weight, bias = policy.tensors["out.weight"], policy.tensors["out.bias"]
    weight[:], bias[:] = 0.0, [3.0, *[0.0] * (len(bias) - 1)]
    return policy
