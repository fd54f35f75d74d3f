"""Policies on disk: weights in safetensors with a JSON description, which load without running any code of the file's.

The zip files of Stable-Baselines3 are pickles underneath and can run anything: they are opened on the user's word only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy

from uniros_learner.training.algorithms import CLASSES, policy_kwargs, policy_name
from uniros_learner.training.config import ACTIVATIONS, TrainingConfig
from uniros_learner.training.run_folder import replace
from uniros_msgs import spaces
from uniros_msgs.errors import UnirosError

FORMAT = "uniros policy 1"
ZIP = b"PK\x03\x04"  # how a zip file begins


class PolicyRefused(UnirosError):
    """Raised when a file is not a policy, must not be opened, or does not fit the environment."""


def save_policy(path: Path, model: OffPolicyAlgorithm, config: TrainingConfig) -> None:
    """Write all weights of `model.policy`, and what is needed to build it again."""
    description = {
        "algorithm": config.algorithm,
        "env_id": config.env_id,
        "steps": model.num_timesteps,
        "net_arch": list(config.hyperparameters.net_arch),
        "activation_fn": config.hyperparameters.activation_fn,
        "observation_space": spaces.describe(model.observation_space),
        "action_space": spaces.describe(model.action_space),
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.policy.state_dict().items()}
    replace(path, save(weights, {"format": FORMAT, "description": json.dumps(description)}))


def load_policy(path: Path, trust: bool = False) -> BasePolicy:
    """The policy in a run's `policy.safetensors`, or with `trust` in a Stable-Baselines3 zip.

    Raises PolicyRefused for anything else, and for files that are damaged or not what they say.
    """
    try:
        start = path.open("rb").read(len(ZIP))
    except OSError as error:
        raise PolicyRefused(f"{path} cannot be read: {error}; expected a run's policy.safetensors") from error
    if start == ZIP:
        return _load_zip(path, trust)
    return _load_safetensors(path)


def _load_zip(path: Path, trust: bool) -> BasePolicy:
    if not trust:
        raise PolicyRefused(
            f"{path} is a zip of Stable-Baselines3: opening it can run any code that was put into it. Use the "
            "policy.safetensors beside it, or pass --trust if you know where it comes from"
        )
    return CLASSES["td3"].load(path, device="cpu").policy


def _load_safetensors(path: Path) -> BasePolicy:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise PolicyRefused(f"{path} is not a policy of ours ({error}); expected a run's policy.safetensors") from error
    if metadata.get("format") != FORMAT:
        raise PolicyRefused(f"{path} has the format {metadata.get('format')!r}; expected {FORMAT!r}")
    try:
        policy = _build(json.loads(metadata["description"]))
        policy.load_state_dict(weights)
    except (KeyError, ValueError, TypeError, RuntimeError, UnirosError) as error:
        raise PolicyRefused(f"{path}: its weights and its description do not go together: {error}") from error
    policy.set_training_mode(False)
    return policy


def _build(description: dict[str, Any]) -> BasePolicy:
    """An untrained policy of that description. Names are looked up in our own tables, nothing is imported by name."""
    observation_space = spaces.build(description["observation_space"])
    if description["activation_fn"] not in ACTIVATIONS:
        raise ValueError(f"unknown activation {description['activation_fn']!r}")
    aliases = CLASSES[description["algorithm"]].policy_aliases
    return aliases[policy_name(observation_space)](
        observation_space,
        spaces.build(description["action_space"]),
        lambda _progress: 0.0,
        **policy_kwargs(description["net_arch"], description["activation_fn"]),
    )


def check_fits(policy: BasePolicy, env: gymnasium.Env) -> None:
    """Raises PolicyRefused when the policy was trained on other spaces than `env` has."""
    for name in ("observation_space", "action_space"):
        trained, offered = getattr(policy, name), getattr(env, name)
        if trained != offered:
            raise PolicyRefused(f"the policy was trained on the {name} {trained}, but this environment has {offered}")
