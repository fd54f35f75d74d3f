"""A ROS master of our own on a free port, or one that is already running."""

from __future__ import annotations

import itertools
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self
from urllib.parse import urlparse

import rospkg

from uniros_bringup.process import Process, free_port, spawn
from uniros_bringup.xmlrpc import CallFailed, call
from uniros_msgs.errors import ConnectionFailed, StartFailed

LOOPBACK = "127.0.0.1"
ATTEMPTS = 3
CANNOT_BIND = "Unable to start XML-RPC server"  # what a rosmaster says that then stays for ever, and does nothing


def new_log_dir() -> Path:
    """A new folder below the ROS log folder, for the logs of one graph; `rosclean` knows it, too."""
    parent = Path(rospkg.get_log_dir())
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"uniros-{time.strftime('%Y%m%d-%H%M%S')}-", dir=parent))


def answering_pid(uri: str, timeout: float = 1.0) -> int | None:
    """The pid of the master that answers at `uri`, None if none does."""
    try:
        return int(call(uri, "getPid", timeout=timeout))
    except CallFailed:
        return None


def _address_towards(host: str) -> str:
    """The address of ours that `host` can reach us at; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return probe.getsockname()[0]


class Master:
    """Starts a `rosmaster`, and stops it on `stop()`, at the end of a `with` block, and when this process ends.

    address: what it binds to and is announced as; other hosts can reach it only if it is not loopback.
    port: one port and no other; None takes a free one, with three attempts.
    timeout: seconds an attempt may take. Raises StartFailed with the end of the master's log.

    `Master.at(uri)` joins one that is already running, and never stops it.
    """

    def __init__(
        self,
        port: int | Iterable[int] | None = None,
        address: str = LOOPBACK,
        log_dir: Path | None = None,
        timeout: float = 5.0,
    ) -> None:
        self.address = address
        self._own_log_dir = new_log_dir() if log_dir is None else None
        self.log_dir: Path | None = log_dir or self._own_log_dir
        self.process: Process | None = None
        ports = [port] if isinstance(port, int) else port or iter(lambda: free_port(address), None)
        tried = []
        for attempt in itertools.islice(ports, ATTEMPTS):
            tried.append(attempt)
            if self._start(attempt, timeout):
                return
        raise StartFailed(self._why_not(tried))

    @classmethod
    def at(cls, uri: str, timeout: float = 3.0, address: str | None = None) -> Master:
        """The master that runs at `uri`. Raises ConnectionFailed if none answers there within `timeout` seconds.

        address: ours, as the nodes on the master's host reach it; None finds it from the route there.
        """
        self = cls.__new__(cls)
        self.uri, self.port = uri.rstrip("/"), urlparse(uri).port or 11311
        self.process = self.log_dir = self._own_log_dir = None
        deadline = time.monotonic() + timeout
        while answering_pid(self.uri, timeout=max(0.1, deadline - time.monotonic())) is None:
            if time.monotonic() > deadline:
                raise ConnectionFailed(
                    f"no ROS master answers at {uri} within {timeout:g} s: is it running, and does its port fit?"
                )
            time.sleep(0.05)
        self.address = address or _address_towards(urlparse(uri).hostname or LOOPBACK)
        return self

    def _start(self, port: int, timeout: float) -> bool:
        """One attempt: True once it is our own child that answers, and no other master on the same port."""
        assert self.log_dir is not None
        self.port, self.uri = port, f"http://{self.address}:{port}"
        self.process = spawn(
            ["rosmaster", "--core", "-p", str(port)],
            env={**self.env(), "ROS_LOG_DIR": str(self.log_dir), "PYTHONUNBUFFERED": "1"},
            log=self.log_dir / f"rosmaster-{port}.log",
            name="rosmaster",
        )
        deadline = time.monotonic() + timeout
        while self.process.alive and CANNOT_BIND not in self.process.tail() and time.monotonic() < deadline:
            if answering_pid(self.uri) == self.process.pid:
                return True
            time.sleep(0.01)
        self.process.kill()
        return False

    def _why_not(self, ports: list[int]) -> str:
        assert self.process is not None
        taken = answering_pid(self.uri)
        advice = f"; another ROS master (pid {taken}) answers there: join it, or take another port" if taken else ""
        return (
            f"no ROS master came up on {self.address}, port {', '.join(map(str, ports))}{advice}. "
            f"The end of {self.process.log}:\n{self.process.tail()}"
        )

    @property
    def is_ours(self) -> bool:
        return self.process is not None

    @property
    def alive(self) -> bool:
        """Whether our own runs; whether a joined one answers within a second."""
        return self.process.alive if self.process else answering_pid(self.uri) is not None

    def env(self) -> dict[str, str]:
        """What a child needs to reach this master and to be reached: environment variables."""
        return {"ROS_MASTER_URI": self.uri, "ROS_IP": self.address, "ROS_HOSTNAME": self.address}

    def stop(self) -> None:
        """Idempotent. A joined master is left alone; the logs of one that ran to its end here are removed."""
        if self.process is None:
            return
        died_before = not self.process.alive
        self.process.stop()
        if self._own_log_dir is not None and not died_before:
            shutil.rmtree(self._own_log_dir, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()
