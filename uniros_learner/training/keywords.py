"""What is known of each keyword of the algorithms and their policies: what kind of value, in what range, and why.

A keyword that a constructor takes and that is not listed here may be whatever has the type of its default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from uniros_learner.training.fields import KINDS, Bounds, Kind, OneOf, Rule, number, whole

POSITIVE = Bounds(at_least=1)
NATURAL = Bounds(at_least=0)
SHARE = Bounds(at_least=0.0, at_most=1.0)
SOME = Bounds(above=0.0, at_most=1.0)
NOT_NEGATIVE = Bounds(at_least=0.0)

# Ours: the class in torch.nn or torch.optim. `module:Class` names one of the user's own.
ACTIVATIONS = {"relu": "ReLU", "tanh": "Tanh", "elu": "ELU", "silu": "SiLU", "leaky_relu": "LeakyReLU", "gelu": "GELU",
               "selu": "SELU", "softplus": "Softplus", "mish": "Mish"}
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop", "radam": "RAdam",
              "nadam": "NAdam", "adagrad": "Adagrad"}
POLICIES = ("MlpPolicy", "MultiInputPolicy", "CnnPolicy")
OWN_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
NOISES = {"normal": {"sigma", "mean"}, "ornstein_uhlenbeck": {"sigma", "mean", "theta", "dt"}}  # kind: its numbers
SCHEDULES = ("linear", "exponential", "cosine")


class Keyword(NamedTuple):
    """One keyword."""

    kind: Kind
    meaning: str
    rule: Rule | None = None


def _schedule(given: Any) -> Any:
    """A number, or {linear: [from, to]}; `{linear: from}` goes to a hundredth of it."""
    if not isinstance(given, Mapping):
        return number(given)
    ((shape, ends),) = given.items()
    first, last = ends if isinstance(ends, (list, tuple)) else (ends, number(ends) / 100)
    if shape not in SCHEDULES or (shape == "exponential" and number(last) <= 0):
        raise ValueError(given)
    return {shape: [number(first), number(last)]}


def _coefficient(given: Any) -> Any:
    """A number, "auto" or "auto_0.1"."""
    if isinstance(given, str) and re.fullmatch(r"auto(_\d+(\.\d+)?)?", given):
        return given
    if number(given) < 0:
        raise ValueError(given)
    return number(given)


def _auto_or_number(given: Any) -> Any:
    return given if given == "auto" else number(given)


def _frequency(given: Any) -> Any:
    count, unit = given if isinstance(given, (list, tuple)) else (given, "step")
    if unit not in ("step", "episode") or whole(count) < 1:
        raise ValueError(given)
    return [whole(count), unit] if isinstance(given, (list, tuple)) else whole(given)


def _noise(given: Any) -> Any:
    """A standard deviation, or {kind, sigma, mean, theta, dt}."""
    settings = dict(given) if isinstance(given, Mapping) else {"sigma": given}
    kind = settings.pop("kind", "normal")
    numbers = {name: number(value) for name, value in settings.items()}
    if kind not in NOISES or not set(numbers) <= NOISES[kind] or numbers.get("sigma", 0.0) < 0:
        raise ValueError(given)
    return {"kind": kind, "sigma": 0.1, **numbers} if isinstance(given, Mapping) else numbers["sigma"]


def _layers(given: Any) -> Any:
    """Sizes of layers, or {pi: [...], qf: [...]}."""
    if isinstance(given, Mapping):
        if not set(given) <= {"pi", "qf", "vf"}:
            raise ValueError(given)
        return {name: _layers(sizes) for name, sizes in given.items()}
    if isinstance(given, str):
        raise TypeError(given)
    return [whole(size) for size in given]


def _named(names: Any) -> Callable[[Any], Any]:
    def convert(given: Any) -> Any:
        if given in names or OWN_CLASS.fullmatch(given):
            return given
        raise ValueError(given)

    return convert


def _class(names: Any) -> Kind:
    return f"one of {', '.join(names)}, or module:Class", _named(names)


INT, FLOAT, BOOL, MAPPING = KINDS[int], KINDS[float], KINDS[bool], KINDS[dict[str, Any]]
SCHEDULE: Kind = ("a number or {linear|cosine|exponential: [from, to]}", _schedule)
LAYERS: Kind = ("a list of whole numbers, or {pi: [...], qf or vf: [...]}, each", _layers)
NOISE: Kind = ("a standard deviation from 0 on, or {kind: normal|ornstein_uhlenbeck, sigma, mean, theta, dt}", _noise)
OWN: Kind = ("module:Class", _named(()))

TABLE: dict[str, Keyword] = {
    # of all
    "policy": Keyword(_class(POLICIES), "the networks as a whole; null: as the observations need"),
    "learning_rate": Keyword(SCHEDULE, "step size of the optimiser", SOME),
    "gamma": Keyword(FLOAT, "discount of a reward one step later", SHARE),
    "batch_size": Keyword(INT, "transitions per update", POSITIVE),
    "stats_window_size": Keyword(INT, "episodes that Stable-Baselines3's own log averages over", POSITIVE),
    "use_sde": Keyword(BOOL, "explore by noise that depends on the state (gSDE)"),
    "sde_sample_freq": Keyword(INT, "steps between two draws of it; -1: once per rollout", Bounds(at_least=-1)),
    "max_grad_norm": Keyword(FLOAT, "largest norm of a gradient", Bounds(above=0.0)),
    "ent_coef": Keyword(("a number at least 0 or auto", _coefficient), "weight of the policy's entropy"),
    # with a replay buffer
    "buffer_size": Keyword(INT, "transitions kept", POSITIVE),
    "learning_starts": Keyword(INT, "steps of random actions before the first update", NATURAL),
    "train_freq": Keyword(("a whole number from 1 on, or [number, step|episode]", _frequency), "between updates"),
    "gradient_steps": Keyword(INT, "updates each time; -1: as many as steps", Bounds(at_least=-1)),
    "tau": Keyword(FLOAT, "share of the networks that goes into their targets per update", SOME),
    "n_steps": Keyword(INT, "steps per environment between updates, or that a return looks ahead", POSITIVE),
    "optimize_memory_usage": Keyword(BOOL, "keep each observation once"),
    "replay_buffer_class": Keyword(_class(("plain", "her")), "null: HER in goal environments, plain in others"),
    "replay_buffer_kwargs": Keyword(MAPPING, "arguments of the replay buffer's constructor"),
    "rollout_buffer_class": Keyword(OWN, "a buffer of your own"),
    "rollout_buffer_kwargs": Keyword(MAPPING, "arguments of the rollout buffer's constructor"),
    "action_noise": Keyword(NOISE, "exploration, action scaled to [-1, 1]"),
    "policy_delay": Keyword(INT, "critic updates per actor update", POSITIVE),
    "target_policy_noise": Keyword(FLOAT, "standard deviation, action scaled to [-1, 1]", NOT_NEGATIVE),
    "target_noise_clip": Keyword(FLOAT, "largest such noise, action scaled to [-1, 1]", NOT_NEGATIVE),
    "target_update_interval": Keyword(INT, "steps or updates between updates of the targets", POSITIVE),
    "target_entropy": Keyword(("a number or auto", _auto_or_number), "of the policy, where ent_coef is auto"),
    "use_sde_at_warmup": Keyword(BOOL, "gSDE instead of random actions before learning starts"),
    "top_quantiles_to_drop_per_net": Keyword(INT, "against overestimation", NATURAL),
    "exploration_fraction": Keyword(FLOAT, "of training, over which exploration falls", SHARE),
    "exploration_initial_eps": Keyword(FLOAT, "share of random actions at first", SHARE),
    "exploration_final_eps": Keyword(FLOAT, "share of random actions at last", SHARE),
    # without one
    "n_epochs": Keyword(INT, "passes over what was collected", POSITIVE),
    "gae_lambda": Keyword(FLOAT, "between one-step advantages (0) and whole returns (1)", SHARE),
    "clip_range": Keyword(SCHEDULE, "how far a policy may change per update", Bounds(above=0.0)),
    "clip_range_vf": Keyword(SCHEDULE, "how far a value may change per update", Bounds(above=0.0)),
    "normalize_advantage": Keyword(BOOL, "to mean 0 and variance 1"),
    "vf_coef": Keyword(FLOAT, "weight of the value's loss", NOT_NEGATIVE),
    "target_kl": Keyword(FLOAT, "divergence that ends an update early", Bounds(above=0.0)),
    "rms_prop_eps": Keyword(FLOAT, "of RMSprop", Bounds(above=0.0)),
    "use_rms_prop": Keyword(BOOL, "RMSprop instead of Adam"),
    # the networks
    "net_arch": Keyword(LAYERS, "units in each hidden layer", POSITIVE),
    "activation_fn": Keyword(_class(ACTIVATIONS), "between the layers"),
    "optimizer_class": Keyword(_class(OPTIMIZERS), "what turns gradients into steps"),
    "optimizer_kwargs": Keyword(MAPPING, "arguments of its constructor"),
    "features_extractor_class": Keyword(OWN, "networks of your own in front"),
    "features_extractor_kwargs": Keyword(MAPPING, "arguments of its constructor"),
    "n_critics": Keyword(INT, "critics whose least counts", POSITIVE),
    "n_quantiles": Keyword(INT, "per critic", POSITIVE),
    "log_std_init": Keyword(FLOAT, "logarithm of the first standard deviation"),
}

HER: dict[str, Keyword] = {
    "n_sampled_goal": Keyword(INT, "relabelled transitions per real one", POSITIVE),
    "goal_selection_strategy": Keyword(
        ("text", str), "which goals to relabel with", OneOf(("future", "final", "episode"))),
    "copy_info_dict": Keyword(BOOL, "hand each transition's info to compute_reward"),
    "handle_timeout_termination": Keyword(BOOL, "a time limit is no end"),
}
