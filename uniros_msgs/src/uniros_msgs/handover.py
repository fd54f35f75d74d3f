"""Work for another thread, which carries it out when it suits; who hands it over waits for what comes of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from uniros_msgs.errors import Timeout


class Handover:
    """Any thread may `ask`; one calls `carry_out` now and then, which costs next to nothing when nobody has asked."""

    def __init__(self) -> None:
        self._waiting: deque[_Errand] = deque()

    def ask(self, work: Callable[[], Any], deadline: float, nudge: Callable[[], None] = lambda: None) -> Any:
        """What `work` returns, carried out by the other thread. nudge: wakes that thread, where it may be asleep.

        Raises what `work` raises; Timeout after `deadline` seconds, and the work is withdrawn.
        """
        errand = _Errand(work)
        self._waiting.append(errand)
        nudge()
        if not errand.done.wait(deadline):
            try:
                self._waiting.remove(errand)
            except ValueError:  # it has just been begun
                errand.done.wait()
            else:
                raise Timeout(f"nobody had time for it within {deadline:g} s: nothing was changed")
        if errand.error:
            raise errand.error
        return errand.result

    def carry_out(self) -> None:
        """Do all that has been asked for."""
        while self._waiting:
            try:
                errand = self._waiting.popleft()
            except IndexError:  # withdrawn this very moment
                return
            errand.run()


class _Errand:
    """One piece of work, and what came of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self.done = threading.Event()
        self.result: Any = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.result = self._work()
        except Exception as error:  # noqa: BLE001 - for the thread that asked to hear of
            self.error = error
        self.done.set()
