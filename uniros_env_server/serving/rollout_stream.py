"""What a rollout tells while it goes on: transitions and signs of life, as feedback of its goal."""

from __future__ import annotations

import struct
import threading
import time

from uniros_env_server.serving.actions import Goal
from uniros_msgs.transitions import head

HEARTBEAT = 1.0  # s between two messages, at most
GATHER, ENOUGH = 0.05, 1 << 18  # s and bytes for which short episodes wait to be sent together
UNREAD = 8 << 20  # bytes that a learner may be behind


class Stream:
    """Of one goal. Nothing here waits; `behind` says when one had better. Batches may come from another thread."""

    def __init__(self, goal: Goal, patient: bool) -> None:
        """patient: whether batches may wait for each other."""
        self._goal, self._patient = goal, patient
        self.transitions = 0  # sent, or about to be
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._size, self._since, self._said = 0, 0.0, 0.0
        self._phase, self._progress = "", 0.0

    def add(self, batch: bytes) -> None:
        """Take a serialised `TransitionBatch`."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(batch)
            self._size += len(batch)
            self.transitions += head(batch).count
        if not self._patient:
            self._send()

    def turn(self, phase: str, progress: float) -> None:
        """Send what has waited long enough or is enough, and a sign of life when one is due."""
        now = time.monotonic()
        enough = self._patient and self._waiting and (now - self._since >= GATHER or self._size >= ENOUGH)
        self._phase, self._progress = phase, progress
        if enough or now - self._said >= HEARTBEAT:
            self._send()

    def say(self, phase: str, progress: float) -> None:
        """Send what there is."""
        self._phase, self._progress = phase, progress
        self._send()

    def behind(self) -> bool:
        """Whether the learner has yet to take more than it should be sent."""
        return self._goal.unread() > UNREAD

    def _send(self) -> None:
        with self._lock:
            name = self._phase.encode()
            start = struct.pack(f"<fI{len(name)}sI", self._progress, len(name), name, len(self._waiting))
            self._goal.feedback(b"".join((start, *self._waiting)))
            self._waiting, self._size, self._said = [], 0, time.monotonic()
