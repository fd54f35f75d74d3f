"""Answers sorted by the requests they belong to, for several threads that wait for them on one socket."""

from __future__ import annotations

import threading
import time
from collections import deque

from uniros_learner.frames import Frame, Frames

TICK = 0.1  # s that a thread reads before it looks whether its time is up; the socket's own time-out


class Mailbox:
    """Whoever waits first reads for all others. A request may have several answers; those nobody expects are dropped.
    """

    def __init__(self, frames: Frames):
        self._frames = frames
        self._boxes: dict[int, deque[Frame]] = {}
        self._turn = threading.Condition(threading.Lock())
        self._reading = False  # whether some thread does
        self.ended = False  # the other end is gone

    def fileno(self) -> int:
        return self._frames.socket.fileno()

    def expect(self, number: int) -> None:
        """Keep what comes for this request."""
        self._boxes[number] = deque()

    def forget(self, number: int) -> None:
        """Drop what comes from now on."""
        self._boxes.pop(number, None)

    def expects(self, number: int) -> bool:
        return number in self._boxes

    def wait(self, number: int, patience: float) -> bool:
        """Whether there is an answer to take, or the end has come; waits up to `patience` (s) for that."""
        box, deadline = self._boxes[number], time.monotonic() + patience
        while True:
            with self._turn:
                if box or self.ended:
                    return True
                left = deadline - time.monotonic()
                if self._reading:
                    if left <= 0 or not self._turn.wait(left):
                        return bool(box) or self.ended
                    continue
                self._reading = True
            try:
                self._read(left)
            finally:
                with self._turn:
                    self._reading = False
                    self._turn.notify_all()
            if left <= 0:
                return bool(box) or self.ended

    def take(self, number: int, timeout: float) -> Frame | None:
        """The next answer; None at the end, or when none came within `timeout` (s)."""
        box = self._boxes[number]
        return box.popleft() if self.wait(number, timeout) and box else None

    def _read(self, patience: float) -> None:
        """Receive a frame for whomever it is, if one comes in time."""
        try:
            if patience < TICK and not self._frames.arriving(patience):
                return
            frame = self._frames.receive()
        except BlockingIOError:  # the socket's time-out
            return
        except OSError:
            frame = None
        if frame is None:
            self.ended = True
        elif frame.number in self._boxes:
            self._boxes[frame.number].append(frame)
