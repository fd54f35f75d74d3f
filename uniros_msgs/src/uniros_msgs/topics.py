"""Topics for the path of every step: raw bytes in and out of rospy, and subscribers that cannot hold anybody up.

A rospy publisher without a queue writes from the calling thread, which is fast, but blocks for ever once a subscriber
stops reading (a paused `rostopic echo`). `Outlet` never blocks: what a subscriber's socket does not take at once
waits in a backlog, and a subscriber that leaves it there too long is dropped. Nothing here starts a node.
"""

from __future__ import annotations

import logging
import select
import socket
import struct
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

import rospy

log = logging.getLogger("rosout")
_LENGTH = struct.Struct("<I")
STALLED_AFTER = 2.0  # s a subscriber whose buffers are full (megabytes) may read nothing before it is dropped
CHUNK = 1 << 16  # bytes read at once
BACKLOG_LIMIT = 64 << 20  # bytes a subscriber may leave unread


def raw(message_class: type) -> type:
    """A subclass of a message class that keeps the received bytes in `.raw` instead of decoding them."""

    def deserialize(self: Any, buffer: bytes) -> Any:
        self.raw = buffer
        return self

    return type(message_class.__name__, (message_class,), {"__init__": lambda self: None, "deserialize": deserialize})


class Stream:
    """The messages of one connection of rospy's, each handed on as bytes by the thread that reads."""

    def __init__(self, connection: Any, hand_on: Callable[[bytes], None]):
        self._connection, self._hand_on = connection, hand_on
        self._socket = connection.socket
        self._buffer, self._missing = b"", 4

    def fileno(self) -> int:
        """-1 when the connection has ended."""
        return -1 if self._connection.done else int(self._socket.fileno())

    @property
    def between_messages(self) -> bool:
        """Whether nothing has been read that is not handed on."""
        return not self._buffer

    def read(self) -> bool:
        """Wait until something has come, and hand on the messages that are complete; False when it was the end."""
        if self._connection.done:
            return False
        try:
            chunk = self._socket.recv(max(CHUNK, self._missing))
        except OSError:
            return False
        if not chunk:
            return False
        self._connection.stat_bytes += len(chunk)
        buffer = self._buffer + chunk if self._buffer else chunk
        while (missing := _missing(buffer)) <= 0:
            end = len(buffer) + missing
            self._connection.stat_num_msg += 1
            self._hand_on(buffer[4:end])
            buffer = buffer[end:]
        self._buffer, self._missing = buffer, missing
        return True


class Inlet:
    """A subscription that hands each message to `callback(raw bytes, caller id)` in the thread that received it.

    rospy makes the connections. Once the first message has come through one, its thread stays here and reads the
    socket itself: rospy's own way from socket to callback takes longer than everything else on the path of a step.
    """

    def __init__(self, name: str, message_class: type, callback: Callable[[bytes, str], None],
                 elsewhere: Callable[[Stream, str], None] | None = None):
        """elsewhere: called with a stream and its caller id before each reading of it. May have another thread read, in
        which the callback is called then, and returns when the stream has ended; or returns at once."""
        self._callback, self._elsewhere = callback, elsewhere
        self._handled: dict[Any, int] = {}  # connection -> messages that came through rospy's own loop
        self._callers: set[str] = set()  # whose messages are read by now without rospy
        self._subscriber = rospy.Subscriber(name, raw(message_class), self._receive, tcp_nodelay=True)

    def publishers(self) -> int:
        """How many publishers have completed the handshake with us."""
        return sum(1 for c in self._subscriber.impl.connections if getattr(c, "header", None))

    def hears(self, caller: str) -> bool:
        """Whether a node that has sent something is still connected. Its end is noticed as soon as its host says so."""
        return caller in self._callers

    def close(self) -> None:
        self._subscriber.unregister()

    def _receive(self, message: Any) -> None:
        """One message from rospy; if it was the last that rospy has read, read on without it."""
        header = message._connection_header
        caller = header.get("callerid", "")
        self._hand_on(message.raw, caller)
        connection = next((c for c in self._subscriber.impl.connections if c.header is header), None)
        if connection is None:
            return
        self._handled[connection] = handled = self._handled.get(connection, 0) + 1
        if connection.stat_num_msg == handled and connection.read_buff.tell() == 0:
            self._read_on(connection, caller)

    def _read_on(self, connection: Any, caller: str) -> None:
        """Read until the connection ends; rospy then finds it ended, too."""
        stream = Stream(connection, lambda body: self._hand_on(body, caller))
        self._callers.add(caller)
        while stream.read():
            if self._elsewhere:
                self._elsewhere(stream, caller)
        self._callers.discard(caller)

    def _hand_on(self, body: bytes, caller: str) -> None:
        try:
            self._callback(body, caller)
        except Exception:  # as rospy does: one bad message must not end the connection
            log.exception("a message on %s could not be handled", self._subscriber.resolved_name)


