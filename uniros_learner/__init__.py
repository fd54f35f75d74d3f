"""The learner's side: environments behind env servers as plain `gymnasium.Env`s, and training on them."""

from uniros_learner.api import connect, make
from uniros_learner.env import RosEnv
from uniros_learner.proxy import GymProxy
from uniros_msgs import errors
from uniros_msgs.codec import Opaque

__all__ = ["GymProxy", "Opaque", "RosEnv", "connect", "errors", "make"]
