"""A policy as it acts: from an environment's own observation to its own action, through all that lies between."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper


class Agent:
    """The policy's best actions, for whoever steps a single environment by hand.

    venv: what `environments.vectorise` made for the policy. Its wrappers that change what is seen or done say so by
    `observed(observations)` and `commanded(actions)`, for a batch of one.
    """

    def __init__(self, policy: PolicyPredictor, venv: VecEnv):
        self._policy = policy
        self._layers: list[VecEnvWrapper] = []  # the outermost first
        while isinstance(venv, VecEnvWrapper):
            self._layers.append(venv)
            venv = venv.venv

    def act(self, observation: Any) -> Any:
        """The action for one observation."""
        seen = _batch(observation)
        for layer in reversed(self._layers):
            if hasattr(layer, "observed"):
                seen = layer.observed(seen)
        done: Any = self._policy.predict(seen, deterministic=True)[0]
        for layer in self._layers:
            if hasattr(layer, "commanded"):
                done = layer.commanded(done)
        return done[0]


def _batch(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: np.asarray(value)[None] for key, value in observation.items()}
    return np.asarray(observation)[None]


def can_stay(action_space: spaces.Space) -> bool:
    """Whether the zero action exists; for arms that are told changes it means to stay."""
    return isinstance(action_space, spaces.Box) and action_space.contains(np.zeros_like(action_space.low))
