"""A second host behind a bad link: a network namespace, and a relay between two TUN devices that delays and loses.

Each direction delays its packets by a time drawn anew for each, keeps their order, and loses some. Needs root; see
`two_hosts.why_not`. As a program it is the relay: `python -m impaired FD FD DELAY JITTER LOSS`.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass

from two_hosts import Namespace

from uniros_bringup.process import Process, spawn

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
LARGEST = 1 << 16  # bytes of a packet


@dataclass(frozen=True)
class Link:
    """What each direction does to its packets."""

    delay: float = 0.05  # s
    jitter: float = 0.02  # s more or less
    loss: float = 0.01  # share


class FarHost(Namespace):
    """Its address is `there`, ours `here`."""

    def __init__(self, link: Link) -> None:
        pid = os.getpid()
        self._relay: Process | None = None
        self.here, self.there = f"10.214.{pid % 250}.1", f"10.214.{pid % 250}.2"
        near, far = f"near{pid % 100000}", f"far{pid % 100000}"
        super().__init__(f"uniros-far-{pid}")
        try:
            ends = [_tun(near), _tun(far)]
            self._ip("link", "set", far, "netns", self.name)
            self._ip("addr", "add", self.here, "peer", self.there, "dev", near)
            self._ip("link", "set", near, "up")
            over_there = f"addr add {self.there} peer {self.here} dev {far}", f"link set {far} up"
            for command in over_there:
                self._ip("-n", self.name, *command.split())
            command = [sys.executable, "-m", "impaired", *map(str, (*ends, link.delay, link.jitter, link.loss))]
            self._relay = spawn(command, name="relay", pass_fds=ends)
            for end in ends:  # the devices go with the relay
                os.close(end)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take it away; the link goes with it."""
        if self._relay:
            self._relay.stop()
        super().close()


def _tun(name: str) -> int:
    """The file descriptor of a new TUN device, whose packets are read from and written to it."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


class Direction:
    """Packets on their way from one device to the other."""

    def __init__(self, source: int, sink: int, link: Link, rng: random.Random) -> None:
        self.source, self._sink, self._link, self._rng = source, sink, link, rng
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._last = 0.0  # s, monotonic, when the latest packet shall arrive

    def take(self) -> None:
        packet = os.read(self.source, LARGEST)
        if self._rng.random() >= self._link.loss:
            due = time.monotonic() + self._link.delay + self._rng.uniform(-1, 1) * self._link.jitter
            self._last = max(self._last, due)
            self._waiting.append((self._last, packet))

    def deliver(self) -> float:
        """Pass on what is due; s until the next is."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            os.write(self._sink, self._waiting.popleft()[1])
        return self._waiting[0][0] - time.monotonic() if self._waiting else 1.0


def relay(one: int, other: int, link: Link) -> None:
    rng = random.Random(0)
    ways = {one: Direction(one, other, link, rng), other: Direction(other, one, link, rng)}
    poll = select.epoll()  # waits with a finer clock than poll
    for end in ways:
        poll.register(end, select.EPOLLIN)
    while True:
        patience = min(way.deliver() for way in ways.values())
        for end, _ in poll.poll(max(0.0, patience)):
            ways[end].take()


if __name__ == "__main__":
    relay(int(sys.argv[1]), int(sys.argv[2]), Link(*map(float, sys.argv[3:6])))
