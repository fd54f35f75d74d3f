"""The newest policy, for all who act with it."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple


class Posted(NamedTuple):
    """A policy as it is sent."""

    number: int  # of its version, from 1 on
    policy: bytes
    when: float  # s, monotonic


class Board:
    """One thread posts, others read or wait for news."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest = Posted(0, b"", time.monotonic())

    def go_on_after(self, number: int) -> None:
        """Before the first is posted: that many there have been."""
        self._newest = Posted(number, b"", time.monotonic())

    def post(self, policy: bytes) -> Posted:
        """Put up a version; its number is one more than the last one's."""
        with self._changed:
            self._newest = Posted(self._newest.number + 1, policy, time.monotonic())
            self._changed.notify_all()
        return self._newest

    @property
    def newest(self) -> Posted:
        return self._newest

    def newer(self, than: int, patience: float) -> Posted | None:
        """The newest version, if one newer than that number comes within `patience` (s)."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest.number > than, patience)
        return self._newest if self._newest.number > than else None
