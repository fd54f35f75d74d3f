"""One replay buffer of several domains: each keeps what it went through, batches are drawn from all in given shares.

Each domain's part is a buffer of Stable-Baselines3's own, plain or with hindsight (HER): goals are relabelled with the
rewards of the environment that the transition comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from uniros_learner.training.joint.experience import Experience

Samples: TypeAlias = ReplayBufferSamples | DictReplayBufferSamples


class MixedReplay:
    """What Stable-Baselines3's `train()` asks of a replay buffer. For one thread at a time."""

    def __init__(self, parts: Sequence[ReplayBuffer], shares: Sequence[float] = (), enough: int = 1):
        """shares: of a batch, from each part; none: the same from all. A part with fewer than `enough` transitions
        leaves its share to the others."""
        self.parts = list(parts)
        self._shares = np.asarray(shares if len(shares) else np.ones(len(parts)), dtype=np.float64)
        self._enough = enough

    def add(self, number: int, experience: Experience, relevant: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
        """Keep a whole episode of a domain. relevant: what of an info its rewards may depend on."""
        part = self.parts[number]
        rows = experience.rows()
        scaled = _scaled(part.action_space, np.array([row[2] for row in rows]))
        for t, (observation, following, _, reward, terminated, info) in enumerate(rows):
            ends = t == len(rows) - 1
            part.add(
                _batch_of_one(observation), _batch_of_one(following), scaled[t : t + 1], np.array([reward]),
                np.array([ends]), [{**relevant(info), "TimeLimit.truncated": ends and not terminated}],
            )

    @property
    def real_share(self) -> float:
        """Of a batch, from all parts but the first, which is the simulation's. Setting it keeps their proportion."""
        return float(1.0 - self._shares[0] / self._shares.sum())

    @real_share.setter
    def real_share(self, share: float) -> None:
        rest = self._shares[1:] if self._shares[1:].any() else np.ones(len(self.parts) - 1)
        self._shares = np.concatenate([[1.0 - share], share * rest / rest.sum()])

    def size(self) -> int:
        """Transitions that there are."""
        return sum(part.size() for part in self.parts)

    @property
    def ready(self) -> bool:
        """Whether a batch can be drawn."""
        return bool(self.weights().any())

    def weights(self) -> NDArray[np.float64]:
        """The shares of the domains in a batch drawn now; zeros while there is nothing to draw from."""
        filled = np.array([part.size() >= self._enough for part in self.parts])
        shares = self._shares * filled
        if not shares.any():  # all that there is comes from domains with a share of 0
            shares = filled * 1.0
        return shares / max(1e-9, shares.sum())

    def sample(self, batch_size: int, env: Any = None) -> Samples:
        """A batch, as Stable-Baselines3 wants it: tensors of (batch_size, ...)."""
        counts = split(batch_size, self.weights())
        drawn = [part.sample(count, env) for part, count in zip(self.parts, counts, strict=True) if count]
        return drawn[0] if len(drawn) == 1 else type(drawn[0])(*map(_joined, zip(*drawn, strict=True)))


def split(total: int, weights: NDArray[np.float64]) -> list[int]:
    """Whole numbers as near to the weights as can be, `total` in all."""
    ends = np.rint(np.cumsum(weights) * total).astype(int)
    return np.diff(ends, prepend=0).tolist()


def hindsight(buffer: ReplayBuffer) -> bool:
    """Whether it relabels goals."""
    return isinstance(buffer, HerReplayBuffer)


def _joined(column: Sequence[Any]) -> Any:
    first = column[0]
    if isinstance(first, dict):
        return {key: _joined([each[key] for each in column]) for key in first}
    return None if first is None else torch.cat(column)


def _batch_of_one(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: part[None] for key, part in observation.items()}
    return observation[None]


def _scaled(space: spaces.Space, actions: NDArray) -> NDArray:
    """From the action space to [-1, 1], as Stable-Baselines3 keeps them."""
    assert isinstance(space, spaces.Box)
    return 2.0 * (actions - space.low) / (space.high - space.low) - 1.0
