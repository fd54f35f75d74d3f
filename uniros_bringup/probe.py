"""`python -m uniros_bringup.probe NAMESPACE`: tells, one JSON object per line, how the env server there is.

It is a node on the master of ROS_MASTER_URI and listens to /diagnostics, nothing else: the path of a step never meets
it. It belongs into a process of its own because rospy can talk to one master only.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

import rospy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

PERIOD = 0.5  # s between two lines
STALE = 3.0  # s after which a status that is not repeated is forgotten
WINDOW = 2.0  # s that the rate is taken over
LEVELS = {DiagnosticStatus.OK: "ok", DiagnosticStatus.WARN: "warn", DiagnosticStatus.ERROR: "error"}


class Probe:
    """Keeps the newest status of each node in a namespace, and the env server's progress."""

    def __init__(self, namespace: str) -> None:
        self._prefix = namespace.strip("/") + "/"
        self._lock = threading.Lock()
        self._newest: dict[str, tuple[float, DiagnosticStatus]] = {}  # monotonic s, status; by its name
        self._progress: list[tuple[float, int]] = []  # monotonic s, steps so far
        rospy.Subscriber("/diagnostics", DiagnosticArray, self._receive, queue_size=20)

    def _receive(self, message: DiagnosticArray) -> None:
        now = time.monotonic()
        with self._lock:
            for status in message.status:
                if status.name.startswith(self._prefix):
                    self._newest[status.name] = now, status

    def look(self) -> dict[str, Any]:
        """rate (steps/s), episode, step, steps and holder, as far as they are known; level and text of the worst."""
        now = time.monotonic()
        with self._lock:
            self._newest = {name: pair for name, pair in self._newest.items() if now - pair[0] < STALE}
            statuses = [status for _, status in self._newest.values()]
        server = [status for status in statuses if status.name == f"{self._prefix}env_server: environment"]
        values = {pair.key: pair.value for status in server for pair in status.values}
        worst = max(statuses, key=lambda status: (status.level, status in server), default=None)
        found: dict[str, Any] = {"level": LEVELS.get(worst.level, "error") if worst else "silent",
                                 "text": self._told(worst) if worst else "nothing on /diagnostics"}
        if "steps" in values:
            found |= {name: int(values[name]) for name in ("episode", "step", "steps")}
            found |= {"holder": values["lease"], "rate": self._rate(now, int(values["steps"]))}
        return found

    def _told(self, status: DiagnosticStatus) -> str:
        """Who says it, unless it is the env server itself, and what."""
        who = status.name.removeprefix(self._prefix).partition(":")[0]
        return status.message if who == "env_server" else f"{who}: {status.message}"

    def _rate(self, now: float, steps: int) -> float:
        if self._progress and steps < self._progress[-1][1]:  # a server that was started anew
            self._progress.clear()
        self._progress.append((now, steps))
        while self._progress[0][0] < now - WINDOW and len(self._progress) > 2:
            self._progress.pop(0)
        then, before = self._progress[0]
        return (steps - before) / (now - then) if now > then else 0.0


def main() -> None:
    rospy.init_node("bringup_probe", anonymous=True, disable_signals=True)
    probe = Probe(sys.argv[1])
    while True:
        time.sleep(PERIOD)
        print(json.dumps(probe.look()), flush=True)


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)
