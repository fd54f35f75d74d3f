"""From a Stable-Baselines3 model to the policy that can be sent: the actor's numbers, without PyTorch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium import spaces as gs
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from uniros_msgs.errors import InvalidPolicy
from uniros_msgs.features import Features
from uniros_msgs.policy import NORMALISE, Policy

Tensors = dict[str, np.ndarray]
UNCLIPPED = float(np.finfo(np.float32).max)
DEFAULTS: dict[type[nn.Module], tuple[str, dict[str, Any]]] = {  # as the policy computes them, with these settings only
    nn.ReLU: ("relu", {}),
    nn.Tanh: ("tanh", {}),
    nn.ELU: ("elu", {"alpha": 1.0}),
    nn.SiLU: ("silu", {}),
    nn.LeakyReLU: ("leaky_relu", {"negative_slope": 0.01}),
    nn.GELU: ("gelu", {"approximate": "none"}),
}


def actor_of(model: Any, version: str = "") -> bytes:
    """What `env.rollout` takes, of a TD3, DDPG, SAC, TQC, CrossQ, PPO, A2C or DQN model, or of its policy alone.

    Acts as `model.predict(deterministic=True)` does, and as its sampling when told so. Of a model that was trained
    behind a VecNormalize the observations' normalisation comes along, as it is now. version: what transitions are
    marked with; "" takes a fingerprint of the numbers.
    Raises InvalidPolicy, which says what of it cannot be sent: images and other observations that need more than
    flattening, layers that are not linear, state-dependent exploration (use_sde), recurrent policies.
    """
    policy: Any = getattr(model, "policy", model)
    if not isinstance(policy, BasePolicy):
        raise InvalidPolicy(f"expected a model or policy of Stable-Baselines3, not {type(policy).__name__}")
    if getattr(policy, "use_sde", False) or getattr(getattr(policy, "actor", None), "use_sde", False):
        raise InvalidPolicy("exploration that depends on the state (use_sde) cannot be sent: train with use_sde=False")
    extractor, hidden, heads, head = _parts(policy)
    _check_extractor(extractor)
    layers = _Layers()
    layers.take(hidden)
    tensors = layers.tensors
    for name, linear in heads.items():
        tensors |= layers.linear(name, linear) if isinstance(linear, nn.Linear) else {name: _numbers(linear)}
    tensors |= _normalisation(policy, getattr(model, "get_vec_normalize_env", lambda: None)())
    return Policy(policy.observation_space, policy.action_space, head, layers.activations, tensors, version).pack()


def _parts(policy: Any) -> tuple[nn.Module, Iterable[nn.Module], dict[str, Any], str]:
    """The features extractor, the hidden layers, the last ones by name, and the head's name."""
    if type(policy).__name__.startswith("Recurrent"):
        raise InvalidPolicy(f"{type(policy).__name__} remembers; a policy that is sent must not")
    if isinstance(policy, ActorCriticPolicy):
        heads = {"out": policy.action_net}
        if isinstance(policy.action_space, gs.Box):
            heads["log_std"] = policy.log_std
        return (policy.pi_features_extractor, policy.mlp_extractor.policy_net, heads,
                "gaussian" if isinstance(policy.action_space, gs.Box) else "categorical")
    actor: Any = getattr(policy, "actor", None)
    if isinstance(getattr(actor, "latent_pi", None), nn.Sequential):
        heads = {"out": actor.mu, "log_std": actor.log_std}
        return actor.features_extractor, actor.latent_pi, heads, "squashed_gaussian"
    if isinstance(getattr(actor, "mu", None), nn.Sequential) and isinstance(actor.mu[-1], nn.Tanh):
        return actor.features_extractor, actor.mu[:-2], {"out": actor.mu[-2]}, "tanh"
    values: Any = getattr(policy, "q_net", None)
    if isinstance(getattr(values, "q_net", None), nn.Sequential):
        return values.features_extractor, values.q_net[:-1], {"out": values.q_net[-1]}, "argmax"
    raise InvalidPolicy(f"{type(policy).__module__}.{type(policy).__name__} is none of the policies that can be sent: "
                        "those of TD3, DDPG, SAC, TQC, CrossQ, PPO, A2C and DQN")


