"""Log lines from a thread of their own: rospy asks the master about each one, and the loop must not wait for that."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import time

LAST_LINES = 1.0  # s that lines may take to be written at the end


class Lines:
    """Takes over rospy's log once it exists."""

    def __init__(self) -> None:
        self._queue: queue.Queue = queue.Queue()
        logger = logging.getLogger("rosout")
        self._writer = logging.handlers.QueueListener(self._queue, *logger.handlers, respect_handler_level=True)
        logger.handlers = [logging.handlers.QueueHandler(self._queue)]
        self._writer.start()

    def flush(self) -> None:
        """Wait until all is written, but not for a master that does not answer."""
        end = time.monotonic() + LAST_LINES
        while self._queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.005)
