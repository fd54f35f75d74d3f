"""How a model comes to its experience: the part of training that can be exchanged."""

from __future__ import annotations

from typing import Protocol

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

LOG_INTERVAL = 10  # episodes, or rollouts, between two points in TensorBoard


class Loop(Protocol):
    """Collects and learns; the trainer keeps count, shows, judges and saves."""

    def learn(self, model: BaseAlgorithm, steps: int, callbacks: list[BaseCallback], first: bool) -> None:
        """Go on for so many steps (of all environments together), or until a callback ends it.

        `model.num_timesteps` counts on; first: it begins at 0. Callbacks are called as Stable-Baselines3 does.
        What the environments raise passes through.
        """


class StepLoop:
    """Stable-Baselines3's own: step, store, update, in turn."""

    def learn(self, model: BaseAlgorithm, steps: int, callbacks: list[BaseCallback], first: bool) -> None:
        """See `Loop.learn`."""
        model.learn(steps, callbacks, LOG_INTERVAL, reset_num_timesteps=first)