def _missing(buffer: bytes) -> int:
    """Bytes that the first message in the buffer still lacks; zero or less when it is complete."""
    return 4 - len(buffer) if len(buffer) < 4 else 4 + _LENGTH.unpack_from(buffer)[0] - len(buffer)


class Outlet:
    """A publisher of serialised messages. `send` returns at once, whatever any subscriber does."""

    def __init__(self, name: str, message_class: type, stalled_after: float = STALLED_AFTER):
        """stalled_after: s after which a subscriber that does not read is dropped; one that leaves too much always is.
        """
        self._stalled_after = stalled_after
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", SyntaxWarning
            )  # rospy advises a queue, and with it a thread, against blocking
            self._publisher = rospy.Publisher(name, message_class, queue_size=None, tcp_nodelay=True)
        self._lock = threading.Lock()
        self._backlogs: dict[Any, _Backlog] = {}
        self._flusher: threading.Thread | None = None

    def subscribers(self) -> list[str]:
        """The node names of the subscribers."""
        return [c.endpoint_id for c in self._publisher.impl.connections]

    def socket_to(self, subscriber: str) -> int:
        """The number of the socket to the only node of that name; -1 while there is none, or it has yet to read."""
        with self._lock:
            found = [c for c in self._publisher.impl.connections if c.endpoint_id == subscriber]
            if len(found) != 1 or found[0] in self._backlogs or found[0].socket is None:
                return -1
            return int(found[0].socket.fileno())

    def send(self, body: bytes) -> None:
        """Send one serialised message to every subscriber."""
        data = _LENGTH.pack(len(body)) + body
        with self._lock:
            for connection in self._publisher.impl.connections:
                self._write(connection, data)

    def unread(self, subscriber: str) -> int:
        """Bytes that the node of that name has yet to take from us, beyond what its connection's buffers hold."""
        with self._lock:
            return sum(backlog.size for connection, backlog in self._backlogs.items()
                       if connection.endpoint_id == subscriber)

    def close(self) -> None:
        self._publisher.unregister()

    def _write(self, connection: Any, data: bytes) -> None:
        backlog = self._backlogs.get(connection)
        if backlog is None:
            sent = self._try(connection, data)
            if sent is None or sent == len(data):
                return
            self._backlogs[connection] = backlog = _Backlog()
            data = data[sent:]
        backlog.append(data)
        if backlog.size > BACKLOG_LIMIT:
            self._drop(connection, f"left {backlog.size >> 20} MiB unread")
        elif self._flusher is None:
            self._flusher = threading.Thread(target=self._flush, name="outlet flusher", daemon=True)
            self._flusher.start()

    def _try(self, connection: Any, data: bytes) -> int | None:
        """Bytes the socket took without waiting; None when the connection is gone."""
        try:
            sent = connection.socket.send(data, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return 0
        except (OSError, AttributeError):  # rospy sets the socket to None when it closes a connection
            self._backlogs.pop(connection, None)
            connection.close()
            return None
        connection.stat_bytes += sent
        connection.stat_num_msg += 1
        return sent

    def _drop(self, connection: Any, why: str) -> None:
        log.warning("dropped %s from %s: it %s", connection.endpoint_id, self._publisher.resolved_name, why)
        self._backlogs.pop(connection, None)
        connection.close()

    def _flush(self) -> None:
        """Serve the backlogs until there are none; runs only while somebody is slow."""
        while True:
            with self._lock:
                for connection in list(self._backlogs):
                    self._advance(connection)
                if not self._backlogs:
                    self._flusher = None
                    return
                writable = select.poll()
                for connection in self._backlogs:
                    writable.register(connection.fileno(), select.POLLOUT)
            writable.poll(50)

    def _advance(self, connection: Any) -> None:
        backlog = self._backlogs[connection]
        while backlog.chunks:
            sent = self._try(connection, backlog.chunks[0])
            if sent is None:
                return
            if not backlog.took(sent):
                break
        if not backlog.chunks:
            del self._backlogs[connection]
        elif time.monotonic() - backlog.moved > self._stalled_after:
            self._drop(connection, f"has not read for {self._stalled_after:.0f} s")


class _Backlog:
    """Bytes one subscriber has yet to take."""

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.size = 0
        self.moved = time.monotonic()

    def append(self, data: bytes) -> None:
        self.chunks.append(data)
        self.size += len(data)

    def took(self, sent: int) -> bool:
        """Note that `sent` bytes of the first chunk are gone; True when the whole chunk is."""
        if sent:
            self.moved = time.monotonic()
        self.size -= sent
        first = self.chunks.popleft()
        if sent < len(first):
            self.chunks.appendleft(first[sent:])
        return sent == len(first)
