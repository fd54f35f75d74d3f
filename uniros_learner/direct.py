"""Steps without a detour by the worker: its connection to the env server in the learner's own hands.

A worker lends the sockets of the step action (`loan.py`) once steps come. What goes over them is what the worker would
have sent. All else stays with it: resets, calls, the lease, and noticing that a server or a master has ended.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
import time
from contextlib import suppress

from uniros_learner.link import Op
from uniros_learner.mailbox import Mailbox
from uniros_msgs import wire

_LENGTH = struct.Struct("<I")
_CHUNK = 1 << 16


class DirectLine:
    """One step at a time. `begin` sends it, `wait` and `take` are for its answer."""

    def __init__(self, goals: socket.socket, results: socket.socket, answers: Mailbox, number: int):
        """answers: the worker's, of which those to the request `number` are about this line: its end, or its recall."""
        self._goals, self._results = goals, results
        self._answers, self.number = answers, number
        self._ids = (f"/learner-{os.getpid()}-{number}-{count}" for count in itertools.count(1))
        self._expected = ""  # the goal that an answer is waited for
        self._answer: bytes | None = None
        self._buffer = b""
        self.over = False  # it has ended, or is wanted back
        self.failure = b""  # serialised, why: all that the worker connects us to has ended
        self._ended = False
        self._poll = select.poll()
        self._poll.register(results, select.POLLIN)
        self._poll.register(answers.fileno(), select.POLLIN)

    def begin(self, payload: bytes) -> None:
        """Send a serialised `StepGoal`."""
        self._expected, self._answer = next(self._ids), None
        body = wire.wrap_goal(self._expected.encode(), time.time(), payload)
        data = _LENGTH.pack(len(body)) + body
        try:
            while data:
                data = data[self._goals.send(data, socket.MSG_NOSIGNAL) :]
        except OSError:
            self._end()

    def wait(self, patience: float) -> bool:
        """Whether the answer has come, or none will; waits for that up to `patience` (s)."""
        deadline = time.monotonic() + patience
        while self._answer is None and not self._ended:
            ready = self._poll.poll(max(0.0, deadline - time.monotonic()) * 1e3)
            if not ready:
                return False
            for fd, _ in ready:
                if fd == self._results.fileno():
                    self._read()
                else:
                    self._heed()
        return True

    def take(self, timeout: float) -> bytes | None:
        """The serialised `StepResult`; None when none has come in time, or none will."""
        deadline = time.monotonic() + timeout
        if self.wait(timeout) and self._answer is None and not self.failure and not self._answers.ended:
            self._answers.wait(self.number, deadline - time.monotonic())  # it may tell in a moment why the line broke
            self._heed()
        answer, self._answer = self._answer, None
        return answer

    def close(self) -> None:
        """Let go of the sockets; the connection itself is the worker's."""
        self._goals.close()
        self._results.close()

    def _heed(self) -> None:
        """What the worker says of this line."""
        while frame := self._answers.take(self.number, 0.0):
            self.over = True
            if frame.op is Op.FAILED:
                self.failure, self._ended = frame.payload, True
        self._ended = self._ended or self._answers.ended

    def _read(self) -> None:
        try:
            chunk = self._results.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._end()
            return
        self._buffer = self._buffer + chunk if self._buffer else chunk
        while len(self._buffer) >= 4 and len(self._buffer) >= (end := 4 + _LENGTH.unpack_from(self._buffer)[0]):
            self._hand_on(self._buffer[4:end])
            self._buffer = self._buffer[end:]

    def _hand_on(self, body: bytes) -> None:
        envelope = wire.open_result(body)
        if envelope.goal_id == self._expected:  # else it answers somebody else's goal, or comes too late
            self._answer = body[envelope.body :]

    def _end(self) -> None:
        """The connection is broken; ended for the worker, too, it is made anew."""
        self.over = self._ended = True
        for end in (self._goals, self._results):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
