"""`gymnasium.make("uniros/…")` and `gymnasium.make_vec`: our ids in gymnasium's registry.

Importing `uniros_learner` registers them; `gymnasium.make("uniros_learner:uniros/RX200ReachSim-v0")` imports it first.
The package also names `register_envs` as gymnasium's plugin entry point; gymnasium 1.0 and later no longer look there.
"""

from __future__ import annotations

from typing import Any

from gymnasium.core import Env
from gymnasium.envs.registration import register, registry
from gymnasium.vector import VectorEnv

IDS = tuple(f"RX200{task}{goal}{world}-v0" for world in ("Sim", "Real") for task in ("Reach", "Reacher")
            for goal in ("", "Goal"))


def register_envs() -> None:
    """Put each id under the namespace `uniros/`. Harmless when repeated."""
    for env_id in IDS:
        name = f"uniros/{env_id}"
        if name not in registry:
            register(name, entry_point="uniros_learner.registration:make_registered", kwargs={"env_id": env_id},
                     vector_entry_point="uniros_learner.registration:make_registered_vec")


def make_registered(env_id: str, **kwargs: Any) -> Env:
    """As `uniros_learner.make`, imported only when somebody makes one."""
    from uniros_learner.api import make

    return make(env_id, **kwargs)


def make_registered_vec(env_id: str, num_envs: int, **kwargs: Any) -> VectorEnv:
    """As `uniros_learner.make_vec`, imported only when somebody makes one."""
    from uniros_learner.api import make_vec

    return make_vec(env_id, num_envs, **kwargs)
