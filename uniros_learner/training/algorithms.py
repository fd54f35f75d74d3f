"""From settings to a Stable-Baselines3 model. Importing this takes a second or more: it loads PyTorch."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import TD3
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from uniros_learner.training.config import ACTIVATIONS, TrainingConfig
from uniros_learner.training.fields import InvalidConfig

CLASSES: dict[str, type[OffPolicyAlgorithm]] = {"td3": TD3}


def vectorise(env: gymnasium.Env) -> VecEnv:
    """`env` as Stable-Baselines3 steps it, with returns and lengths of episodes in the infos. Never closes `env`."""
    return DummyVecEnv([lambda: Monitor(env)])


def build(config: TrainingConfig, venv: VecEnv) -> OffPolicyAlgorithm:
    """An untrained model. Raises InvalidConfig when the algorithm cannot act in this environment."""
    if not isinstance(venv.action_space, spaces.Box):
        raise InvalidConfig(
            f"{config.algorithm} needs continuous actions, a Box; {config.env_id} has {venv.action_space}"
        )
    torch.set_num_threads(config.threads)
    settings = dataclasses.asdict(config.hyperparameters)
    noise = np.full(venv.action_space.shape, settings.pop("action_noise"))
    return CLASSES[config.algorithm](
        policy_name(venv.observation_space),
        venv,
        policy_kwargs=policy_kwargs(settings.pop("net_arch"), settings.pop("activation_fn")),
        action_noise=NormalActionNoise(np.zeros_like(noise), noise),
        seed=config.seed,
        device=config.device,
        **settings,
    )


def policy_name(observation_space: spaces.Space) -> str:
    return "MultiInputPolicy" if isinstance(observation_space, spaces.Dict) else "MlpPolicy"


def policy_kwargs(net_arch: tuple[int, ...] | list[int], activation_fn: str) -> dict[str, Any]:
    """The networks and their optimiser, as the policy's constructor takes them."""
    return {
        "net_arch": list(net_arch),
        "activation_fn": getattr(torch.nn, ACTIVATIONS[activation_fn]),
        "optimizer_kwargs": {"fused": True},  # one pass over all weights: a quarter more updates per second
    }
