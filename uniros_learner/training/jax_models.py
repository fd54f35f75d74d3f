"""Models of SBX, whose networks are JAX: their state for checkpoints, and their policy as tensors that can be sent."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces as gs

from uniros_msgs.errors import InvalidPolicy
from uniros_msgs.policy import Policy

STATES = ("actor_state", "qf_state", "qf1_state", "qf2_state", "vf_state", "ent_coef_state")  # as far as there are
KEYS = ("key", "noise_key")  # random ones
DENSE = "Dense_"
HEADS = {  # module of a policy: the head's name, and what the last of the linear layers are
    "sbx.td3.policies": ("tanh", ("out",)),
    "sbx.sac.policies": ("squashed_gaussian", ("out", "log_std")),
    "sbx.tqc.policies": ("squashed_gaussian", ("out", "log_std")),
    "sbx.ppo.policies": ("gaussian", ("out",)),
    "sbx.dqn.policies": ("argmax", ("out",)),
}
Layer = tuple[np.ndarray, np.ndarray]  # weight, (outputs, inputs), and bias


def is_jax(model: Any) -> bool:
    return type(model).__module__.startswith("sbx.")


def state(model: Any) -> dict[str, Any]:
    """Networks, optimisers and random keys, as arrays in dicts."""
    from flax.serialization import to_state_dict
    from jax import tree

    found = {where: tree.map(np.asarray, to_state_dict(getattr(holder, name))) for where, holder, name in _parts(model)}
    return found | {where: np.asarray(getattr(holder, name)) for where, holder, name in _keys(model)}


def put(model: Any, saved: dict[str, Any]) -> None:
    """Go on with what `state` gave. Raises ValueError or KeyError when it is that of another model."""
    import jax.numpy as jnp
    from flax.serialization import from_state_dict
    from jax import tree

    for where, holder, name in _parts(model):
        before = getattr(holder, name)
        after = from_state_dict(before, tree.map(jnp.asarray, saved[where]))
        if tree.map(np.shape, after.params) != tree.map(np.shape, before.params):
            raise ValueError(f"{where} has other shapes")
        setattr(holder, name, after)
    for where, holder, name in _keys(model):
        setattr(holder, name, jnp.asarray(saved[where]))


def _parts(model: Any) -> list[tuple[str, Any, str]]:
    return _held(model, STATES)


def _keys(model: Any) -> list[tuple[str, Any, str]]:
    return _held(model, KEYS)


def _held(model: Any, names: tuple[str, ...]) -> list[tuple[str, Any, str]]:
    """What it is called in a checkpoint, who holds it, by which name."""
    holders = {"model": model, "policy": model.policy}
    return [(f"{who}.{name}", holder, name) for who, holder in holders.items() for name in names
            if name in vars(holder)]


def policy_of(model: Any, activation: str) -> Policy:
    """The actor of a TD3, DDPG, SAC, TQC, PPO or DQN. activation: between its layers, by our name for it.

    Raises InvalidPolicy for networks that are more than linear layers with activations between them.
    """
    policy = model.policy
    parameters = (policy.actor_state if hasattr(policy, "actor_state") else policy.qf_state).params["params"]
    layers = _linear(parameters)
    head, last = HEADS[type(policy).__module__]
    if head == "gaussian" and isinstance(policy.action_space, gs.Discrete):
        head = "categorical"
    hidden = len(layers) - len(last)
    tensors: dict[str, np.ndarray] = {}
    for name, (weight, bias) in zip([*(f"layer{number}" for number in range(hidden)), *last], layers, strict=True):
        tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
    if head == "gaussian":
        tensors["log_std"] = np.array(parameters["log_std"], np.float32)
    return Policy(policy.observation_space, policy.action_space, head, [activation] * hidden, tensors)


def _linear(parameters: Any) -> list[Layer]:
    """The linear layers in their order."""
    odd = [name for name in parameters if not name.startswith(DENSE) and name != "log_std"]
    if odd:
        raise InvalidPolicy(f"networks with {', '.join(odd)} cannot be sent: only linear layers")
    count = sum(name.startswith(DENSE) for name in parameters)
    each = [parameters[f"{DENSE}{number}"] for number in range(count)]
    return [(np.ascontiguousarray(np.asarray(layer["kernel"], np.float32).T), np.array(layer["bias"], np.float32))
            for layer in each]
