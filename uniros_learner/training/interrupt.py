"""Ctrl-C as a request: finish the step, save, say where; a second one, or a step that hangs, ends it at once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

PATIENCE = 1.0  # s that a request may go unnoticed
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """In its `with`, the first SIGINT or SIGTERM is a request; KeyboardInterrupt follows if nobody notices in time.

    For the main thread, as Python's signals are.
    """

    def __init__(self) -> None:
        self._requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_alarm)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def request(self) -> None:
        """Ask for an end from any thread, without the threat of KeyboardInterrupt."""
        self._requested = True

    def requested(self) -> bool:
        """Whether to come to an end. Who asks is expected to do so: the time for it is no longer limited."""
        if self._requested:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        return self._requested

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            raise KeyboardInterrupt
        self._requested = True
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt
