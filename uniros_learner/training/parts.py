"""What settings name: networks' activations, optimisers, noises and schedules as the objects they stand for."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise

from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.keywords import ACTIVATIONS, OPTIMIZERS


@dataclass(frozen=True)
class Schedule:
    """A value that changes while training goes on; Stable-Baselines3 tells how much of it is left."""

    shape: str  # linear | exponential | cosine
    first: float
    last: float

    def __call__(self, remaining: float) -> float:
        """remaining: 1 at the beginning, 0 at the end."""
        if self.shape == "linear":
            share = remaining
        elif self.shape == "cosine":
            share = (1.0 - math.cos(math.pi * remaining)) / 2.0
        else:
            return self.last * (self.first / self.last) ** remaining
        return self.last + share * (self.first - self.last)


def schedule(given: Any) -> Any:
    """A number as it is, a mapping as the schedule it describes."""
    if not isinstance(given, Mapping):
        return given
    ((shape, (first, last)),) = given.items()
    return Schedule(shape, first, last)


def noise(given: Any, shape: tuple[int, ...]) -> ActionNoise | None:
    """Exploration noise for actions of that shape, scaled to [-1, 1]; None for a deviation of 0."""
    settings = dict(given) if isinstance(given, Mapping) else {"kind": "normal", "sigma": given}
    kind, sigma = settings.pop("kind"), settings.pop("sigma") or 0.0
    if not sigma:
        return None
    mean = np.full(shape, settings.pop("mean", 0.0))
    make = OrnsteinUhlenbeckActionNoise if kind == "ornstein_uhlenbeck" else NormalActionNoise
    return make(mean, np.full(shape, sigma), **settings)


def own_class(name: str) -> Any:
    """A class of the user's, from `module:Class` in the current directory or an installed package."""
    module, _, cls = name.partition(":")
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.append(here)
    try:
        return getattr(import_module(module), cls)
    except (ImportError, AttributeError) as error:
        raise InvalidConfig(f"{name} cannot be imported: {error}; expected module:Class, in this directory or "
                            "installed") from error
    finally:
        if added:
            sys.path.remove(here)


def named_class(kind: str, name: str, jax: bool = False) -> Any:
    """The class that a keyword's name stands for; with JAX the function."""
    if ":" in name:
        return own_class(name)
    if jax:
        from jax import nn

        if kind != "activation_fn":
            return getattr(import_module("optax"), name)
        return partial(nn.gelu, approximate=False) if name == "gelu" else getattr(nn, name)
    if kind == "activation_fn":
        return getattr(torch.nn, ACTIVATIONS[name])
    return getattr(torch.optim, OPTIMIZERS[name])


CLASSES = ("activation_fn", "optimizer_class", "features_extractor_class", "rollout_buffer_class")
SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf")


def policy_arguments(given: Mapping[str, Any], jax: bool = False) -> dict[str, Any]:
    """The keywords of a policy's constructor, with classes for their names."""
    return {name: named_class(name, value, jax) if name in CLASSES else value for name, value in given.items()}


def algorithm_arguments(given: Mapping[str, Any], action_shape: tuple[int, ...] | None, her: type | None
                        ) -> dict[str, Any]:
    """The keywords of an algorithm's constructor, with objects for their names.

    her: the buffer for hindsight in this environment; None without goals. Raises InvalidConfig for HER without them.
    """
    made = dict(given)
    for name in set(SCHEDULED) & set(made):
        made[name] = schedule(made[name])
    if made.get("rollout_buffer_class"):
        made["rollout_buffer_class"] = own_class(made["rollout_buffer_class"])
    if isinstance(made.get("train_freq"), list):
        made["train_freq"] = tuple(made["train_freq"])
    if made.get("action_noise") is not None:
        made["action_noise"] = noise(made["action_noise"], action_shape or ())
    if "replay_buffer_class" in made:
        made["replay_buffer_class"] = _replay_buffer(made["replay_buffer_class"], her)
    return made


def _replay_buffer(name: str | None, her: type | None) -> Any:
    if name == "her" and her is None:
        raise InvalidConfig("hyperparameters.replay_buffer_class: her relabels goals, and this environment has none; "
                            "expected an environment with achieved_goal and desired_goal, for example "
                            "RX200ReachGoalSim-v0")
    if name in (None, "her"):
        return her
    return None if name == "plain" else own_class(name)
