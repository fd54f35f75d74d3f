"""Batches on their way from the network to the disk: a queue that is bounded, so that a slow disk harms nobody."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from uniros_msgs.transitions import Head


@dataclass(frozen=True)
class Message:
    """One serialised message, as it came."""

    topic: str
    kind: Any  # its class
    body: bytes
    received: float  # s since the epoch
    about: Head | None = None  # of transitions; None of a description


class Intake:
    """Any thread puts, one takes."""

    def __init__(self, bound: int) -> None:
        """bound: bytes that may wait."""
        self._bound = bound
        self._waiting: deque[Message] = deque()
        self._changed = threading.Condition()
        self.size = 0  # bytes that wait

    def put(self, message: Message) -> bool:
        """False when there is no room: the message is dropped. Never waits."""
        with self._changed:
            if self._waiting and self.size + len(message.body) > self._bound:
                return False
            self._waiting.append(message)
            self.size += len(message.body)
            self._changed.notify()
        return True

    def take(self, patience: float) -> list[Message]:
        """All that waits, in the order it came; nothing if nothing has come within `patience` seconds."""
        deadline = time.monotonic() + patience
        with self._changed:
            while not self._waiting and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            taken = list(self._waiting)
            self._waiting.clear()
            self.size = 0
        return taken
