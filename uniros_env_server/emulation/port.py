"""The serial port that the driver opens: a pseudo terminal, under a name that stays when the cable is put back."""

from __future__ import annotations

import os
import termios
import tty
from pathlib import Path

SPEEDS = {getattr(termios, f"B{rate}"): rate for rate in
          (9600, 57600, 115200, 1000000, 2000000, 3000000, 4000000) if hasattr(termios, f"B{rate}")}
READ_SIZE = 4096
PTYS = "/dev/pts/"


class SerialPort:
    """A pty; `link` (if not empty) is a symbolic link to it, as udev makes one for a real adapter.

    Raises ValueError for a link that cannot be made, or that would replace anything but an emulator's old one.
    """

    def __init__(self, link: str = "") -> None:
        if link:
            _check_link(link)
        self.link = link
        self.path = ""
        self._master = self._slave = -1

    @property
    def plugged(self) -> bool:
        """Whether the device exists."""
        return self._master >= 0

    def plug(self) -> None:
        """Let the device appear."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        if self.link:
            fresh = f"{self.link}.{os.getpid()}"
            os.symlink(self.path, fresh)
            os.replace(fresh, self.link)

    def unplug(self) -> None:
        """Let the device vanish: whoever has it open gets a hang-up."""
        if not self.plugged:
            return
        if self.link and os.path.islink(self.link) and os.readlink(self.link) == self.path:
            Path(self.link).unlink()
        for descriptor in (self._master, self._slave):
            os.close(descriptor)
        self._master = self._slave = -1

    def fileno(self) -> int:
        """To wait on; -1 while unplugged."""
        return self._master

    def baud(self) -> int:
        """Bit/s that the host has set, 0 when it is none that servos know."""
        return SPEEDS.get(termios.tcgetattr(self._master)[5], 0)

    def read(self) -> bytes:
        """What the host has sent; nothing while unplugged."""
        if not self.plugged:
            return b""
        try:
            return os.read(self._master, READ_SIZE)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Hand bytes to the host; what it leaves lying until its buffer is full is lost, as in a UART."""
        try:
            os.write(self._master, data)
        except BlockingIOError:
            return


def _check_link(link: str) -> None:
    folder = os.path.dirname(link) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"there is no folder {folder} for the link {link}")
    if os.path.lexists(link) and not (os.path.islink(link) and os.readlink(link).startswith(PTYS)):
        raise ValueError(f"{link} is there already and no link to an emulated port: choose another path")
