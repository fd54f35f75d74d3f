"""A serial port for dynamixel-sdk that sleeps while it waits, on the monotonic clock, and no longer than it should.

The SDK's own port handler spins, times out 34 ms after a lost packet and follows jumps of the wall clock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
import time

import serial
from dynamixel_sdk import PortHandler

LOW_LATENCY = 0x2000  # ASYNC_LOW_LATENCY: a USB adapter hands bytes on at once instead of every 16 ms
TIOCGSERIAL, TIOCSSERIAL = 0x541E, 0x541F
FLAGS_AT, SERIAL_STRUCT_SIZE = 16, 128  # struct serial_struct in <linux/serial.h>: the fifth int; with room to spare
LATENCY_FILE = "/sys/class/tty/{}/device/latency_timer"
MOST_LATENCY = 2  # ms that an adapter may collect bytes, at 100 Hz
WRITE_TIMEOUT = 0.02  # s until the kernel has room for a packet


class PortLost(Exception):
    """Raised when the serial port cannot be opened, or has gone: cable pulled, adapter reset."""


class Port(PortHandler):
    """One serial port, opened for this process alone.

    slack: s that a complete answer may be later than the bits on the wire need.
    """

    def __init__(self, device: str, baud_rate: int, slack: float) -> None:
        super().__init__(device)
        self.baudrate = baud_rate
        self.slack = slack
        self.deadline = 0.0  # s, monotonic

    def open(self) -> None:
        """Raises PortLost with advice when that is impossible."""
        self.close()
        try:
            self.ser = serial.Serial(self.port_name, self.baudrate, timeout=0, exclusive=True)
        except (serial.SerialException, OSError, termios.error) as error:
            raise PortLost(_advice(self.port_name, error)) from error
        self.is_open = True
        self.tx_time_per_byte = 10e3 / self.baudrate  # ms, as the SDK counts
        self.low_latency()
        self.clearPort()

    def close(self) -> None:
        """Idempotent."""
        self.is_using = False
        if self.ser is not None:
            with contextlib.suppress(OSError, termios.error, serial.SerialException):
                self.ser.close()
        self.ser, self.is_open = None, False

    def low_latency(self) -> bool:
        """Ask the adapter not to collect bytes for 16 ms; False where there is none to ask."""
        settings = bytearray(SERIAL_STRUCT_SIZE)
        try:
            fcntl.ioctl(self.fd, TIOCGSERIAL, settings)
            (flags,) = struct.unpack_from("i", settings, FLAGS_AT)
            struct.pack_into("i", settings, FLAGS_AT, flags | LOW_LATENCY)
            fcntl.ioctl(self.fd, TIOCSSERIAL, settings)
        except OSError:  # a pty, or a driver that does not know it
            return False
        return True

    def latency(self) -> int | None:
        """ms after which the USB adapter hands bytes on; None where there is none."""
        try:
            with open(LATENCY_FILE.format(os.path.basename(os.path.realpath(self.port_name)))) as file:
                return int(file.read())
        except (OSError, ValueError):
            return None

    @property
    def fd(self) -> int:
        """The open port's file descriptor. Raises PortLost when it is closed."""
        if self.ser is None:
            raise PortLost(f"{self.port_name} is closed")
        return self.ser.fileno()

    # What the SDK's packet code calls.

    def clearPort(self) -> None:
        """Forget what was received and not read."""
        try:
            termios.tcflush(self.fd, termios.TCIFLUSH)
        except termios.error as error:
            raise PortLost(f"{self.port_name} has gone: {error}") from error

    def readPort(self, length: int) -> bytes:
        """At least one and at most `length` bytes; none when the deadline has passed."""
        left = self.deadline - time.monotonic()
        readable, _, _ = select.select([self.fd], [], [], max(0.0, left))
        if not readable:
            return b""
        try:
            data = os.read(self.fd, length)
        except OSError as error:
            raise PortLost(f"{self.port_name} has gone: {error}") from error
        if not data:
            raise PortLost(f"{self.port_name} has gone: it reads as ended")
        return data

    def writePort(self, packet: list[int]) -> int:
        """The number of bytes the kernel took within WRITE_TIMEOUT."""
        data = bytes(packet)
        sent = 0
        end = time.monotonic() + WRITE_TIMEOUT
        while sent < len(data):
            _, writable, _ = select.select([], [self.fd], [], max(0.0, end - time.monotonic()))
            if not writable:
                break
            try:
                sent += os.write(self.fd, data[sent:])
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise PortLost(f"{self.port_name} has gone: {error}") from error
        return sent

    def setPacketTimeout(self, packet_length: int) -> None:
        """The answer has `packet_length` bytes: it must be complete when they can have come, and the slack is over."""
        self.setPacketTimeoutMillis(packet_length * self.tx_time_per_byte + self.slack * 1e3)

    def setPacketTimeoutMillis(self, msec: float) -> None:
        """Wait that long for what comes next."""
        self.deadline = time.monotonic() + msec * 1e-3

    def isPacketTimeout(self) -> bool:
        """Whether the time set has passed."""
        return time.monotonic() >= self.deadline


def slow_adapter(port: Port) -> str:
    """Why the loop cannot keep its rate with this adapter; empty when it can."""
    latency = port.latency()
    if latency is None or latency <= MOST_LATENCY:
        return ""
    return (f"{port.port_name} keeps every answer back for {latency} ms: set its latency timer to 1 ms"
            " (docs/real_arm.md has the udev rule)")


def _advice(device: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EACCES:
        return f"no permission to open {device}: add the user to the group dialout, or install the udev rule"
    if number in (errno.EAGAIN, errno.EBUSY, errno.EWOULDBLOCK):
        return f"{device} is in use: is another driver (or Dynamixel Wizard) running?"
    if number == errno.ENOENT or not os.path.exists(device):
        return f"there is no {device}: is the U2D2 plugged in, and does _port:= fit (/dev/ttyUSB0)?"
    return f"cannot open {device}: {error}"
