"""What `bringup joint` is asked for: the arguments of launch/joint.launch, shared out between the two sides."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roslaunch.arg_dump import get_args

from uniros_bringup.domain import Plan
from uniros_bringup.launch_files import check_arguments, find_launch_file
from uniros_bringup.xmlrpc import CallFailed, call
from uniros_msgs.errors import ConnectionFailed

USAGE = """
rosrun uniros bringup joint                          a simulated and an emulated arm, each on a ROS master of its own
rosrun uniros bringup joint -- COMMAND ...           the same, and a learner, which gets --master URI for each of them
rosrun uniros bringup joint robot_master:=URI        the robot's master runs already: joined, never started or stopped
rosrun uniros bringup joint driver:=port port:=/dev/ttyDXL allow_motion:=true        a real arm

The arguments are those of launch/joint.launch: roslaunch --ros-args uniros joint.launch
"""

BOTH = {"robot": "robot", "record": "record", "bags": "bags", "respawn": "respawn"}
# Name in joint.launch: name in sim.launch, or in real.launch.
SIM = BOTH | {"sim_env": "env_id", "real_time": "real_time", "rviz": "rviz_both"}
REAL = BOTH | {"real_env": "env_id"} | {name: name for name in ("driver", "port", "allow_motion", "planner")}
RESPAWN = {"respawn": "true"}  # env servers and driver, when they die


@dataclass(frozen=True)
class JointOptions:
    """What was given on the command line."""

    arguments: dict[str, str]  # of joint.launch, only those given
    learner: tuple[str, ...] = ()  # command, to which the masters are added
    sim_master: str = ""  # where the simulator's graph is launched by somebody else
    sim_port: int | None = None
    real_port: int | None = None
    address: str | None = None
    as_node: bool = False  # started by roslaunch


def parse(argv: Sequence[str]) -> JointOptions:
    """Raises Refused for arguments that joint.launch does not have."""
    as_node = [word.partition(":=")[0] for word in argv[-2:]] == ["__name", "__log"]  # roslaunch appends them
    words = list(argv[:-2] if as_node else argv)
    ours, learner = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    options = _parser().parse_intermixed_args(ours)
    given = check_arguments(find_launch_file("joint"), options.arguments)
    arguments = {name: value for name, _, value in (each.partition(":=") for each in given)}
    return JointOptions(arguments, tuple(learner), options.sim_master, options.sim_port, options.real_port,
                        options.address, as_node=as_node)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bringup joint", usage=USAGE, description="Ctrl-C stops everything cleanly, "
                                     "the learner first; a second Ctrl-C at once.")
    parser.add_argument("arguments", nargs="*", metavar="name:=value", help="arguments of joint.launch")
    parser.add_argument("--sim-port", type=int, help="port of the simulator's master; default: a free one")
    parser.add_argument("--real-port", type=int, help="port of the robot's master; default: a free one")
    parser.add_argument("--address", help="address of this machine that the masters bind to; default: loopback")
    parser.add_argument("--sim-master", metavar="URI", default="",
                        help="the simulator's graph is brought up there by somebody else: wait for it, leave it alone")
    return parser


def plans(options: JointOptions) -> tuple[Plan, Plan]:
    """The simulator's side and the robot's. Raises ConnectionFailed when the robot's master does not answer."""
    defaults = {name: default or "" for name, (_doc, default) in get_args([str(find_launch_file("joint"))]).items()}
    values = defaults | options.arguments
    namespace = "/" + values["robot"].strip("/")
    sim_file = None if options.sim_master else find_launch_file("sim")
    sim = Plan("sim", namespace, values["sim_env"], sim_file, _share(SIM, options.arguments),
               options.sim_master, options.sim_port, options.address)
    robot_master = values["robot_master"]
    there = _what_runs(robot_master, namespace) if robot_master else {}
    arguments = dict(options.arguments) | ({"driver": "none"} if there.get("driver") and not
                                           options.arguments.get("driver") else {})
    real_file = None if there.get("env_server") else find_launch_file("real")
    real = Plan("real", namespace, values["real_env"], real_file, _share(REAL, arguments), robot_master,
                options.real_port, options.address)
    return sim, real


def _share(names: Mapping[str, str], arguments: Mapping[str, str]) -> tuple[str, ...]:
    """The arguments of one side's launch file."""
    given = {**RESPAWN, **arguments}
    return tuple(f"{theirs}:={given[ours]}" for ours, theirs in names.items() if ours in given)


def _what_runs(uri: str, namespace: str) -> dict[str, bool]:
    """Whether a robot's master knows an env server, and somebody who publishes joint states: a driver."""
    try:
        publishers, _subscribers, services = call(uri, "getSystemState", timeout=3.0)
    except CallFailed as error:
        raise ConnectionFailed(f"no ROS master answers at robot_master:={uri}: is it running? ({error})") from error
    return {"env_server": any(name == f"{namespace}/env/describe" for name, _ in services),
            "driver": any(name == f"{namespace}/joint_states" for name, _ in publishers)}
