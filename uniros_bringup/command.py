"""`rosrun uniros bringup`: brings a whole graph up on a master of its own, and takes all of it down again."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import rospkg
from roslaunch.core import RLException

from uniros_bringup import clean, joint
from uniros_bringup.graph import Graph
from uniros_bringup.launch_files import Refused, check_arguments, find_launch_file
from uniros_bringup.master import LOOPBACK, Master
from uniros_bringup.supervisor import Launch, Supervisor
from uniros_bringup.tree import kill_descendants
from uniros_msgs.errors import UnirosError

LEARNER = "learner"  # the node whose end ends the run
SUMMARY = "summary.txt"  # what a learner leaves in its run folder for the person at the terminal

USAGE = """
rosrun uniros bringup demo                  train and evaluate on a simulated arm, on a master of its own
rosrun uniros bringup sim robot:=rx200      any launch/NAME.launch, or a file, with the launch file's arguments
rosrun uniros bringup sim --port 11411      the master on this port
rosrun uniros bringup sim --join URI        no master of its own: use the one that runs at URI
rosrun uniros bringup joint                 simulated and real arm, each on a master of its own; see bringup joint -h
rosrun uniros bringup clean --host          list every ROS process of this machine and, if you agree, end all of them
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bringup", usage=USAGE, description="Ctrl-C stops everything cleanly, a second Ctrl-C at once."
    )
    parser.add_argument("launch", help="name of a launch file of uniros, or the path of any")
    parser.add_argument("arguments", nargs="*", metavar="name:=value", help="arguments of the launch file")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, help="port of the master; default: a free one")
    where.add_argument("--join", metavar="URI", help="use the master that runs there; it is never stopped")
    parser.add_argument(
        "--address",
        help="address of this machine that master and nodes bind to and are announced under; default: loopback, or with"
        " --join the one that the master's host can reach",
    )
    return parser


def _master(options: argparse.Namespace) -> Master:
    if options.join:
        return Master.at(options.join, address=options.address)
    return Master(port=options.port, address=options.address or LOOPBACK)


def bring_up(options: argparse.Namespace) -> int:
    """Run the launch file to its end; the exit code is the learner's where there is one."""
    file = find_launch_file(options.launch)
    arguments = check_arguments(file, options.arguments)
    with _master(options) as master, Graph(master) as graph:
        if master.is_ours:
            graph.node(["rosrun", "rosout", "rosout"], "rosout")
        kind = "started here" if master.is_ours else "joined"
        print(f"ROS master {kind}: export ROS_MASTER_URI={master.uri} ROS_IP={master.address}", flush=True)
        code = Supervisor(Launch(file, arguments, master), last=LEARNER).run()
    kill_descendants(os.getpid())
    run_dir = next((a.partition(":=")[2] for a in arguments if a.startswith("run_dir:=")), "")
    summary = Path(run_dir) / SUMMARY
    if run_dir and summary.is_file():
        print("\n" + summary.read_text().rstrip(), flush=True)
    return code


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["clean"]:
        return clean.main(words[1:])
    try:
        if words[:1] == ["joint"]:
            return joint.main(words[1:])
        return bring_up(_parser().parse_intermixed_args(words))
    except (Refused, UnirosError, RLException, rospkg.ResourceNotFound) as error:
        print(f"bringup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
