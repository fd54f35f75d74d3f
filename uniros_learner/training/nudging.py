"""Discrete actions for arms: nudges of one joint at a time."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from uniros_learner.training.fields import InvalidConfig


def nudges(space: spaces.Box, size: float) -> NDArray[np.float32]:
    """(2 A + 1, A) actions: stay, then each component alone by +size and by -size, within the space.

    For actions that are changes, where zero means stay; other spaces are taken by their middle and half their range.
    """
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    if space.shape is None or len(space.shape) != 1 or not np.isfinite([low, high]).all():
        raise InvalidConfig(f"discrete nudges are of one-dimensional bounded actions, not of {space}")
    middle, reach = (low + high) / 2, size * (high - low) / 2
    each = np.diag(reach)
    rows = np.stack([each, -each], axis=1).reshape(-1, len(middle))
    return (middle + np.concatenate([np.zeros((1, len(middle))), rows])).astype(np.float32)


class Nudges(VecEnvWrapper):
    """Discrete actions for continuous ones: see `nudges`."""

    def __init__(self, venv: VecEnv, size: float):
        assert isinstance(venv.action_space, spaces.Box)
        self.table = nudges(venv.action_space, size)
        super().__init__(venv, action_space=spaces.Discrete(len(self.table)))

    def reset(self) -> VecEnvObs:
        """As the environment does."""
        return self.venv.reset()

    def commanded(self, actions: np.ndarray) -> NDArray[np.float32]:
        """(n, A) actions for (n,) numbers of nudges."""
        return self.table[np.asarray(actions, dtype=np.int64)]

    def step_async(self, actions: np.ndarray) -> None:
        """Numbers of nudges, (n,)."""
        self.venv.step_async(self.commanded(actions))

    def step_wait(self) -> VecEnvStepReturn:
        """As the environment does."""
        return self.venv.step_wait()