class _Layers:
    """Linear layers and activations as tensors. A normalisation before a linear layer becomes a part of it."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.activations: list[str] = []
        self._affine: tuple[np.ndarray, np.ndarray] | None = None  # factors and offsets the next layer's inputs have

    def take(self, modules: Iterable[nn.Module]) -> None:
        """Raises InvalidPolicy for what is neither linear, nor a normalisation, nor a known activation."""
        linear = None
        for module in modules:
            if isinstance(module, nn.Linear) and linear is None:
                linear = module
            elif type(module).__name__.startswith("BatchRenorm") and linear is None:
                self._affine = _batch_renorm(module)
            elif linear is not None and (name := _activation(module)):
                self.tensors |= self.linear(f"layer{len(self.activations)}", linear)
                self.activations.append(name)
                linear, self._affine = None, None
            else:
                raise InvalidPolicy(f"{module} cannot be sent: layers must be linear, each with one of the activations "
                                    f"{', '.join(name for name, _ in DEFAULTS.values())} (in torch's default form)")

    def linear(self, name: str, module: nn.Linear) -> Tensors:
        weight, bias = _numbers(module.weight), np.zeros(module.out_features, np.float32)
        if module.bias is not None:
            bias = _numbers(module.bias)
        if self._affine is not None:
            factors, offsets = self._affine
            bias = (bias + weight @ offsets).astype(np.float32)
            weight = (weight * factors).astype(np.float32)
        return {f"{name}.weight": weight, f"{name}.bias": bias}


def _activation(module: nn.Module) -> str:
    """Our name for it; "" for one that computes something else."""
    name, settings = DEFAULTS.get(type(module), ("", {}))
    return name if all(getattr(module, key) == value for key, value in settings.items()) else ""


def _batch_renorm(module: Any) -> tuple[np.ndarray, np.ndarray]:
    """Its factors and offsets when it does not learn."""
    factors = 1.0 / np.sqrt(_numbers(module.ra_var).astype(np.float64) + module.eps)
    scale, bias = (_numbers(module.scale), _numbers(module.bias)) if module.affine else (1.0, 0.0)
    return factors * scale, bias - _numbers(module.ra_mean) * factors * scale


def _numbers(tensor: Any) -> np.ndarray:
    return np.array(tensor.detach().cpu().numpy(), np.float32)


def _check_extractor(extractor: nn.Module) -> None:
    parts = extractor.extractors.values() if isinstance(extractor, CombinedExtractor) else [extractor]
    for part in parts:
        if not isinstance(part, (FlattenExtractor, nn.Flatten)):
            raise InvalidPolicy(f"observations that go through a {type(part).__name__} cannot be sent; "
                                "only those that are flattened")


def _normalisation(policy: BasePolicy, venv: VecNormalize | None) -> Tensors:
    """The normalisation before the first layer; none where there is nothing to normalise."""
    space = policy.observation_space
    parts = space.spaces if isinstance(space, gs.Dict) else {"": space}
    found = [_normalised(key, part, policy, venv) for key, part in parts.items()]
    if not any(any_at_all for *_, any_at_all in found):
        return {}
    mean, scale, clip = (np.concatenate([row[n] for row in found]).astype(np.float32) for n in range(3))
    return dict(zip(NORMALISE, (mean, scale, clip), strict=True))


def _normalised(key: str, space: gs.Space, policy: BasePolicy, venv: VecNormalize | None
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Mean, scale and clip for each number of a part of the observation, and whether they change anything."""
    size = Features(space).size
    zeros, ones = np.zeros(size), np.ones(size)
    statistics: Any = venv.obs_rms if venv is not None and venv.norm_obs else None
    if isinstance(statistics, dict):
        statistics = statistics.get(key)
    if statistics is not None:
        assert venv is not None
        scale = np.sqrt(statistics.var + venv.epsilon)
        return statistics.mean.ravel(), scale.ravel(), ones * venv.clip_obs, True
    image = policy.normalize_images and is_image_space(space)
    return zeros, ones * 255.0 if image else ones, ones * UNCLIPPED, image
