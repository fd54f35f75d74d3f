"""Noticing at once that another process has ended: an idle TCP connection to it that breaks when it does.

rospy notices a dead peer only when it next writes to it, and a dead master never. The kernel, however, closes a dead
process's sockets within milliseconds, and TCP keepalive finds a peer whose machine or cable is gone. A node that has
once subscribed to something closes idle connections after 60 s (rospy sets Python's default timeout then): one that
still answers under the same process id is tethered anew.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlparse

from uniros_bringup.xmlrpc import CallFailed, call
from uniros_msgs.errors import ConnectionFailed

RETRY = 0.5  # s for a peer that has closed its connection to answer again
OUT_OF_REACH, PAUSE = 3.0, 0.05  # s that a peer whose machine does not answer may take to come back; between attempts
KEEPALIVE = ((socket.TCP_KEEPIDLE, 2), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 3))  # s, s, probes


class Tethers:
    """Holds a connection to each of several peers and calls `on_loss(name)` in its own thread when one breaks."""

    def __init__(self, peers: dict[str, str], on_loss: Callable[[str], None], timeout: float = 2.0):
        """`peers` maps a name to the XML-RPC URI of a master or node.

        Raises ConnectionFailed when one cannot be reached.
        """
        self._on_loss, self._peers = on_loss, peers
        self._pids = {name: _pid(uri, timeout) for name, uri in peers.items()}
        self._sockets = {name: _connect(uri, timeout) for name, uri in peers.items()}
        self._wake, self._woken = socket.socketpair()
        threading.Thread(target=self._watch, name="tethers", daemon=True).start()

    def close(self) -> None:
        self._wake.close()

    def _watch(self) -> None:
        poll = select.poll()
        names = {s.fileno(): name for name, s in self._sockets.items()}
        for fd in (*names, self._woken.fileno()):
            poll.register(fd, select.POLLIN | select.POLLHUP | select.POLLERR)
        while names:
            for fd, _ in poll.poll():
                if fd not in names:  # close()
                    names.clear()
                    break
                poll.unregister(fd)
                name = names.pop(fd)
                self._sockets[name].close()
                if self._again(name):
                    names[self._sockets[name].fileno()] = name
                    poll.register(self._sockets[name].fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
                else:
                    self._on_loss(name)
        for s in (*self._sockets.values(), self._woken):
            s.close()

    def _again(self, name: str) -> bool:
        """Tie a peer to us again that is still the same process; whether it is. One out of reach may come back."""
        until = time.monotonic() + OUT_OF_REACH
        while time.monotonic() < until:
            try:
                self._sockets[name] = _connect(self._peers[name], RETRY)
                return _pid(self._peers[name], RETRY) == self._pids[name]
            except ConnectionFailed as error:
                if isinstance(error.__cause__, ConnectionRefusedError):
                    return False
                time.sleep(PAUSE)
        return False


def _pid(uri: str, timeout: float) -> int:
    """The process id of a master or node. Raises ConnectionFailed when it does not tell."""
    try:
        return int(call(uri, "getPid", timeout=timeout))
    except CallFailed as error:
        raise ConnectionFailed(f"nothing answers at {uri}: {error}") from error


def _connect(uri: str, timeout: float) -> socket.socket:
    address = urlparse(uri)
    try:
        connection = socket.create_connection((address.hostname or "", address.port or 0), timeout)
    except OSError as error:
        raise ConnectionFailed(f"nothing answers at {uri}: {error}") from error
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    return connection
