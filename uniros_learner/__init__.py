"""The learner's side: environments behind env servers as plain `gymnasium.Env`s, and training on them.

    import uniros_learner as uniros
    env = uniros.make("RX200ReachSim-v0")

Names load when they are first used, so that registering our ids with gymnasium does not cost the import of ROS.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from uniros_learner.registration import register_envs

if TYPE_CHECKING:
    from uniros_learner.api import connect, connect_vec, make, make_vec
    from uniros_learner.env import RosEnv
    from uniros_learner.multi_task import MultiTaskEnv
    from uniros_learner.multi_task_goal import MultiTaskGoalEnv
    from uniros_learner.proxy import GymProxy, VectorProxy
    from uniros_learner.training.config import TrainingConfig
    from uniros_learner.training.library import Trainer
    from uniros_learner.vector import RosVectorEnv
    from uniros_msgs import errors
    from uniros_msgs.codec import Opaque
    from uniros_msgs.exploration import Exploration
    from uniros_msgs.policy import Policy

__all__ = ["Exploration", "GymProxy", "MultiTaskEnv", "MultiTaskGoalEnv", "Opaque", "Policy", "RosEnv", "RosVectorEnv",
           "Trainer", "TrainingConfig", "VectorProxy", "connect", "connect_vec", "errors", "make", "make_vec"]

_HOMES = {
    "Exploration": "uniros_msgs.exploration",
    "GymProxy": "uniros_learner.proxy",
    "MultiTaskEnv": "uniros_learner.multi_task",
    "MultiTaskGoalEnv": "uniros_learner.multi_task_goal",
    "Opaque": "uniros_msgs.codec",
    "Policy": "uniros_msgs.policy",
    "RosEnv": "uniros_learner.env",
    "RosVectorEnv": "uniros_learner.vector",
    "Trainer": "uniros_learner.training.library",
    "TrainingConfig": "uniros_learner.training.config",
    "VectorProxy": "uniros_learner.proxy",
    "connect": "uniros_learner.api",
    "connect_vec": "uniros_learner.api",
    "errors": "uniros_msgs",
    "make": "uniros_learner.api",
    "make_vec": "uniros_learner.api",
}


register_envs()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(_HOMES[name])
    return getattr(home, name) if hasattr(home, name) else import_module(f"{_HOMES[name]}.{name}")
