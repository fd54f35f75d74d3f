"""`rosrun uniros bringup clean --host`: ends every ROS process of this machine. Nothing of ours ever calls it."""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from uniros_bringup.tree import signal_all
from uniros_bringup.xmlrpc import CallFailed, call

CORE = {"rosmaster": "master", "roscore": "roslaunch", "roslaunch": "roslaunch", "rosout": "rosout"}
OUR_MODULES = ("uniros_bringup.", "uniros_env_server.", "uniros_learner.")
OUR_FOLDERS = ("uniros_bringup/nodes", "uniros_env_server/nodes", "uniros_learner/nodes", "lib/uniros")
DEFAULT_PORT = 11311
POLITE = 3.0  # s between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Found:
    """A process and why it counts as one of ROS."""

    pid: int
    kind: str
    command: str


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def _program(arguments: list[str]) -> list[str]:
    """The command line without the interpreter, and its options, in front of a script or module."""
    if not Path(arguments[0]).name.startswith(("python", "sh", "bash")):
        return arguments
    rest = itertools.dropwhile(lambda word: word.startswith("-") and word != "-m", arguments[1:])
    return list(rest) or arguments


def _kind(arguments: list[str]) -> str | None:
    """What a command line says about itself, None where it does not look like ROS."""
    program = _program(arguments)
    name, folder = Path(program[0]).name, "/".join(Path(program[0]).parts[-3:-1])
    if name in CORE:
        return CORE[name]
    if program[0] == "-m" and len(program) > 1 and program[1].startswith(OUR_MODULES):
        return "uniros"
    if folder in OUR_FOLDERS:
        return "uniros"
    if any(argument.startswith(("__name:=", "__log:=", "__master:=")) for argument in program):
        return "node"
    return None


def _port(arguments: list[str]) -> int:
    """The port of a rosmaster, from its command line."""
    for flag, value in itertools.pairwise(arguments):
        if flag in ("-p", "--port") and value.isdigit():
            return int(value)
    return DEFAULT_PORT


def _registered(port: int) -> set[int]:
    """Pids of the nodes that a master of this machine knows and that live on this machine, too."""
    uri = f"http://127.0.0.1:{port}"
    try:
        topics = call(uri, "getSystemState")
        names = {node for kind in topics for _name, nodes in kind for node in nodes}
        slaves = [call(uri, "lookupNode", name) for name in names]
    except CallFailed:
        return set()
    pids = set()
    for slave in slaves:
        try:
            pids.add(int(call(slave, "getPid", timeout=0.5)))
        except CallFailed:
            continue
    return pids


def _ancestors() -> set[int]:
    """This process and those it was called by: a clean-up must not end itself, nor the shell."""
    pid, found = os.getpid(), set()
    while pid > 0:
        found.add(pid)
        stat = Path(f"/proc/{pid}/stat")
        pid = int(stat.read_text().rpartition(")")[2].split()[1]) if stat.exists() else 0
    return found


def running_masters() -> list[str]:
    """Addresses of the ROS masters that run on this machine and answer on it."""
    programs = (_arguments(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit())
    ports = sorted({_port(each) for each in programs if each and each[0] and _kind(each) == "master"})
    uris = [f"http://127.0.0.1:{port}" for port in ports]
    with ThreadPoolExecutor(8) as pool:
        return [uri for uri, there in zip(uris, pool.map(_answers, uris), strict=True) if there]


def _answers(uri: str) -> bool:
    """Whether somebody answers there as a ROS master does."""
    try:
        return bool(call(uri, "getPid", timeout=0.5))
    except CallFailed:
        return False


def find() -> list[Found]:
    """Every ROS process of this machine that we may signal: masters, roslaunch, rosout, nodes, our own workers."""
    commands = {int(p.name): _arguments(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit()}
    kinds = {pid: _kind(arguments) for pid, arguments in commands.items() if arguments and arguments[0]}
    for port in {_port(commands[pid]) for pid, kind in kinds.items() if kind == "master"}:
        for pid in _registered(port) & commands.keys():
            kinds[pid] = kinds.get(pid) or "node"
    ours = _ancestors()
    return [Found(p, kind, " ".join(commands[p])) for p, kind in sorted(kinds.items()) if kind and p not in ours]


def wipe(found: list[Found]) -> list[Found]:
    """SIGTERM to all, SIGKILL to what is left after a while; returns what survived."""
    pids = [process.pid for process in found]
    signal_all(pids, signal.SIGTERM)
    deadline = time.monotonic() + POLITE
    while (left := _left(pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    signal_all(left, signal.SIGKILL)
    deadline = time.monotonic() + POLITE
    while (left := _left(pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [process for process in found if process.pid in left]


def _left(pids: list[int]) -> list[int]:
    """Those that still run; a zombie has no command line."""
    return [pid for pid in pids if _arguments(pid) not in ([], [""])]


def main(argv: list[str]) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="bringup clean", description=__doc__)
    parser.add_argument("--host", action="store_true", required=True, help="yes, on this whole machine")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(argv)
    found = find()
    for process in found:
        print(f"{process.pid:>8}  {process.kind:<10} {process.command[:120]}")
    if not found:
        print("no ROS process runs on this machine")
        return 0
    if not options.yes and input(f"End all {len(found)}? [y/N] ").strip().lower() not in ("y", "yes"):
        print("nothing was touched")
        return 1
    survivors = wipe(found)
    for process in survivors:
        print(f"still there: {process.pid} {process.command[:120]}", file=sys.stderr)
    print(f"ended {len(found) - len(survivors)} of {len(found)}")
    return 1 if survivors else 0
