"""The half-duplex line and the USB adapter in time: nothing arrives before its bits can have been sent."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from uniros_env_server.emulation.instructions import Answer
from uniros_env_server.emulation.settings import Adapter

BITS_PER_BYTE = 10  # start, eight, stop


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes of a servo: the last one is through at `end`."""

    data: bytes
    end: float  # s


class Line:
    """Times what goes over the wire. All times are seconds of one clock that only runs forward."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._busy_until = 0.0
        self._on_the_way: deque[Sent] = deque()
        self.collisions = 0  # packets of the host that met an answer on the wire

    def receive(self, size: int, baud: int, now: float) -> bool:
        """The host handed `size` bytes to its adapter. False when they collide with an answer: then both are lost."""
        if self._on_the_way and self._on_the_way[-1].end > now:
            self._on_the_way = deque(sent for sent in self._on_the_way if sent.end <= now)
            self._busy_until = now + size * BITS_PER_BYTE / baud
            self.collisions += 1
            return False
        self._busy_until = max(self._busy_until, now) + size * BITS_PER_BYTE / baud
        return True

    def answer(self, answers: Sequence[Answer], baud: int) -> None:
        """Servos send these, one after the other."""
        for answer in answers:
            self._busy_until += answer.delay + len(answer.data) * BITS_PER_BYTE / baud
            if not answer.lost:
                self._on_the_way.append(Sent(answer.data, self._busy_until))

    def silence(self) -> None:
        """Lose what is on its way."""
        self._on_the_way.clear()

    @property
    def due(self) -> float:
        """When the adapter next hands bytes to the host: a full chunk at once, others after its latency. inf: never."""
        if not self._on_the_way:
            return math.inf
        size = 0
        for sent in self._on_the_way:
            size += len(sent.data)
            if size >= self._adapter.chunk:
                return min(sent.end, self._on_the_way[0].end + self._adapter.latency)
        return self._on_the_way[0].end + self._adapter.latency

    def deliver(self, now: float) -> bytes:
        """What the host gets now."""
        if self.due > now:
            return b""
        data = b""
        while self._on_the_way and self._on_the_way[0].end <= now:
            data += self._on_the_way.popleft().data
        return data
