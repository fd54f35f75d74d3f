"""From settings to a Stable-Baselines3 model. Importing this takes a second or more: it loads PyTorch."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_wrapper
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer as HER

from uniros_learner.training.catalogue import ALGORITHMS
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.environments import has_goals, longest_episode
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.flat_goals import FlatGoals, FlatHerReplayBuffer
from uniros_learner.training.hyperparameters import split
from uniros_learner.training.parts import algorithm_arguments, own_class, policy_arguments


def class_of(algorithm: str) -> type[BaseAlgorithm]:
    """The algorithm's class. Raises InvalidConfig when its package is not installed."""
    entry = ALGORITHMS[algorithm]
    try:
        return getattr(import_module(entry.package), entry.cls)
    except ImportError as error:
        raise InvalidConfig(f"{algorithm} needs the Python package {entry.package!r}: {error}") from error


def build(config: TrainingConfig, venv: VecEnv) -> BaseAlgorithm:
    """An untrained model for the environments of `vectorise(env, config)`.

    Raises InvalidConfig when the algorithm cannot act in this environment, or does not accept its settings.
    """
    torch.set_num_threads(config.threads)
    of_algorithm, of_policy = split(config.algorithm, config.hyperparameters)
    policy = of_algorithm.pop("policy") or policy_name(venv.observation_space)
    if ":" not in policy and policy not in class_of(config.algorithm).policy_aliases:
        raise InvalidConfig(f"{config.algorithm} has no {policy}, which observations like these need: "
                            f"{venv.observation_space}")
    settings = algorithm_arguments(of_algorithm, venv.action_space.shape, _hindsight(venv))
    if isinstance(settings.get("replay_buffer_class"), type) and issubclass(settings["replay_buffer_class"], HER):
        _check_first_episode(settings["learning_starts"], venv)
    try:
        return class_of(config.algorithm)(
            policy=own_class(policy) if ":" in policy else policy,
            env=venv,
            policy_kwargs=policy_arguments(of_policy, ALGORITHMS[config.algorithm].jax),
            seed=config.seed,
            device=config.device,
            **settings,
        )
    except (AssertionError, TypeError, ValueError) as error:
        raise InvalidConfig(f"{config.algorithm} does not accept these settings: {error}") from error


def _check_first_episode(learning_starts: int, venv: VecEnv) -> None:
    """Raises InvalidConfig when there may be nothing to learn from yet: hindsight needs a finished episode."""
    longest = longest_episode(venv)
    if longest and learning_starts < longest * venv.num_envs:
        raise InvalidConfig(f"hyperparameters.learning_starts: {learning_starts} steps may come before the end of the "
                            f"first episode, which hindsight learns from; expected at least {longest} steps for each "
                            f"of {venv.num_envs} environments")


def _hindsight(venv: VecEnv) -> type | None:
    """The replay buffer that relabels goals as this environment shows them."""
    if isinstance(venv.observation_space, spaces.Dict):
        return HER if has_goals(venv.observation_space) else None
    return FlatHerReplayBuffer if unwrap_vec_wrapper(venv, FlatGoals) else None


def policy_name(observation_space: spaces.Space) -> str:
    return "MultiInputPolicy" if isinstance(observation_space, spaces.Dict) else "MlpPolicy"


def policy_class(algorithm: str, observation_space: spaces.Space, name: str | None = None) -> Any:
    """The class of the algorithm's policy of that name, or of the one for such observations."""
    return class_of(algorithm).policy_aliases[name or policy_name(observation_space)]
