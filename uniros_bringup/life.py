"""One life of a graph on a master: roslaunch with all nodes, a probe that tells how they are, and what they write."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from uniros_bringup.graph import Graph
from uniros_bringup.master import Master
from uniros_bringup.process import spawn
from uniros_bringup.supervisor import GRACE, Launch
from uniros_bringup.xmlrpc import CallFailed, call


class Lines:
    """What is written into a pipe, line by line."""

    def __init__(self) -> None:
        self._fd, self.theirs = os.pipe()
        self._rest = b""
        self.ended = False  # nobody can write any more

    def fileno(self) -> int:
        return self._fd

    def begin(self) -> None:
        """All who write have the pipe: let go of their end."""
        if self.theirs >= 0:
            os.close(self.theirs)
        self.theirs = -1

    def read(self) -> list[str]:
        """The lines that have become complete; to be called when there is something to read."""
        data = os.read(self._fd, 65_536)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace").rstrip() for line in lines]

    def close(self) -> None:
        self.begin()
        os.close(self._fd)


class Life:
    """From the start of a graph to its end, for a `with` block.

    file: launch file; None when somebody else runs the graph, and only the probe is ours. say: takes each line that
    the nodes write. `news` is what the probe told last, see `uniros_bringup.probe`.
    """

    def __init__(self, master: Master, namespace: str, file: Path | None, arguments: Sequence[str],
                 say: Callable[[str], None]) -> None:
        self._master, self._namespace, self._say = master, namespace, say
        self.news: dict[str, Any] = {}
        self._launch: Launch | None = None
        with ExitStack() as failing:
            self._output, self._told = (self._lines(failing) for _ in range(2))
            if master.is_ours:
                failing.enter_context(Graph(master)).node(["rosrun", "rosout", "rosout"], "rosout")
            if file is not None:
                self._launch = Launch(file, arguments, master, output=self._output.theirs)
                failing.callback(self._launch.close)
            probe = spawn([sys.executable, "-m", "uniros_bringup.probe", namespace], env=master.env(), name="probe",
                          output=self._told.theirs)
            failing.callback(probe.kill)
            self._output.begin()
            self._told.begin()
            self._cleanup = failing.pop_all()

    @staticmethod
    def _lines(cleanup: ExitStack) -> Lines:
        lines = Lines()
        cleanup.callback(lines.close)
        return lines

    def look(self, seconds: float) -> None:
        """Take in what happens within so many seconds, or sooner, when something does."""
        sources: list[Lines | Launch] = [lines for lines in (self._told, self._output) if not lines.ended]
        sources += [self._launch] if self._launch else []
        ready = select.select(sources, [], [], seconds)[0]
        if self._output in ready:
            for line in self._output.read():
                self._say(line)
        if self._told in ready:
            for line in self._told.read():
                self.news = json.loads(line) if line.startswith("{") else self.news
        if self._launch and self._launch in ready and not self._launch.read():
            self._launch.process.wait(1.0)

    @property
    def ended(self) -> str:
        """How roslaunch ended, "" while it runs."""
        code = self._launch.process.poll() if self._launch else None
        return "" if code is None else f"roslaunch has ended with exit code {code}"

    def served(self) -> bool:
        """Whether there is an env server."""
        try:
            return bool(call(self._master.uri, "lookupService", f"{self._namespace}/env/describe"))
        except CallFailed:
            return False

    def leave(self, at_once: Callable[[], bool]) -> None:
        """Have roslaunch end its nodes, in some seconds; sooner if `at_once()`."""
        if self._launch is None:
            return
        self._launch.interrupt()
        deadline = time.monotonic() + GRACE
        while not self.ended and time.monotonic() < deadline and not at_once():
            self.look(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()
