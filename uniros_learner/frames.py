"""Frames on the socket between a learner and its worker: an operation, a number to tell answers apart, and bytes."""

from __future__ import annotations

import select
import socket
import struct
import threading
from typing import NamedTuple

from uniros_learner.link import Op

_HEAD = struct.Struct("<IBI")  # payload length, operation, number
_CHUNK = 1 << 16


class Frame(NamedTuple):
    op: Op
    number: int
    payload: bytes


class Frames:
    """Both ends of the socket use it: any thread may send, one may receive."""

    def __init__(self, connection: socket.socket):
        self.socket = connection
        self._lock = threading.Lock()
        self._buffer = b""
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def send(self, op: Op, number: int, payload: bytes) -> None:
        """Raises OSError when the other end is gone."""
        with self._lock:
            self.socket.sendall(_HEAD.pack(len(payload), op, number) + payload)

    def arriving(self, patience: float) -> bool:
        """Whether a frame, or the end, has at least begun to come; waits for that up to `patience` (s)."""
        return bool(self._buffer) or bool(self._poll.poll(max(0.0, patience) * 1e3))

    def receive(self) -> Frame | None:
        """The next frame; None at the end. Raises BlockingIOError when the socket's own time-out passes without one."""
        while True:
            if len(self._buffer) >= _HEAD.size:
                length, op, number = _HEAD.unpack_from(self._buffer)
                if len(self._buffer) >= _HEAD.size + length:
                    return self._take(Op(op), number, _HEAD.size + length)
            chunk = self.socket.recv(max(_CHUNK, self._missing()))
            if not chunk:
                return None
            self._buffer = self._buffer + chunk if self._buffer else chunk

    def _missing(self) -> int:
        if len(self._buffer) < _HEAD.size:
            return 0
        return _HEAD.unpack_from(self._buffer)[0] + _HEAD.size - len(self._buffer)

    def _take(self, op: Op, number: int, end: int) -> Frame:
        payload = self._buffer[_HEAD.size : end]
        self._buffer = self._buffer[end:]
        return Frame(op, number, payload)
