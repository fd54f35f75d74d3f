"""A child process that never outlives us, even when we are killed with SIGKILL."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from uniros_bringup.tree import (
    become_subreaper,
    descendants,
    die_with_parent,
    kill_descendants,
    session_members,
    signal_all,
)

__all__ = ["Process", "become_subreaper", "descendants", "die_with_parent", "free_port", "kill_descendants", "spawn"]

# Between fork and prctl the parent may already have died, and the signal with it: then the command must not start.
_UNLESS_ORPHANED = 'test "$PPID" = "$0" && exec "$@"'


class _Forker(threading.Thread):
    """Forks all our children. The kernel sends the parent-death signal when the forking *thread* ends, not the process,
    so children are started from a thread that ends with the process and no sooner."""

    def __init__(self) -> None:
        super().__init__(name="uniros-forker", daemon=True)
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future]] = queue.SimpleQueue()
        self.start()

    def call(self, job: Callable[[], Any]) -> Any:
        result: Future = Future()
        self._jobs.put((job, result))
        return result.result()

    def run(self) -> None:
        while True:
            job, result = self._jobs.get()
            try:
                result.set_result(job())
            except BaseException as error:  # noqa: BLE001 - handed on to the caller, whatever it is
                result.set_exception(error)


_forker: _Forker | None = None
_forker_lock = threading.Lock()


def _the_forker() -> _Forker:
    global _forker
    with _forker_lock:
        if _forker is None:
            _forker = _Forker()
        return _forker


def _forget_forker() -> None:
    """A forked child has no threads: it needs a forker of its own."""
    global _forker, _forker_lock
    _forker, _forker_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_forker)


class Process:
    """A running child, started by `spawn` in a session of its own."""

    def __init__(self, popen: subprocess.Popen, name: str, log: Path | None) -> None:
        self._popen = popen
        self.name = name
        self.log = log

    def __repr__(self) -> str:
        state = "alive" if self.alive else f"ended with {self.poll()}"
        return f"<Process {self.name} pid={self.pid} {state}>"

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self.poll() is None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, or None if it still runs after `timeout` seconds."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def tail(self, lines: int = 20) -> str:
        """The end of its log; empty when it has none."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    def send_signal(self, number: int) -> None:
        """Send a signal to the child alone."""
        self._popen.send_signal(number)

    def stop(self, sigint_first: bool = False, timeout: float = 2.0) -> int | None:
        """End it and everything in its session: (SIGINT,) SIGTERM, and after `timeout` seconds in all, SIGKILL.

        Idempotent. Returns the exit code.
        """
        polite = [signal.SIGINT, signal.SIGTERM] if sigint_first else [signal.SIGTERM]
        for number in polite:
            if self.alive:
                signal_all(session_members(self.pid), number)
                self.wait(timeout / len(polite))
        self.kill()
        return self.poll()

    def kill(self, timeout: float = 2.0) -> None:
        """SIGKILL it and everything in its session, at once."""
        deadline = time.monotonic() + timeout
        while (left := session_members(self.pid)) and time.monotonic() < deadline:
            signal_all(left, signal.SIGKILL)
            self.wait(0.005)
        self.wait(max(0.0, deadline - time.monotonic()))


def spawn(
    cmd: Sequence[str | os.PathLike],
    env: Mapping[str, str] | None = None,
    log: str | os.PathLike | None = None,
    name: str | None = None,
    pass_fds: Sequence[int] = (),
    dies_with_us: bool = True,
    output: int | None = None,
) -> Process:
    """Start `cmd` in a session of its own.

    env: variables that differ from ours. log: file that takes its output (appended); None leaves it on our terminal.
    output: instead of a log, an open file descriptor for its standard output and errors.
    pass_fds: open file descriptors it inherits under the same numbers.
    dies_with_us: the kernel kills it when we end, however we end. False only for a child that sees to that itself.

    A command that does not exist ends with exit code 127 and a line in the log.
    """
    command = [os.fspath(part) for part in cmd]
    if dies_with_us:
        command = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _UNLESS_ORPHANED, str(os.getpid()), *command]
    path = None if log is None else Path(log)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    file = None if path is None else path.open("ab")
    target = output if file is None else file.fileno()
    try:
        popen = _the_forker().call(
            lambda: subprocess.Popen(
                command,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        )
    finally:
        if file is not None:
            file.close()
    return Process(popen, name or Path(os.fspath(cmd[0])).name, path)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on at this moment; another process may still take it first."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]
