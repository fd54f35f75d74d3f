"""The algorithms there are, and what their constructors take: read from their source, as to import them takes long."""

from __future__ import annotations

import ast
import dataclasses
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from uniros_learner.training.fields import InvalidConfig

Actions = Literal["continuous", "discrete", "any"]
SB3, CONTRIB, SBX = "stable_baselines3", "sb3_contrib", "sbx"
SBX_PREFIX = "sbx_"  # of our names for its algorithms
NO_LITERAL = "(not a literal)"  # stands for a default that is more than a number, a text or None


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """Where an algorithm is, and what it can act in."""

    package: str  # which has it by the name `cls`
    cls: str
    source: str  # file of its constructor, within the package
    policy: tuple[str, str, str]  # package, file and class of its policy's constructor
    off_policy: bool
    actions: Actions = "continuous"
    dict_observations: bool = True
    jax: bool = False

    def keywords(self) -> dict[str, Any]:
        """What its constructor takes, with defaults. Raises InvalidConfig when the package is not installed."""
        return constructor(self.package, self.source, self.cls)

    def policy_keywords(self) -> dict[str, Any]:
        """What its policy's constructor takes, with defaults; without what the algorithm hands over itself."""
        found = constructor(*self.policy)
        return {name: default for name, default in found.items() if name not in (*self.keywords(), *HANDED_OVER)}


HANDED_OVER = ("observation_space", "action_space", "lr_schedule")
TD3_POLICY = (SB3, "td3/policies.py", "TD3Policy")
ACTOR_CRITIC = (SB3, "common/policies.py", "ActorCriticPolicy")

TORCH: dict[str, Algorithm] = {
    "ppo": Algorithm(SB3, "PPO", "ppo/ppo.py", ACTOR_CRITIC, False, "any"),
    "a2c": Algorithm(SB3, "A2C", "a2c/a2c.py", ACTOR_CRITIC, False, "any"),
    "ddpg": Algorithm(SB3, "DDPG", "ddpg/ddpg.py", TD3_POLICY, True),
    "td3": Algorithm(SB3, "TD3", "td3/td3.py", TD3_POLICY, True),
    "sac": Algorithm(SB3, "SAC", "sac/sac.py", (SB3, "sac/policies.py", "SACPolicy"), True),
    "dqn": Algorithm(SB3, "DQN", "dqn/dqn.py", (SB3, "dqn/policies.py", "DQNPolicy"), True, "discrete"),
    "tqc": Algorithm(CONTRIB, "TQC", "tqc/tqc.py", (CONTRIB, "tqc/policies.py", "TQCPolicy"), True),
    "crossq": Algorithm(CONTRIB, "CrossQ", "crossq/crossq.py", (CONTRIB, "crossq/policies.py", "CrossQPolicy"), True,
                        dict_observations=False),
}



def _sbx(cls: str, off_policy: bool = True, actions: Actions = "continuous", policy: str = "") -> Algorithm:
    """One of SBX, which is optional: requirements/jax.txt."""
    folder, policy = cls.lower(), policy or cls
    source = (SBX, f"{policy.lower()}/policies.py", f"{policy}Policy")
    return Algorithm(SBX, cls, f"{folder}/{folder}.py", source, off_policy, actions,
                     dict_observations=off_policy and actions == "continuous", jax=True)


JAX: dict[str, Algorithm] = {
    "sbx_td3": _sbx("TD3"), "sbx_ddpg": _sbx("DDPG", policy="TD3"), "sbx_sac": _sbx("SAC"), "sbx_tqc": _sbx("TQC"),
    "sbx_ppo": _sbx("PPO", False, "any"), "sbx_dqn": _sbx("DQN", True, "discrete"),
}  # fmt: skip
ALGORITHMS = TORCH | JAX

REPLAY_BUFFERS = {  # ours: the file and class of its constructor in Stable-Baselines3
    "plain": ("common/buffers.py", "ReplayBuffer"),
    "her": ("her/her_replay_buffer.py", "HerReplayBuffer"),
}


@cache
def constructor(package: str, source: str, cls: str) -> dict[str, Any]:
    """The parameters of a class's `__init__` with their defaults; None where there is none. Imports nothing."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InvalidConfig(f"{cls} is in the Python package {package!r}, not installed here: see requirements/")
    path = Path(spec.submodule_search_locations[0]) / source
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == cls:
            return _parameters(next(each for each in node.body if getattr(each, "name", "") == "__init__"))
    raise InvalidConfig(f"{path} has no {cls}: its version is not one that this was written for (requirements/)")


def _parameters(function: Any) -> dict[str, Any]:
    arguments = function.args.args[1:]
    defaults = [None] * (len(arguments) - len(function.args.defaults)) + function.args.defaults
    return {argument.arg: None if node is None else _literal(node) for argument, node in zip(arguments, defaults)}


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return NO_LITERAL
