"""Starting env servers for a test, and finding out what a test left behind."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from uniros_bringup.graph import Graph
from uniros_bringup.process import Process
from uniros_bringup.xmlrpc import CallFailed, call

MARK = f"UNIROS_TEST_RUN={os.getpid()}"


def marked_processes() -> list[int]:
    """Processes of this test run other than ourselves, zombies not counted."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if MARK.encode() in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def marked_commands() -> Counter[bytes]:
    """How often each command line occurs among them, numbers aside: of a port, a process, an open file."""
    found: Counter[bytes] = Counter()
    for pid in marked_processes():
        with suppress(OSError):  # it has ended meanwhile
            found[re.sub(rb"\d+", b"#", Path(f"/proc/{pid}/cmdline").read_bytes())] += 1
    return found


def wait_until(condition: Callable[[], object], timeout: float) -> float:
    """Seconds until `condition()` was true. Raises AssertionError after `timeout` seconds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < timeout, f"not true within {timeout} s: {condition}"
        time.sleep(0.005)
    return time.monotonic() - start


def serve(graph: Graph, env_id: str, ns: str, **kwargs: object) -> Process:
    """An env server for `env_id` in namespace `ns` of a running graph."""
    call(graph.master.uri, "setParam", f"{ns}/env_server/env_id", env_id)
    if kwargs:
        call(graph.master.uri, "setParam", f"{ns}/env_server/env_args", kwargs)
    command = [sys.executable, "-m", "uniros_env_server", "__name:=env_server", f"__ns:={ns}"]

    def registered() -> bool:
        try:
            return bool(call(graph.master.uri, "lookupService", f"{ns}/env/describe"))
        except CallFailed:
            return False

    return graph.node(command, f"{ns.strip('/')}-env_server", registered)


def record(graph: Graph, folder: Path, *settings: str) -> Process:
    """A recorder on a running graph, that writes its bags to `folder`; settings: private ones, as `_name:=value`."""
    command = [sys.executable, "-m", "uniros_env_server.recorder", "__name:=recorder", f"_folder:={folder}", *settings]
    recorder = graph.node(command, f"recorder-{time.monotonic_ns()}", lambda: True)
    wait_until(lambda: "recording transitions to" in recorder.tail(100) or not recorder.alive, 20.0)
    return recorder
