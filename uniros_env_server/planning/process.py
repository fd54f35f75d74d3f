"""The planner's process, as those who ask it see it: questions as lines of JSON, each with a deadline.

Planning keeps Python's lock busy, and whoever shares a process with it, a control loop above all, waits for 5 ms again
and again. So it has a process of its own: started once and kept, ended with us however we end, replaced when it dies or
hangs.
"""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uniros_bringup.process import Process, spawn
from uniros_env_server.planning.settings import Settings
from uniros_env_server.safety.gate import SafetyLimits
from uniros_msgs.errors import Closed, NoPath

log = logging.getLogger(__name__)

AHEAD = 0.05  # s before its deadline at which an answer is given up: there is a hanging process to end, too
STARTING = 20.0  # s that the process may take until it listens, on a busy machine
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # the other cores are for others
CHUNK = 1 << 16


class PlanningProcess:
    """Starts with its maker, who need not wait for it. Questions and answers are those of `planning.__main__`."""

    def __init__(self, robot: str, limits: SafetyLimits, settings: Settings, seed: int, log_file: Path | None) -> None:
        self._task = {"robot": robot, "limits": asdict(limits), "settings": asdict(settings), "seed": seed}
        self._log_file = log_file
        self._lock = threading.Lock()  # held by whoever uses what follows
        self._closed = False
        self._listens = False  # whether the process has said that it does
        self._start()

    @property
    def pid(self) -> int:
        """Of the process as it is now."""
        return self._process.pid

    def ask(self, question: dict[str, Any], deadline: float) -> dict[str, Any]:
        """The answer to a question, within `deadline` seconds. Raises what `Planner` says."""
        until = time.monotonic() + deadline
        if not self._lock.acquire(timeout=max(0.0, deadline)):
            raise NoPath(f"the planner was busy with other questions for {deadline:g} s. Ask again")
        try:
            answer = self._answer(question, until - min(AHEAD, deadline / 4), f"within {deadline:g} s")
        finally:
            self._lock.release()
        if "no_path" in answer:
            raise NoPath(answer["no_path"])
        if "failed" in answer:
            raise RuntimeError(f"planning failed:\n{answer['failed']}")
        return answer

    def close(self) -> None:
        """End the process. Whoever waits for an answer is told. Harmless when repeated."""
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._socket.close()
            self._process.kill()

    # --- with the lock held -----------------------------------------------------------------------------------------

    def _answer(self, question: dict[str, Any], until: float, within: str) -> dict[str, Any]:
        """Ask, and where the process has ended, ask its successor."""
        for _ in range(2):
            try:
                return self._exchange(question, until)
            except TimeoutError:
                if not self._listens and time.monotonic() < self._started + STARTING:
                    raise NoPath(f"the planner was still starting and gave no answer {within}. Ask again") from None
                self._replace(f"gave no answer {within}")
                raise NoPath(f"the planner gave no answer {within}; its process was ended and started anew. Ask "
                             "again") from None
            except OSError:
                if self._closed:
                    raise Closed("the planner is closed: make it again") from None
                last_words = self._process.tail()
                self._replace("has ended")
        raise NoPath("the planner's process ended while it planned, and so did the next one. Its last words were: "
                     f"{last_words or 'not kept, see our own output'}")

    def _exchange(self, question: dict[str, Any], until: float) -> dict[str, Any]:
        if not self._listens:
            self._receive(until)
            self._listens = True
        self._send(question | {"until": until - AHEAD}, until)
        return self._receive(until)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "uniros_env_server.planning", str(theirs.fileno())]
        self._process: Process = spawn(command, ONE_THREAD, self._log_file, "planner", pass_fds=[theirs.fileno()])
        theirs.close()
        self._socket, self._received, self._listens, self._started = ours, b"", False, time.monotonic()
        with suppress(OSError):  # who asks will find that it has ended
            self._send(self._task, self._started + AHEAD)

    def _replace(self, why: str) -> None:
        log.warning("the planner's process %d %s: starting another", self.pid, why)
        self._socket.close()
        if self._process.alive:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait(AHEAD)
        self._start()

    def _send(self, message: dict[str, Any], until: float) -> None:
        self._socket.settimeout(max(until - time.monotonic(), 1e-3))
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self, until: float) -> dict[str, Any]:
        """The next line. Raises TimeoutError, or another OSError when the process has ended."""
        while b"\n" not in self._received:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            chunk = self._socket.recv(CHUNK)
            if not chunk:
                raise ConnectionResetError
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer
