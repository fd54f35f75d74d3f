"""A second host: a network namespace with a cable to it. Needs root; `why_not` says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Self


def why_not() -> str:
    """Why there can be no second host here; empty when there can."""
    if shutil.which("ip") is None:
        return "no second host: the command ip (Debian package iproute2) is missing"
    name = f"uniros-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no second host: network namespaces are not allowed here ({made.stderr.strip()})"
    subprocess.run(["ip", "netns", "del", name], check=False)
    return ""


class Namespace:
    """A network namespace of its own, with nothing in it yet but what stands for a host's own address."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ip("netns", "add", name)
        self._ip("-n", name, "link", "set", "lo", "up")

    def command(self, *words: str) -> list[str]:
        """A command as it runs over there."""
        return ["ip", "netns", "exec", self.name, *words]

    def close(self) -> None:
        """Take it away, and the network devices in it."""
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


class SecondHost(Namespace):
    """Its address is `there`, ours on the switch between us `here`."""

    def __init__(self) -> None:
        number = os.getpid() % 250
        self._cable, self._switch = f"uniros{os.getpid() % 100000}", f"switch{os.getpid() % 100000}"
        self.here, self.there = f"10.213.{number}.1", f"10.213.{number}.2"
        super().__init__(f"uniros-robot-{os.getpid()}")
        try:
            self._ip("link", "add", self._cable, "type", "veth", "peer", "name", "cable", "netns", self.name)
            self._ip("link", "add", self._switch, "type", "bridge")
            self._ip("addr", "add", f"{self.here}/24", "dev", self._switch)
            self._ip("link", "set", self._cable, "master", self._switch, "up")
            self._ip("link", "set", self._switch, "up")
            for command in (f"addr add {self.there}/24 dev cable", "link set cable up"):
                self._ip("-n", self.name, *command.split())
        except BaseException:
            self.close()
            raise

    def plug(self, plugged: bool) -> None:
        """Put the cable into the switch, or pull it out."""
        self._ip("link", "set", self._cable, *(("master", self._switch, "up") if plugged else ("nomaster", "down")))

    def close(self) -> None:
        """Take it away; the cable goes with it."""
        super().close()
        subprocess.run(["ip", "link", "del", self._switch], check=False, capture_output=True)
