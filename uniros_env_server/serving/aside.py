"""Work that can wait, done beside a control loop: in order, in a thread of its own, when the loop rests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

log = logging.getLogger("rosout")
Job = Callable[[], None]


class Aside:
    """Does each job `delay` seconds after it came: in the middle of a cycle, when one came at its beginning."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._jobs: SimpleQueue[tuple[float, Job] | None] = SimpleQueue()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aside", daemon=True)
        self._thread.start()

    def __call__(self, job: Job) -> None:
        """Have a job done; returns at once."""
        self._jobs.put((time.monotonic() + self._delay, job))

    def close(self) -> None:
        """Do what is left, now, and end."""
        self._hurry.set()
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        for due, job in iter(self._jobs.get, None):
            self._hurry.wait(max(0.0, due - time.monotonic()))
            try:
                job()
            except Exception:  # whatever it is, the next ones are not to blame
                log.exception("what was left for later could not be done")
