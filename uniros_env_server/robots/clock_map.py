"""When something happened by our own monotonic clock, from a stamp that another node put on it."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlparse

BUCKET = 10.0  # s; the offset is the least one seen in this bucket and the one before, so that drift is followed


class ClockMap:
    """Maps stamps (s since the epoch, by the sender's clock) to `time.monotonic()`.

    On one machine the two clocks are read together and nothing is estimated. The clock of another machine may differ by
    anything: there the least of (arrival - stamp) counts as its offset, as if that one message had taken no time. Ages
    then come out too small by the least delay there was, half a round trip as a rule; never too small by more than
    what `bound` says, once it was measured.
    """

    def __init__(self) -> None:
        self.local = True  # whether the sender's clock is ours
        self.bound = 0.0  # s, by how much ages may be understated
        self._least = self._before = float("inf")  # s, of this bucket and of the one before
        self._began = 0.0  # s, monotonic, of this bucket

    def follow(self, local: bool, bound: float) -> None:
        """Start anew with another sender: whether it has our clock, and half a round trip (s) to it."""
        self.local, self.bound = local, 0.0 if local else bound
        self.forget()

    def forget(self) -> None:
        """Learn the offset anew: the sender's clock was set."""
        self._least = self._before = float("inf")

    def moment(self, stamp: float, arrived: float) -> float:
        """The monotonic moment (s) of a stamp on a message that arrived at `arrived` (s, monotonic); never after it."""
        if not self.local:
            self._note(arrived - stamp, arrived)
        return min(stamp + self.offset(), arrived)

    def stamp(self, moment: float) -> float:
        """What the sender's clock shows at a monotonic moment (s)."""
        return moment - self.offset()

    def offset(self) -> float:
        """s, our monotonic clock minus the sender's."""
        own = time.monotonic() - time.time()
        least = min(self._least, self._before)
        return own if self.local or least == float("inf") else least

    def _note(self, offset: float, now: float) -> None:
        if now - self._began > BUCKET:
            self._before, self._least, self._began = self._least, offset, now
        self._least = min(self._least, offset)


def is_ours(uri: str) -> bool:
    """Whether the host of a node's URI is this machine: whether we could listen at its address."""
    host = urlparse(uri).hostname or ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True
