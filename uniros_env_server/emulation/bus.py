"""The emulated arm on a serial port, in wall time: a thread that the kernel wakes when there is something to do."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from uniros_env_server.emulation.arm import EmulatedArm
from uniros_env_server.emulation.line import Line
from uniros_env_server.emulation.packets import PacketReader
from uniros_env_server.emulation.port import SerialPort
from uniros_env_server.emulation.truth import Truth

IDLE_PERIOD = 0.01  # s after which the plant is brought up to date when nobody asks
STALE = 0.02  # s after which the rest of a packet does not come any more
REPORT_PERIOD = 5.0  # s between two complaints about time lost
CLOSING_TIME = 2.0  # s

log = logging.getLogger("uniros.emulation")


@dataclass
class Counts:
    """What went over the line since the start."""

    packets: int = 0  # from the host, whole
    answers: int = 0  # deliveries to the host
    spoilt: int = 0  # packets with a wrong check sum
    deaf: int = 0  # bytes at a speed that no servo knows
    collisions: int = 0  # packets sent while a servo was answering
    behind: float = 0.0  # s, the most that the physics ever had to make up for
    lost: float = 0.0  # s that were not made up for: plant time is behind the wall clock by so much


class EmulatedBus:
    """An `EmulatedArm` behind a pty. Use it as a context manager, or `start` and `close` it.

    Opened like a real adapter: `dynamixel_sdk.PortHandler(bus.port)`, at the servos' baud rate.

    Args:
        robot, eeprom, changes: as for `EmulatedArm`.
        link: a path for a symbolic link to the pty; it stays the same when the adapter is pulled out and put back.
    """

    def __init__(self, robot: str = "rx200", link: str = "", eeprom: Mapping[int, Mapping[str, int]] | None = None,
                 **changes: Any) -> None:
        self.arm = EmulatedArm(robot, eeprom, **changes)
        self._port = SerialPort(link)
        self._line = Line(self.arm.settings.adapter)
        self._reader = PacketReader()
        self._counts = Counts()
        self._lock = threading.Condition()  # notified when the adapter was pulled out or put back
        self._wake, self._waker = os.pipe()
        self._origin = self._heard = self._complained = 0.0  # s, monotonic
        self._running = self._closed = False
        self._thread = threading.Thread(target=self._run, name="emulated-bus", daemon=True)

    @property
    def port(self) -> str:
        """What to open: the link, or the pty itself."""
        return self._port.link or self._port.path

    def start(self) -> Self:
        """Plug the adapter in and let time pass."""
        self._port.plug()
        self._origin = time.monotonic() - self.arm.now
        self._running = True
        self._thread.start()
        return self

    def close(self) -> None:
        """Let the port vanish and stop. Harmless when repeated."""
        if self._closed:
            return
        self._closed, self._running = True, False
        self._nudge()
        if self._thread.ident:
            self._thread.join(CLOSING_TIME)
        self._port.unplug()
        for descriptor in (self._wake, self._waker):
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def fault(self, kind: str, servo: int = 0, joint: str = "", value: float = 0.0) -> None:
        """Let something go wrong, or "clear" all: see `faults.FAULTS`. Raises FaultRefused."""
        with self._lock:
            self.arm.fault(kind, servo, joint, value)
            if self.arm.trouble.cut:
                self._line.silence()
            if self._running:
                self._nudge()
                self._lock.wait_for(lambda: self._port.plugged != self.arm.trouble.unplugged, CLOSING_TIME)

    def truth(self) -> Truth:
        """What really happened since the start or the last `reset_truth`."""
        with self._lock:
            return self.arm.truth()

    def reset_truth(self) -> None:
        """Forget the extremes."""
        with self._lock:
            self.arm.reset_truth()

    def counts(self) -> dict[str, float]:
        """What went over the line, and how well time was kept."""
        with self._lock:
            return {**asdict(self._counts), "collisions": self._line.collisions}

    def _replug(self) -> None:
        """Make the device vanish or appear, whichever it is not."""
        if self._port.plugged:
            self._port.unplug()
        else:
            self._port.plug()
        self._line.silence()
        self._reader.forget()
        self._lock.notify_all()

    def _nudge(self) -> None:
        os.write(self._waker, b".")

    def _run(self) -> None:
        moment = 0.0
        while self._running:
            self._sleep(moment)
            with self._lock:
                if self._port.plugged == self.arm.trouble.unplugged:
                    self._replug()
                now = time.monotonic()
                data = self._port.read()
                self._keep_up(now)
                if data:
                    self._receive(data, now)
                self._deliver(time.monotonic())
                moment = min(self._line.due, self._origin + self.arm.now + IDLE_PERIOD)

    def _sleep(self, moment: float) -> None:
        """Until `moment` (monotonic), or the host sends, or another thread nudges."""
        descriptors = [self._wake, self._port.fileno()] if self._port.plugged else [self._wake]
        ready, _, _ = select.select(descriptors, [], [], max(0.0, moment - time.monotonic()))
        if self._wake in ready:
            os.read(self._wake, 64)

    def _keep_up(self, now: float) -> None:
        """Bring the plant up to the wall clock; time beyond its patience is lost, and said to be."""
        behind = now - self._origin - self.arm.now - IDLE_PERIOD
        self._counts.behind = max(self._counts.behind, behind)
        excess = behind - self.arm.settings.patience
        if excess > 0:
            self._origin += excess
            self._counts.lost += excess
            if now - self._complained > REPORT_PERIOD:
                self._complained = now
                log.warning("the emulated arm was held up and has lost %.0f ms since the start: "
                            "give it more of a CPU", 1e3 * self._counts.lost)
        self.arm.advance_to(now - self._origin)

    def _receive(self, data: bytes, now: float) -> None:
        baud = self._port.baud()
        if now - self._heard > STALE:
            self._reader.forget()
        self._heard = now
        if not baud:
            self._counts.deaf += len(data)
            return
        for packet in self._reader.feed(data):
            self._counts.packets += 1
            self._counts.spoilt += not packet.intact
            if self._line.receive(packet.size, baud, now):
                self._line.answer(self.arm.handle(packet, baud), baud)

    def _deliver(self, now: float) -> None:
        data = self._line.deliver(now)
        if data:
            self._counts.answers += 1
            self._port.write(data)
