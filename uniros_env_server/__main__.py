"""`rosrun uniros env_server _env_id:=Pendulum-v1`: serve one environment or a batch on the master of this process.

Private parameters:
  ~env_id              registered gymnasium id, or module:Class
  ~env_args            dict of constructor arguments
  ~env_args_encoded    the same, written by uniros_learner.make, which sends arrays, tuples and None exactly
  ~num_envs            so many of them as one batch, a gymnasium.vector.VectorEnv; 0 (default): one, as a gymnasium.Env
  ~autoreset_mode      of a batch: NextStep (default, as gymnasium has it), SameStep (as Stable-Baselines3 wants it)
  ~realtime_priority   of an environment in real time (SCHED_FIFO, 1 to 99; default 5), where the system permits it;
                       0: as any process
  ~check_observations  refuse observations that do not fit their space (default false: what is served passes as it is)
"""

from __future__ import annotations

import base64
import os
import sys
from typing import Any

import rospy

from uniros_bringup.leave import leave
from uniros_env_server.driver.logs import Lines
from uniros_env_server.driver.realtime import elevate
from uniros_env_server.serving.load import load, load_batch
from uniros_env_server.serving.server import EnvServer
from uniros_msgs import codec
from uniros_msgs.errors import StartFailed, UnirosError

PRIORITY = 5  # of the threads of an environment in real time; the driver's have 10
SWITCH_INTERVAL = 5e-4  # s; a control loop must not wait 5 ms, Python's own value, for its turn among our threads


def main() -> int:
    sys.path.append(os.getcwd())  # as `python -m` has it: your own module beside you can be served by rosrun, too
    rospy.init_node("env_server")
    lines = Lines()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        env_id = rospy.get_param("~env_id", None)
        if not env_id:
            raise StartFailed(
                "nothing to serve: give _env_id:=ID, for example _env_id:=RX200ReachSim-v0 or _env_id:=Pendulum-v1"
            )
        env = serveable(env_id, rospy.get_param("~num_envs", 0))
        attach_view(env)
        server = EnvServer(env, env_id, rospy.get_param("~check_observations", False))
        attach_health(env, server)
        attach_knobs(env, server)
        hurry(env)
        rospy.loginfo("serving %s at %s", env_id, rospy.resolve_name("env"))
        server.serve()
        return 0
    except UnirosError as error:
        rospy.logfatal("%s: %s", type(error).__name__, error)
        return 1
    finally:
        lines.flush()


def hurry(env: Any) -> None:
    """What keeps time does so on a busy computer, too, if the system permits it; after the driver, which has more."""
    if getattr(env.unwrapped, "mode", "") != "real_time":
        return
    if refused := elevate(rospy.get_param("~realtime_priority", PRIORITY)):
        rospy.loginfo("no real-time priority, a busy computer may hold actions up: %s", refused)


def serveable(env_id: str, num_envs: int) -> Any:
    if num_envs == 0:
        return load(env_id, read_arguments())
    return load_batch(env_id, num_envs, rospy.get_param("~autoreset_mode", "NextStep"), read_arguments())


def read_arguments() -> dict[str, Any]:
    encoded = rospy.get_param("~env_args_encoded", "")
    if encoded:
        return codec.loads(base64.b64decode(encoded), 0)[0]
    arguments = rospy.get_param("~env_args", {})
    if not isinstance(arguments, dict):
        raise StartFailed(f"~env_args must be a dict of constructor arguments, not {arguments!r}")
    return arguments


def attach_view(env: Any) -> None:
    """Publish what a person wants to see of a robot: joint states, goal marker."""
    if hasattr(env.unwrapped, "snapshot"):
        from uniros_env_server.serving.view import View

        View(env.unwrapped).start()


def attach_health(env: Any, server: EnvServer) -> None:
    """Publish on /diagnostics how it is."""
    from uniros_env_server.serving.health import Health

    Health(env.unwrapped, server).start()


def attach_knobs(env: Any, server: EnvServer) -> None:
    """Let dynamic_reconfigure turn what can be turned while it runs."""
    if hasattr(env.unwrapped, "tuning"):
        from uniros_env_server.serving.reconfigure import Knobs

        Knobs(server, env.unwrapped.tuning).start()


def run() -> None:
    """As a program."""
    leave(main())


if __name__ == "__main__":
    run()
