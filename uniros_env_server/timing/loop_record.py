"""How well a control loop keeps its times: what it notes in every turn, and the figures made of that."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

WINDOW = 5000  # of the latest values of each kind
QUANTILES = {"p50": 50.0, "p99": 99.0, "max": 100.0}


class LoopRecord:
    """Durations in s. The loop and the environment's thread write, anybody may read."""

    def __init__(self, rate: float) -> None:
        self.rate = rate  # Hz, that the loop should have
        self.ticks = 0
        self.missed_ticks = 0  # deadlines of the loop that passed without a turn
        self.overruns = 0  # action cycles that passed without an action
        self.silences = 0  # times that no action came for longer than the watchdog waits
        self.faults = 0
        self.fault = ""  # why nothing moves, until it is acknowledged
        self.refusals: dict[str, int] = {}
        self._lock = threading.Lock()
        self._kinds: dict[str, deque[float]] = {
            name: deque(maxlen=WINDOW) for name in ("jitter", "command_delay", "observation_age")}
        self._turns: deque[float] = deque(maxlen=int(2 * rate))  # s, monotonic, of the latest turns

    def turn(self, due: float, now: float) -> None:
        """Note a turn of the loop that was due (s, monotonic)."""
        self.ticks += 1
        self.missed_ticks += int((now - due) * self.rate)
        with self._lock:
            self._kinds["jitter"].append(now - due)
            self._turns.append(now)

    def note(self, kind: str, seconds: float) -> None:
        """Note one command_delay or observation_age."""
        with self._lock:
            self._kinds[kind].append(seconds)

    def refuse(self, names: Iterable[str]) -> None:
        """Count refusals by name; empty names are none."""
        for name in filter(None, names):
            self.refusals[name] = self.refusals.get(name, 0) + 1

    def clear(self) -> None:
        """Forget the durations, so that a measurement can begin. The counts go on."""
        with self._lock:
            for values in self._kinds.values():
                values.clear()

    def report(self) -> dict[str, Any]:
        """Everything: counts, the rate that was kept (Hz), and quantiles of each kind in ms."""
        with self._lock:
            kinds = {name: np.array(values) for name, values in self._kinds.items()}
            turns = list(self._turns)
        kept = (len(turns) - 1) / (turns[-1] - turns[0]) if len(turns) > 1 else 0.0
        found: dict[str, Any] = {"rate": round(kept, 2), "ticks": self.ticks, "missed_ticks": self.missed_ticks,
                                 "overruns": self.overruns, "silences": self.silences, "faults": self.faults,
                                 "fault": self.fault, "refusals": dict(self.refusals)}
        for name, values in kinds.items():
            found[f"{name}_count"] = len(values)
            for label, quantile in QUANTILES.items():
                seconds = float(np.percentile(values, quantile)) if len(values) else 0.0
                found[f"{name}_{label}_ms"] = round(seconds * 1e3, 3)
        return found
