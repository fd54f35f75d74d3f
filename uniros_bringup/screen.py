"""Lines for a person: some scroll by, and below them a few are refreshed in place, where there is a terminal."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Sequence
from typing import TextIO

PERIOD = 10.0  # s between two sets of status lines in a file


class Screen:
    """For any number of threads."""

    def __init__(self, file: TextIO | None = None, live: bool | None = None, period: float = PERIOD) -> None:
        """live: whether status lines are refreshed in place; None: if `file` is a terminal. In a file they are written
        every `period` seconds."""
        self._file = file or sys.stdout
        self._live = self._file.isatty() if live is None else live
        self._period = period
        self._lock = threading.Lock()
        self._status: list[str] = []
        self._shown = 0  # status lines on the terminal now
        self._due = 0.0  # monotonic s

    def say(self, text: str) -> None:
        """Write lines that stay."""
        with self._lock:
            self._erase()
            print(text, file=self._file)
            self._draw()

    def status(self, lines: Sequence[str]) -> None:
        """Show these as the status, in place of those before."""
        with self._lock:
            self._status = list(lines)
            if self._live:
                self._erase()
                self._draw()
            elif time.monotonic() >= self._due:
                self._due = time.monotonic() + self._period
                print(*lines, sep="\n", file=self._file, flush=True)

    def close(self) -> None:
        """Leave the last status where it is."""
        with self._lock:
            self._status, self._shown = [], 0

    def _erase(self) -> None:
        if self._shown:
            self._file.write(f"\x1b[{self._shown}A\r\x1b[J")  # up so many lines, and clear to the end of the screen
        self._shown = 0

    def _draw(self) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._file.writelines(line[:width] + "\n" for line in self._status)
            self._shown = len(self._status)
        self._file.flush()
