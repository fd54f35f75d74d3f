"""What came, what did not, and why: counted by topic, so that no loss is silent."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from uniros_msgs.transitions import GOES_ON, Head

log = logging.getLogger("rosout")


@dataclass
class Counts:
    """In transitions, for a batch of environments in steps of all of them; `episodes` aside."""

    recorded: int = 0
    episodes: int = 0  # that ended among them
    lost: int = 0  # never reached us
    dropped: int = 0  # reached us faster than they could be written
    no_room: int = 0  # came while the disk was full
    before: int = 0  # were made before anybody listened

    @property
    def missing(self) -> int:
        return self.lost + self.dropped + self.no_room


class Tally:
    """Of all topics. May be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[str, int] = {}  # topic -> the number that should come
        self.by_topic: dict[str, Counts] = {}
        self.last_loss = float("-inf")  # monotonic s

    def came(self, topic: str, about: Head) -> None:
        """Look at the numbering of a batch that has arrived. A number too low is that of a new env server."""
        with self._lock:
            counts = self.by_topic.setdefault(topic, Counts())
            expected = self._next.get(topic)
            self._next[topic] = about.sequence + about.count
            if expected is None or about.sequence < expected:
                counts.before += about.sequence
                gap = 0
            else:
                gap = about.sequence - expected
                counts.lost += gap
        if gap:
            self.last_loss = time.monotonic()
            log.warning("%s: %d transitions before step %d of episode %d never came", topic, gap, about.step,
                        about.episode)
        elif expected is None and about.sequence:
            log.info("%s: %d transitions had been made before anybody listened", topic, about.sequence)

    def lose(self, topic: str, count: int, why: str) -> None:
        """`count` transitions will not be recorded; why: dropped or no_room."""
        with self._lock:
            counts = self.by_topic.setdefault(topic, Counts())
            setattr(counts, why, getattr(counts, why) + count)
        self.last_loss = time.monotonic()

    def keep(self, topic: str, about: Head) -> None:
        """A batch is on the disk."""
        with self._lock:
            counts = self.by_topic.setdefault(topic, Counts())
            counts.recorded += about.count
            counts.episodes += about.end != GOES_ON

    def total(self) -> Counts:
        """Over all topics."""
        with self._lock:
            return Counts(*(sum(getattr(counts, name) for counts in self.by_topic.values())
                            for name in Counts.__dataclass_fields__))
