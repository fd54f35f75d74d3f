"""`rosrun uniros bringup`: brings a whole graph up on a master of its own, and takes all of it down again."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import time
from pathlib import Path

import rospkg
from roslaunch.arg_dump import get_args
from roslaunch.core import RLException

from uniros_bringup import clean
from uniros_bringup.graph import Graph
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
rosrun uniros bringup clean --host          list every ROS process of this machine and, if you agree, end all of them
"""


class Refused(Exception):
    """What the user asked for cannot be done; the message says what can."""


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


def find_launch_file(name: str) -> Path:
    """`name` as the path of a launch file, or as one of the package's, with or without its ending."""
    if Path(name).is_file():
        return Path(name).resolve()
    folder = Path(rospkg.RosPack().get_path("uniros")) / "launch"
    known = {path.stem: path for path in sorted(folder.glob("*.launch"))}
    stem = name.removesuffix(".launch")
    if stem not in known:
        raise Refused(f"there is no launch file {name!r}{_hint(stem, list(known))}")
    return known[stem]


def _hint(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known) or 'none'}"


def check_arguments(file: Path, arguments: list[str]) -> list[str]:
    """The arguments, if the launch file declares all of them; with a run folder, if it wants one and none is given."""
    declared = get_args([str(file)])
    given = {}
    for argument in arguments:
        name, assign, value = argument.partition(":=")
        if not assign:
            raise Refused(f"{argument!r} is not of the form name:=value")
        if name not in declared:
            raise Refused(f"{file.name} has no argument {name!r}{_hint(name, list(declared))}")
        given[name] = value
    if "run_dir" in declared:
        run_dir = Path(given.get("run_dir") or Path("runs") / f"{file.stem}-{time.strftime('%Y%m%d-%H%M%S')}")
        given["run_dir"] = str(run_dir.absolute())
    missing = [name for name, (_doc, default) in declared.items() if default is None and name not in given]
    if missing:
        raise Refused(f"{file.name} needs {', '.join(f'{name}:=...' for name in missing)}")
    return [f"{name}:={value}" for name, value in given.items()]


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
        return bring_up(_parser().parse_intermixed_args(words))
    except (Refused, UnirosError, RLException, rospkg.ResourceNotFound) as error:
        print(f"bringup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
