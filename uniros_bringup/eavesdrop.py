"""Listening to topics of any ROS master without being a node there.

A process of rospy's knows one master, and is seen on its graph. Who only wants to look asks the publishers themselves
for a connection (requestTopic, then TCPROS): any number of masters, nothing registered, nothing to leave behind.
"""

from __future__ import annotations

import io
import socket
import struct
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from genpy import DeserializationError
from rosgraph.network import ROSHandshakeException, read_ros_handshake_header, write_ros_handshake_header

from uniros_bringup.xmlrpc import CALLER, CallFailed, call

DEADLINE = 1.0  # s that a publisher may take to answer
PAUSE = 0.25  # s before a publisher that was lost, or did not answer, may be asked again
SILENCE = 1.0  # s between two looks whether to go on, where nothing is published
CHUNK = 1 << 16  # bytes read at once
LONGEST = 64 << 20  # bytes; a length beyond that is none
_LENGTH = struct.Struct("<I")

Heard = Callable[[str, Any], None]
"""Told the name of a node and a message of its, in a thread of its own."""


class Eavesdropper:
    """Hears what is published on one topic of one master. `look()` finds the publishers, as often as it is called."""

    def __init__(self, uri: str, topic: str, message_class: type, heard: Heard) -> None:
        """uri: of the master."""
        self._uri, self._topic, self._class, self._heard = uri, topic, message_class, heard
        self._lock = threading.Lock()
        self._heeded: set[str] = set()  # nodes that there is a connection to, or one is being made
        self._closed = threading.Event()

    def look(self, publishers: Collection[str]) -> None:
        """Connect to those of these nodes that there is no connection to yet. Does not wait."""
        for node in publishers:
            with self._lock:
                if node in self._heeded or self._closed.is_set():
                    continue
                self._heeded.add(node)
            threading.Thread(target=self._listen, args=(node,), name=f"{self._topic} of {node}", daemon=True).start()

    def close(self) -> None:
        """Hear nothing any more."""
        self._closed.set()

    def _listen(self, node: str) -> None:
        """Until the publisher ends, or we do."""
        with suppress(CallFailed, OSError, ROSHandshakeException, ValueError, DeserializationError):
            self._read(node, *self._connect(node))
        self._closed.wait(PAUSE)
        with self._lock:
            self._heeded.discard(node)

    def _connect(self, node: str) -> tuple[socket.socket, bytes]:
        """The connection, and what has come already."""
        slave = call(self._uri, "lookupNode", node, timeout=DEADLINE)
        protocol, host, port = call(slave, "requestTopic", self._topic, [["TCPROS"]], timeout=DEADLINE)
        if protocol != "TCPROS":
            raise ValueError(f"{node} speaks {protocol}, TCPROS was expected")
        connection = socket.create_connection((host, port), DEADLINE)
        try:
            write_ros_handshake_header(connection, {
                "callerid": CALLER, "topic": self._topic, "type": self._class._type,  # type: ignore[attr-defined]
                "md5sum": self._class._md5sum, "tcp_nodelay": "1"})  # type: ignore[attr-defined]
            rest = io.BytesIO()
            header = read_ros_handshake_header(connection, rest, CHUNK)
            if "error" in header:
                raise ValueError(header["error"])
        except BaseException:
            connection.close()
            raise
        return connection, rest.getvalue()

    def _read(self, node: str, connection: socket.socket, begun: bytes) -> None:
        connection.settimeout(SILENCE)
        with connection:
            buffer = self._take(node, begun)
            while not self._closed.is_set():
                with suppress(TimeoutError):
                    chunk = connection.recv(CHUNK)
                    if not chunk:
                        return
                    buffer = self._take(node, buffer + chunk)

    def _take(self, node: str, buffer: bytes) -> bytes:
        """Hand on the messages that are complete; what is left."""
        while len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            if length > LONGEST:
                raise ValueError(f"{node}: a message of {length} bytes")
            end = _LENGTH.size + length
            if len(buffer) < end:
                break
            self._heard(node, self._class().deserialize(buffer[_LENGTH.size : end]))
            buffer = buffer[end:]
        return buffer
