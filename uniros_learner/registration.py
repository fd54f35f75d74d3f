"""`gymnasium.make("uniros/…")`: our ids in gymnasium's registry, through its plugin entry point."""

from __future__ import annotations

from typing import Any

import gymnasium

IDS = ("RX200ReachSim-v0", "RX200ReachGoalSim-v0", "RX200ReacherSim-v0", "RX200ReacherGoalSim-v0")


def register_envs() -> None:
    """Called by gymnasium when it is imported; puts each id under the namespace `uniros/`."""
    for env_id in IDS:
        gymnasium.register(env_id, entry_point="uniros_learner.registration:make_registered", kwargs={"env_id": env_id})


def make_registered(env_id: str, **kwargs: Any) -> gymnasium.Env:
    """As `uniros_learner.make`, imported only when somebody makes one."""
    from uniros_learner.api import make

    return make(env_id, **kwargs)
