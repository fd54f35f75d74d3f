"""Policies on disk: weights in safetensors with a JSON description, which load without running any code of the file's.

The zip files of Stable-Baselines3 are pickles underneath and can run anything: they are opened on the user's word only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_wrapper

from uniros_learner.training.actor import actor_of
from uniros_learner.training.algorithms import class_of, policy_class
from uniros_learner.training.catalogue import ALGORITHMS, JAX
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.fields import checked
from uniros_learner.training.flat_goals import FlatGoals
from uniros_learner.training.hyperparameters import split
from uniros_learner.training.jax_models import is_jax, policy_of
from uniros_learner.training.keywords import TABLE
from uniros_learner.training.normalise import Normalise
from uniros_learner.training.packed import Packed
from uniros_learner.training.parts import own_class, policy_arguments
from uniros_learner.training.run_folder import replace
from uniros_msgs import spaces
from uniros_msgs.errors import InvalidPolicy, UnirosError
from uniros_msgs.policy import FORMAT as ACTOR_FORMAT
from uniros_msgs.policy import Policy

NORMALISE = "normalise"  # what the names of a normalisation's statistics begin with
FORMAT = "uniros policy 2"
DEFAULT_ACTIVATION = {name: "tanh" if name.endswith("ppo") else "relu" for name in JAX}  # as SBX has it
ZIP = b"PK\x03\x04"  # how a zip file begins


class PolicyRefused(UnirosError):
    """Raised when a file is not a policy, must not be opened, or does not fit the environment."""


def save_policy(path: Path, model: BaseAlgorithm, config: TrainingConfig) -> None:
    """Write all weights of `model.policy`, and what is needed to build it again; of JAX what an env server takes."""
    if is_jax(model):
        replace(path, _actor(model, config).pack())
        return
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.policy.state_dict().items()}
    venv = model.get_env()
    normalise = unwrap_vec_wrapper(venv, Normalise) if venv else None
    if normalise:
        for name, numbers in normalise.statistics().items():
            weights |= {f"{NORMALISE}/{n}/{name}": torch.tensor(each) for n, each in enumerate(numbers)}
    replace(path, save(weights, {"format": FORMAT, "description": json.dumps(describe(model, config))}))


def save_actor(path: Path, model: BaseAlgorithm, config: TrainingConfig) -> str:
    """Write the policy as an env server takes it; the reason why it cannot be written, or nothing."""
    try:
        replace(path, _actor(model, config).pack())
    except InvalidPolicy as error:
        return str(error)
    return ""


def _actor(model: BaseAlgorithm, config: TrainingConfig) -> Policy:
    if is_jax(model):
        actor = policy_of(model, config.hyperparameters.get("activation_fn") or DEFAULT_ACTIVATION[config.algorithm])
    else:
        actor = Policy.load(actor_of(model))
    venv = model.get_env()
    flat = unwrap_vec_wrapper(venv, FlatGoals) if venv else None
    if flat:  # numbers in the same order
        actor = Policy(flat.parts, actor.action_space, actor.head, actor.activations, actor.tensors, actor.version)
    return actor


def describe(model: BaseAlgorithm, config: TrainingConfig) -> dict[str, Any]:
    """What a policy is, in words and numbers that JSON can hold."""
    of_algorithm, of_policy = split(config.algorithm, config.hyperparameters)
    arguments = {name: value for name, value in of_policy.items() if not name.startswith("optimizer")}
    set_by_algorithm = {name: value for name, value in model.policy_kwargs.items() if type(value) in (int, float, bool)}
    return {
        "algorithm": config.algorithm,
        "env_id": config.env_id,
        "steps": model.num_timesteps,
        "policy": of_algorithm["policy"],
        "arguments": arguments | set_by_algorithm,
        "observation_space": spaces.describe(model.observation_space),
        "action_space": spaces.describe(model.action_space),
    }


def load_policy(path: Path, trust: bool = False, algorithm: str = "td3") -> BasePolicy | Packed:
    """The policy in a run's `policy.safetensors` or `actor.safetensors`, or with `trust` in a zip of `algorithm`.

    Raises PolicyRefused for anything else, and for files that are damaged or not what they say. Without `trust` also
    for policies with classes of somebody's own: to import them is to run them.
    """
    try:
        start = path.open("rb").read(len(ZIP))
    except OSError as error:
        raise PolicyRefused(f"{path} cannot be read: {error}; expected a run's policy.safetensors") from error
    if start != ZIP:
        return _load_safetensors(path, trust)
    if not trust:
        raise PolicyRefused(
            f"{path} is a zip of Stable-Baselines3: opening it can run any code that was put into it. Use the "
            "policy.safetensors beside it, or pass --trust if you know where it comes from"
        )
    no_buffer = {"replay_buffer_class": None}  # HER's asks for an environment
    return class_of(algorithm).load(path, device="cpu", custom_objects=no_buffer).policy


def _load_safetensors(path: Path, trust: bool) -> BasePolicy | Packed:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = [name for name in file.keys() if not name.startswith(NORMALISE)]  # noqa: SIM118 - not a dict
            weights = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise PolicyRefused(f"{path} is not a policy of ours ({error}); expected a run's policy.safetensors") from error
    if metadata.get("format") == ACTOR_FORMAT:
        return Packed(Policy.load(path.read_bytes()))
    if metadata.get("format") != FORMAT:
        raise PolicyRefused(f"{path} has the format {metadata.get('format')!r}; expected {FORMAT!r}")
    try:
        policy = _build(json.loads(metadata["description"]), trust)
        policy.load_state_dict(weights)
    except PolicyRefused as refused:
        raise PolicyRefused(f"{path} {refused}") from None
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError, UnirosError) as error:
        raise PolicyRefused(f"{path}: its weights and its description do not go together: {error}") from error
    policy.set_training_mode(False)
    return policy


def _build(description: dict[str, Any], trust: bool) -> BasePolicy:
    """An untrained policy of that description."""
    arguments, name = description["arguments"], description["policy"]
    own = [value for value in (name, *arguments.values()) if isinstance(value, str) and ":" in value]
    if own and not trust:
        raise PolicyRefused(f"is made with {own[0]}, and to import that is to run it: pass --trust if you know it")
    if description["algorithm"] not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {description['algorithm']!r}")
    for key, keyword in TABLE.items():
        if arguments.get(key) is not None:
            checked(arguments[key], keyword.kind, keyword.rule, keyword.meaning, key)
    observation_space = spaces.build(description["observation_space"])
    own_policy = own_class(name) if name and ":" in name else None
    cls = own_policy or policy_class(description["algorithm"], observation_space, name)
    action_space = spaces.build(description["action_space"])
    return cls(observation_space, action_space, lambda _progress: 0.0, **policy_arguments(arguments))


def put_normalisation(venv: VecEnv, path: Path) -> None:
    """Have an environment normalise as it did when the policy in that file was saved, if it does so at all.

    Raises PolicyRefused when the file does not say how, as a Stable-Baselines3 zip.
    """
    normalise = unwrap_vec_wrapper(venv, Normalise)
    if normalise is None:
        return
    try:
        with safe_open(path, framework="np") as file:
            normalise.put({name: tuple(file.get_tensor(f"{NORMALISE}/{n}/{name}") for n in range(3))
                           for name in normalise.statistics()})
    except (SafetensorError, OSError, KeyError) as error:
        raise PolicyRefused(f"{path} does not say how observations are normalised ({error}): use the "
                            "policy.safetensors of the run") from error


def check_fits(policy: BasePolicy | Packed, env: gymnasium.Env | VecEnv) -> None:
    """Raises PolicyRefused when the policy was trained on other spaces than `env` has."""
    for name in ("observation_space", "action_space"):
        trained, offered = getattr(policy, name), getattr(env, name)
        if trained != offered:
            raise PolicyRefused(f"the policy was trained on the {name} {trained}, but this environment has {offered}")
