"""A master and the nodes started on it: supervised together, stopped together."""

from __future__ import annotations

import os
import select
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from uniros_bringup.master import Master, new_log_dir
from uniros_bringup.process import Process, spawn
from uniros_msgs.errors import StartFailed

POLL = 0.01  # s, between two questions whether a node is ready


class Graph:
    """Starts nodes on a master and stops them in reverse order, the master last.

    master: one that runs; None starts a private one. What the caller brought is never stopped here.
    log_dir: where the logs go; None takes a new folder, which is removed after a run in which nothing died.
    """

    def __init__(self, master: Master | None = None, log_dir: Path | None = None) -> None:
        self.log_dir = log_dir or new_log_dir()
        self._keep_logs = log_dir is not None
        self._own_master = Master(log_dir=self.log_dir) if master is None else None
        self.master: Master = master or self._own_master  # type: ignore[assignment]
        self.nodes: list[Process] = []
        self._closing = threading.Event()
        self._lock = threading.RLock()

    def node(
        self,
        cmd: Sequence[str | os.PathLike],
        name: str,
        ready: Callable[[], object] | None = None,
        timeout: float = 10.0,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a node and wait until `ready()` is true, for `timeout` seconds at most.

        Raises StartFailed, with the end of its log, when it ends or does not get ready; it is stopped then.
        """
        variables = {**self.master.env(), "ROS_LOG_DIR": str(self.log_dir), "PYTHONUNBUFFERED": "1"}
        variables |= env or {}
        log = self.log_dir / f"{name.strip('/').replace('/', '-')}.log"
        with self._lock:
            process = spawn(cmd, env=variables, log=log, name=name)
            self.nodes.append(process)
        try:
            self._await(process, ready, timeout)
        except BaseException:
            process.stop()
            raise
        return process

    def _await(self, process: Process, ready: Callable[[], object] | None, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while ready is not None and not ready():
            if not process.alive:
                raise StartFailed(f"{process.name} ended with {process.poll()} while starting; {_log_of(process)}")
            if time.monotonic() > deadline:
                raise StartFailed(f"{process.name} was not ready within {timeout:g} s; {_log_of(process)}")
            time.sleep(POLL)

    @property
    def processes(self) -> list[Process]:
        """All that were started here, in the order of their start."""
        master = self._own_master.process if self._own_master else None
        return ([master] if master else []) + self.nodes

    @property
    def dead(self) -> list[Process]:
        """Those that have ended."""
        return [process for process in self.processes if not process.alive]

    def wait(self, timeout: float | None = None) -> Process | None:
        """Block until one of the processes has ended, and return it; None after `timeout` seconds."""
        watched = self.processes
        by_fd = {}
        try:
            for process in watched:
                try:
                    by_fd[os.pidfd_open(process.pid)] = process
                except ProcessLookupError:
                    return process
            poller = select.poll()
            for fd in by_fd:
                poller.register(fd, select.POLLIN)
            ended = poller.poll(None if timeout is None else timeout * 1000)
            return by_fd[ended[0][0]] if ended else None
        finally:
            for fd in by_fd:
                os.close(fd)

    def watch(self, on_death: Callable[[Process], None]) -> threading.Thread:
        """Call `on_death` once for the first process that ends before `stop()`, from a thread of its own."""

        def _watch() -> None:
            while not self._closing.is_set():
                ended = self.wait(timeout=0.2)
                if ended is not None and not self._closing.is_set():
                    on_death(ended)
                    return

        thread = threading.Thread(target=_watch, name="uniros-watch", daemon=True)
        thread.start()
        return thread

    def stop(self, timeout: float = 5.0) -> None:
        """Stop everything started here, within `timeout` seconds in all. Idempotent."""
        first = not self._closing.is_set()
        self._closing.set()
        clean = not self.dead
        deadline = time.monotonic() + timeout
        with self._lock:
            left = list(reversed(self.nodes))
            for index, process in enumerate(left):
                share = max(0.0, deadline - time.monotonic()) / (len(left) - index)
                process.stop(timeout=min(2.0, share))
        if self._own_master is not None:
            self._own_master.stop()
        if first and clean and not self._keep_logs:
            shutil.rmtree(self.log_dir, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._keep_logs = self._keep_logs or failure[0] is not None
        self.stop()


def _log_of(process: Process) -> str:
    return f"the end of {process.log}:\n{process.tail()}"
