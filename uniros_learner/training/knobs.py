"""The knobs of a learner, turned while it learns: the node's own dynamic_reconfigure, applied between two steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import rospy
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise

from uniros_msgs.handover import Handover
from uniros_msgs.knobs import Bounds, Learner, bounds, changed

DEADLINE = 30.0  # s until the learner must have come to its next step


class Mixture(Protocol):
    """Whoever mixes real data with simulated data."""

    real_share: float  # from 0 to 1, of what is learnt from


class LearnerKnobs(BaseCallback):
    """Offers the knobs of `Learner` for as long as the model learns, in a process that is a ROS node; else nothing.

    What the model has not got cannot be turned: exploration noise and updates of an on-policy algorithm, the share of
    real data where nobody mixes any.
    """

    def __init__(self, mixture: Mixture | None = None) -> None:
        super().__init__()
        self._mixture = mixture
        self._changes = Handover()
        self._server: Any = None

    @property
    def values(self) -> Learner:
        """Where the knobs stand."""
        model: Any = self.model
        return Learner(float(model.lr_schedule(model._current_progress_remaining)), _noise(model),
                       int(getattr(model, "gradient_steps", 0)), self._mixture.real_share if self._mixture else 0.0)

    @property
    def bounds(self) -> Bounds:
        """How far they may be turned."""
        noisy = hasattr(self.model, "action_noise") and isinstance(self.model.action_space, spaces.Box)
        there = {"exploration_noise": noisy, "updates_per_step": hasattr(self.model, "gradient_steps"),
                 "real_share": self._mixture is not None}
        values = self.values
        return bounds(values, **{name: (getattr(values, name),) * 2 for name, found in there.items() if not found})

    def turn(self, changes: Mapping[str, float]) -> None:
        """Turn knobs, all at once, from the learner's thread. Raises ValueError, and nothing has changed."""
        values = changed(self.values, changes, self.bounds)
        if "learning_rate" in changes:
            self.model.learning_rate = values.learning_rate
            self.model._setup_lr_schedule()
        if "exploration_noise" in changes:
            _explore(self.model, values.exploration_noise)
        if "updates_per_step" in changes:
            setattr(self.model, "gradient_steps", values.updates_per_step)  # noqa: B010 - off-policy models have it
        if "real_share" in changes and self._mixture:
            self._mixture.real_share = values.real_share

    def _init_callback(self) -> None:
        if self._server is None and rospy.core.is_initialized():
            from uniros_msgs.reconfigure import Reconfigure

            self._server = Reconfigure("Learner", "", self.bounds, lambda: asdict(self.values), self._hand_over)

    def _hand_over(self, changes: Mapping[str, float]) -> None:
        self._changes.ask(lambda: self.turn(changes), DEADLINE)

    def _on_step(self) -> bool:
        self._changes.carry_out()
        return True


def _noise(model: BaseAlgorithm) -> float:
    """The standard deviation of the noise on actions, averaged over an action's components."""
    noises = _noises(model)
    return float(np.mean(noises[0]._sigma)) if noises else 0.0


def _noises(model: Any) -> list[Any]:
    """The noise of each environment that the model acts in."""
    noise = getattr(model, "action_noise", None)
    if noise is None:
        return []
    return noise.noises if isinstance(noise, VectorizedActionNoise) else [noise]


def _explore(model: Any, spread: float) -> None:
    """Give the noise on actions another standard deviation; its components keep their proportion."""
    if model.action_noise is None:
        shape = model.action_space.shape
        noise = NormalActionNoise(np.zeros(shape), np.full(shape, spread))
        model.action_noise = VectorizedActionNoise(noise, model.n_envs) if model.n_envs > 1 else noise
    for noise in _noises(model):
        mean = float(np.mean(noise._sigma))
        noise._sigma = noise._sigma * (spread / mean) if mean else np.full_like(noise._mu, spread)
