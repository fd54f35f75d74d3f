"""Log lines that hold nobody up: rospy asks the master about every one before it sends it to /rosout."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import time

LAST_WORDS = 1.0  # s that lines may take to be written at the end

_waiting: queue.Queue[logging.LogRecord] = queue.Queue()


def write_beside_the_work() -> None:
    """From now on rospy's log lines wait in a queue for a thread of their own, whatever becomes of the master."""
    logger = logging.getLogger("rosout")
    listener = logging.handlers.QueueListener(_waiting, *logger.handlers, respect_handler_level=True)
    logger.handlers = [logging.handlers.QueueHandler(_waiting)]
    listener.start()


def finish() -> None:
    """Wait until all lines are written, not for ever."""
    end = time.monotonic() + LAST_WORDS
    while _waiting.unfinished_tasks and time.monotonic() < end:
        time.sleep(0.005)
