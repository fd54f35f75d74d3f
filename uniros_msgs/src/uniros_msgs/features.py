"""Observations as the flat float32 vectors that networks take, in the order and form Stable-Baselines3 gives them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces as gs

from uniros_msgs.errors import InvalidPolicy

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from collections.abc import Callable

    import gymnasium


class Features:
    """Of one observation space; `size` numbers per observation."""

    def __init__(self, space: gymnasium.Space) -> None:
        """Raises InvalidPolicy for a space that no network of ours takes."""
        self._keys = list(space.spaces) if isinstance(space, gs.Dict) else None
        parts: list[Any] = list(space.spaces.values()) if isinstance(space, gs.Dict) else [space]
        self._flatten = [_flattener(part) for part in parts]
        self._shape = parts[0].shape
        self._first = self._keys[0] if self._keys else None
        self.size = sum(map(_size, parts))

    def __call__(self, observation: Any) -> tuple[np.ndarray, bool]:
        """(rows, size) float32, and whether the observation had a dimension of rows; one without makes one row."""
        if self._keys is None:
            batched = np.ndim(observation) > len(self._shape)
            return self._flatten[0](observation), batched
        batched = np.ndim(observation[self._first]) > len(self._shape)
        parts = [flatten(observation[key]) for key, flatten in zip(self._keys, self._flatten)]
        return np.concatenate(parts, axis=-1), batched


def _flattener(space: Any) -> Callable[[Any], np.ndarray]:
    size = _size(space)
    if isinstance(space, (gs.Box, gs.MultiBinary)):
        return lambda value: np.asarray(value, np.float32).reshape(-1, size)
    if isinstance(space, gs.Discrete):
        return _one_hot(np.array([space.n]), np.array([space.start]))
    return _one_hot(space.nvec.ravel(), space.start.ravel())


def _one_hot(choices: np.ndarray, start: np.ndarray) -> Callable[[Any], np.ndarray]:
    """One vector after the other, each with a single 1."""
    where = np.concatenate([[0], np.cumsum(choices)[:-1]]) - start

    def flatten(value: Any) -> np.ndarray:
        rows = np.asarray(value, np.int64).reshape(-1, len(choices)) + where
        vectors = np.zeros((len(rows), int(choices.sum())), np.float32)
        np.put_along_axis(vectors, rows, 1.0, axis=-1)
        return vectors

    return flatten


def _size(space: Any) -> int:
    if isinstance(space, (gs.Box, gs.MultiBinary)):
        return math.prod(space.shape)
    if isinstance(space, gs.Discrete):
        return int(space.n)
    if isinstance(space, gs.MultiDiscrete):
        return int(space.nvec.sum())
    raise InvalidPolicy(f"a policy's observations are a Box, Discrete, MultiDiscrete, MultiBinary, or a Dict of these, "
                        f"not {space}")
