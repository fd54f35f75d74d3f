"""Which environment is meant: one behind an env server that runs already, or one started for us alone."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniros_bringup.xmlrpc import CallFailed, call
from uniros_learner.api import connect, connect_vec, make
from uniros_learner.env import RosEnv
from uniros_learner.training.fields import InvalidConfig
from uniros_msgs.errors import ConnectionFailed

if TYPE_CHECKING:
    from uniros_learner.sb3 import RosVecEnv
    from uniros_learner.training.config import TrainingConfig

    Environment = RosEnv | RosVecEnv

NS = "/rx200"


@dataclass(frozen=True)
class Target:
    """With `env_id` an environment of our own on a private master; else the env server in `ns` at `master_uri`."""

    env_id: str = ""
    env_args: dict[str, Any] | None = None
    master_uri: str = ""
    ns: str = NS
    num_envs: int = 1  # more: as one batch
    patience: float = 10.0  # s that a running env server may take to appear

    def __str__(self) -> str:
        what = f"{self.num_envs} x {self.env_id}" if self.num_envs > 1 else self.env_id
        return f"{what} on a private ROS master" if self.env_id else f"{self.ns} on {self.master_uri}"

    def open(self) -> Environment:
        """The environment or batch, to be closed by the caller. Raises what `make` and `connect` raise."""
        if self.num_envs > 1:
            return self._open_batch()
        if self.env_id:
            return make(self.env_id, **(self.env_args or {}))
        return connect(self.master_uri, self.ns, timeout=self.patience)

    def _open_batch(self) -> RosVecEnv:
        from uniros_learner.sb3 import RosVecEnv, make_vec_env  # loads PyTorch

        if self.env_id:
            return make_vec_env(self.env_id, self.num_envs, **(self.env_args or {}))
        return RosVecEnv(connect_vec(self.master_uri, self.ns, timeout=self.patience))


def add_options(parser: argparse.ArgumentParser) -> None:
    """--env, --master and --ns."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--env", dest="env_id", metavar="ID", help="serve this environment on a ROS master of our own")
    where.add_argument("--master", dest="master_uri", metavar="URI", help="join the env server on this ROS master")
    parser.add_argument("--ns", help=f"namespace of the env server to join (default {NS})")


def add_several(parser: argparse.ArgumentParser) -> None:
    """The same, where --env and --master may be repeated."""
    parser.add_argument("--env", dest="env_id", metavar="ID", action="append",
                        help="serve this environment on a ROS master of our own; may be repeated, for joint training: "
                        "the simulation first")
    parser.add_argument("--master", dest="master_uri", metavar="URI", action="append",
                        help="join the env server on this ROS master; may be repeated")
    parser.add_argument("--ns", help=f"namespace of the env servers to join (default {NS})")


def choose_all(options: argparse.Namespace, config: TrainingConfig) -> list[Target]:
    """What the options of `add_several` name, environments of our own first; without any, what the settings do.

    The settings' arguments belong to the ids that they name. A node's parameters hold several as one text, with spaces
    between them. Raises InvalidConfig.
    """
    masters, ids = _words(options.master_uri), _words(options.env_id)
    if options.ns and not masters:
        raise InvalidConfig("a namespace says where on a running ROS master: give --master URI, too")
    named = config.joint.envs or (config.env_id,)
    if not masters and not ids:
        ids = list(named)
    own = [Target(each, config.env_args if each in named else {}, num_envs=config.num_envs) for each in ids]
    ns = "/" + (options.ns or NS).strip("/")
    places = own + [Target(master_uri=uri, ns=ns, num_envs=config.num_envs) for uri in masters]
    if len(places) > 1 and config.num_envs > 1:
        raise InvalidConfig(f"num_envs: joint training takes one environment from each place, not {config.num_envs}")
    return places


def _words(given: str | list[str] | None) -> list[str]:
    return (given.split() if isinstance(given, str) else given) or []


def choose(options: argparse.Namespace, env_id: str, env_args: dict[str, Any], num_envs: int = 1) -> Target:
    """What the options name; without any, `env_id`. The arguments belong to `env_id` alone. Raises InvalidConfig."""
    if options.master_uri:
        return Target(master_uri=options.master_uri, ns="/" + (options.ns or NS).strip("/"), num_envs=num_envs)
    if options.ns:
        raise InvalidConfig("a namespace says where on a running ROS master: give --master URI, too")
    wanted = options.env_id or env_id
    return Target(env_id=wanted, env_args=env_args if wanted == env_id else {}, num_envs=num_envs)


def require_master(uri: str) -> None:
    """Raises ConnectionFailed when no ROS master answers there: rospy would wait for one for ever."""
    try:
        call(uri, "getPid", timeout=2.0)
    except CallFailed as error:
        raise ConnectionFailed(f"no ROS master answers at {uri}: start one, or set ROS_MASTER_URI ({error})") from error
