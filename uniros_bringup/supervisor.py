"""A roslaunch under our control: clean on the first interrupt, gone on the second, and never left behind."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from uniros_bringup.guard import SIGINT_TIMEOUT, SIGTERM_TIMEOUT
from uniros_bringup.master import Master
from uniros_bringup.process import become_subreaper, kill_descendants, spawn

GRACE = 2 * (SIGINT_TIMEOUT + SIGTERM_TIMEOUT) + 1.0  # s for a clean end: of the nodes first, then of rosout
INTERRUPTED = 130  # the shell's exit code for "ended by Ctrl-C"
POLL = 0.2  # s, between two looks at the master
STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Launch:
    """A launch file running on a master, in a guard process (`uniros_bringup.guard`) that ends when we do.

    Its nodes keep our terminal, unless `output` is a file descriptor for what they say. `nodes` are their names once
    they are started, `ended` the exit codes of those that ended by themselves.
    """

    def __init__(self, file: Path, arguments: Sequence[str], master: Master, output: int | None = None) -> None:
        become_subreaper()
        self.nodes: list[str] | None = None
        self.ended: dict[str, int | None] = {}
        self._buffer = b""
        self._master = master
        lifeline, self._lifeline = os.pipe()
        self._report, report = os.pipe()
        self.process = spawn(
            [sys.executable, "-m", "uniros_bringup.guard", f"--lifeline={lifeline}", f"--report={report}", str(file)]
            + list(arguments),
            env=master.env(),
            name=f"roslaunch {file.name}",
            pass_fds=(lifeline, report),
            dies_with_us=False,  # it must live a moment longer, to end the nodes
            output=output,
        )
        os.close(lifeline)
        os.close(report)

    def fileno(self) -> int:
        """File descriptor that is readable when there is something to `read`."""
        return self._report

    def read(self) -> bool:
        """Take in what the guard reports; False once it has ended."""
        data = os.read(self._report, 65_536)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            self.nodes = report.get("nodes", self.nodes)
            if "ended" in report:
                self.ended[report["ended"]] = report["exit_code"]
        return bool(data)

    def master_lives(self) -> bool:
        """False once a master that is ours has ended. One that was joined may come back: its nodes know what to do."""
        return self._master.alive if self._master.is_ours else True

    def interrupt(self) -> None:
        """Ask roslaunch to stop its nodes and end, as Ctrl-C would."""
        if self.process.alive:
            self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it and its nodes at once."""
        kill_descendants(self.process.pid)
        self.process.kill()

    def close(self) -> None:
        """Leave nothing of it behind. Idempotent."""
        self.kill()
        for fd in (self._report, self._lifeline):
            if fd >= 0:
                os.close(fd)
        self._report = self._lifeline = -1


class Supervisor:
    """Runs a `Launch` to its end, answering signals meanwhile. For the main thread of a command."""

    def __init__(self, launch: Launch, last: str) -> None:
        """last: the name, without namespace, of the node whose end ends everything and whose exit code counts."""
        self._launch = launch
        self._last = last
        self._interrupts = 0
        self._master_died = False
        self._deadline = float("inf")

    def run(self) -> int:
        """Block until the launch has ended. The exit code: that of the last node; INTERRUPTED when it could not finish;
        else roslaunch's own. A node ended by a signal counts 128 + its number, as in a shell."""
        before = {number: signal.signal(number, self._on_signal) for number in STOPPING_SIGNALS}
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        before_fd = signal.set_wakeup_fd(wake_write)
        try:
            self._spin(wake_read)
        finally:
            signal.set_wakeup_fd(before_fd)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._launch.close()
            os.close(wake_read)
            os.close(wake_write)
        return self._exit_code()

    def _spin(self, wake: int) -> None:
        running = True
        while running:
            readable, _, _ = select.select([self._launch.fileno(), wake], [], [], POLL)
            if wake in readable:
                os.read(wake, 64)
            if self._interrupts > 1 or time.monotonic() >= self._deadline:
                return
            if self._launch.fileno() in readable:
                running = self._launch.read()
            self._master_died = self._master_died or not self._launch.master_lives()
            if self._interrupts or self._master_died or self._finished() is not None:
                self._end_politely()
        self._launch.process.wait(GRACE)

    def _end_politely(self) -> None:
        if self._deadline == float("inf"):
            self._deadline = time.monotonic() + GRACE
            self._launch.interrupt()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1

    def _finished(self) -> str | None:
        """The full name of the last node, once it has ended by itself."""
        return next((name for name in self._launch.ended if name.rpartition("/")[2] == self._last), None)

    def _exit_code(self) -> int:
        finished = self._finished()
        if finished is not None:
            code = self._launch.ended[finished]
            return _shell_code(1 if code is None else code)
        nodes = self._launch.nodes
        awaited = nodes is None or any(name.rpartition("/")[2] == self._last for name in nodes)
        if (self._interrupts and awaited) or self._interrupts > 1:
            return INTERRUPTED
        if self._interrupts:
            return 0
        return _shell_code(self._launch.process.poll() or int(self._master_died))


def _shell_code(code: int) -> int:
    return code if code >= 0 else 128 - code
