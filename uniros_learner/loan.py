"""Lending the learner the connection that steps take, so that they need not come by here: the worker's side.

The worker's rospy makes the connection, names it on the graph and watches it. While it is lent the worker reads nothing
from it and writes nothing to it; `direct.py` has the other side.
"""

from __future__ import annotations

import os
import select
import threading

from uniros_msgs.topics import Outlet, Stream

PATIENCE = 0.2  # s for the thread that reads results to let go


class Loan:
    """Of the socket that step goals leave by, and of the one that their results come from. Threads as named."""

    def __init__(self, goals: Outlet, server: str):
        """goals: of steps. server: the name of the node at the other end."""
        self._goals, self._server = goals, server
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._changed = threading.Condition()
        self._stream: Stream | None = None  # of results, once it is read by `wait`
        self._wanted, self._lent = False, False

    def wait(self, stream: Stream, caller: str) -> None:
        """Return when there is something for us to read, or the end: in rospy's thread, as an `Inlet` asks for it."""
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        fd = stream.fileno()
        if fd < 0 or not stream.between_messages:
            return
        while True:
            with self._changed:
                self._stream = stream
                self._lent = self._wanted
                poll.register(fd, select.POLLRDHUP if self._lent else select.POLLIN | select.POLLRDHUP)
                self._changed.notify_all()
            if self._bell not in dict(poll.poll()):
                break
            os.eventfd_read(self._bell)
        with self._changed:
            self._stream, self._lent = None, False

    def lend(self) -> tuple[int, int] | None:
        """The sockets for goals and results, to be passed on; None when that cannot be now. In the main thread."""
        goals = self._goals.socket_to(self._server)
        with self._changed:
            stream = self._stream
            if goals < 0 or stream is None or self.wanted_elsewhere:
                return None
            self._wanted = True
            os.eventfd_write(self._bell, 1)
            if not self._changed.wait_for(lambda: self._lent, PATIENCE):
                self._wanted = False
                return None
        return goals, stream.fileno()

    def take_back(self) -> None:
        """The learner uses them no longer. In the main thread."""
        with self._changed:
            self._wanted = False
            os.eventfd_write(self._bell, 1)

    @property
    def lent(self) -> bool:
        return self._lent

    @property
    def wanted_elsewhere(self) -> bool:
        """Whether others than the server listen to goals (`rostopic echo`): they hear only those that we publish."""
        return self._goals.subscribers() != [self._server]
