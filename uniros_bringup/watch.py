"""What is known of one ROS master from its system state and /diagnostics, without being a node there."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from uniros_bringup.eavesdrop import Eavesdropper
from uniros_bringup.xmlrpc import CallFailed, call

DIAGNOSTICS = "/diagnostics"
STALE = 5.0  # s after which a status that is not repeated is old
LEVELS = ("ok", "WARN", "ERROR", "STALE")  # of diagnostic_msgs/DiagnosticStatus, by number


@dataclass(frozen=True)
class Part:
    """One status: of a node, or of a part of it."""

    node: str  # "/rx200/env_server"
    name: str  # "loop"
    level: int  # of LEVELS
    text: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """A master at one moment."""

    uri: str
    failure: str = ""  # why nothing is known
    parts: tuple[Part, ...] = ()  # by node and name
    silent: tuple[str, ...] = ()  # nodes that say they publish diagnostics, and env servers, of which nothing was heard

    @property
    def domain(self) -> str:
        """sim or real, or both, where its env servers say so."""
        return "+".join(sorted({each.values.get("domain", "") for each in self.parts} - {""}))


class Watch:
    """Watches one master until `close()`. Start it, give it a second, then look as often as you like."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._lock = threading.Lock()
        self._newest: dict[tuple[str, str], tuple[float, Part]] = {}  # by node and name: monotonic s, status
        self._ears = Eavesdropper(uri, DIAGNOSTICS, DiagnosticArray, self._hear)

    def look(self) -> View:
        """Takes as long as the master takes to answer, a second at most."""
        try:
            publishers, _subscribers, services = call(self.uri, "getSystemState")
        except CallFailed:
            return View(self.uri, "no ROS master answers")
        expected = {node for topic, nodes in publishers if topic == DIAGNOSTICS for node in nodes}
        self._ears.look(expected)
        servers = {node for name, nodes in services if name.endswith("/env/describe") for node in nodes}
        with self._lock:
            recent = time.monotonic() - STALE
            self._newest = {key: pair for key, pair in self._newest.items() if pair[0] > recent}
            parts = tuple(part for _, (_, part) in sorted(self._newest.items(), key=lambda each: each[0]))
        return View(self.uri, "", parts, tuple(sorted((expected | servers) - {part.node for part in parts})))

    def parameter(self, name: str) -> Any:
        """One of the parameter server, None where there is none."""
        try:
            return call(self.uri, "getParam", name)
        except CallFailed:
            return None

    def close(self) -> None:
        self._ears.close()

    def _hear(self, node: str, message: DiagnosticArray) -> None:
        now = time.monotonic()
        with self._lock:
            for status in message.status:
                # Who says it is in the name as well, but not always: an aggregator tells of others.
                name = status.name.removeprefix(node.lstrip("/")).lstrip(": ") or status.name
                level = min(max(int(status.level), 0), len(LEVELS) - 1)
                values = {pair.key: pair.value for pair in status.values}
                self._newest[node, name] = now, Part(node, name, level, status.message, values)
