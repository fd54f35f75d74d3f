"""One thread's work: jobs that other threads leave at its desk, and streams of messages that it reads itself.

Whoever hands a job to another thread waits for that thread to wake, which takes longer than most of what a step needs.
A learner's goals are therefore read by the thread that carries them out.
"""

from __future__ import annotations

import os
import queue
import select
import threading
from collections.abc import Callable

from uniros_msgs.topics import Stream

Job = Callable[[], None]


class Desk:
    """For one thread, which calls `work`; all else may be called from any."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        self._streams: dict[int, tuple[Stream, threading.Event]] = {}
        self._thread = 0

    def put(self, job: Job | None) -> None:
        """Have a job done after those put before it, but at once when it comes from the desk's own thread.

        None ends the work.
        """
        if job and threading.get_ident() == self._thread:
            job()
            return
        self._jobs.put(job)
        os.eventfd_write(self._bell, 1)

    def read(self, stream: Stream) -> None:
        """Have the desk's thread read a stream; returns when the stream has ended."""
        ended = threading.Event()
        self.put(lambda: self._take(stream, ended))
        ended.wait()

    def work(self) -> None:
        """Until there is a job of None."""
        self._thread = threading.get_ident()
        while True:
            for fd, _ in self._poll.poll():
                if fd != self._bell:
                    self._read(fd)
                elif not self._do_jobs():
                    return

    def _do_jobs(self) -> bool:
        """All there are; False when that was all for ever."""
        os.eventfd_read(self._bell)
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return True
            if job is None:
                return False
            job()

    def _take(self, stream: Stream, ended: threading.Event) -> None:
        fd = stream.fileno()
        if fd in self._streams:  # of a connection that was closed here, unnoticed as yet
            self._drop(fd)
        if fd < 0:
            ended.set()
            return
        self._streams[fd] = stream, ended
        self._poll.register(fd, select.POLLIN)

    def _read(self, fd: int) -> None:
        if not self._streams[fd][0].read():
            self._drop(fd)

    def _drop(self, fd: int) -> None:
        self._poll.unregister(fd)
        _, ended = self._streams.pop(fd)
        ended.set()
