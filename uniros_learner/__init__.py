"""The learner's side: environments behind env servers as plain `gymnasium.Env`s, and training on them.

    import uniros_learner as uniros
    env = uniros.make("RX200ReachSim-v0")

Names load when they are first used, so that registering our ids with gymnasium does not cost the import of ROS.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from uniros_learner.registration import register_envs

if TYPE_CHECKING:
    from uniros_learner.api import connect, make
    from uniros_learner.env import RosEnv
    from uniros_learner.proxy import GymProxy
    from uniros_msgs import errors
    from uniros_msgs.codec import Opaque

__all__ = ["GymProxy", "Opaque", "RosEnv", "connect", "errors", "make"]

_HOMES = {
    "GymProxy": "uniros_learner.proxy",
    "Opaque": "uniros_msgs.codec",
    "RosEnv": "uniros_learner.env",
    "connect": "uniros_learner.api",
    "errors": "uniros_msgs",
    "make": "uniros_learner.api",
}


register_envs()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(_HOMES[name])
    return getattr(home, name) if hasattr(home, name) else import_module(f"{_HOMES[name]}.{name}")
