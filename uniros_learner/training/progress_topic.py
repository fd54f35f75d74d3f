"""What a training that is a ROS node tells of itself, once a second: `~progress`, latched, and /diagnostics."""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import rospy
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper, Updater

from uniros_learner.training.progress import TRAINING
from uniros_msgs.msg import TrainingProgress

PERIOD = 1.0  # s
RATE_PERIOD = 5.0  # s over which speeds are averaged
STALLED = 15.0  # s without a step that are a warning: a reset of an arm takes some
MIB = 1 << 20
LITTLE, TOO_LITTLE = 1000, 100  # MiB free where the run folder is: a warning, an error
JOIN = 2.0  # s that the thread may take to end

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class ProgressTopic:
    """For a `with` block, in a process that is a node. A thread of its own asks; who trains is not held up."""

    def __init__(self, read: Callable[[], TrainingProgress], end: Callable[[], str]) -> None:
        """read: how far it is now; asked from another thread. end: how it ended, in words; asked at the end."""
        self._read, self._end = read, end
        self._start = time.monotonic()
        self._moved = (self._start, -1)  # s, monotonic, of the latest step that was seen, and which it was
        self._marks: deque[tuple[float, int, int]] = deque()  # s, monotonic; steps, updates
        self._now = TrainingProgress()
        self._publisher = rospy.Publisher("~progress", TrainingProgress, queue_size=1, latch=True)
        self._updater = Updater()
        self._updater.setHardwareID("none")
        self._updater.add("training", self._diagnose)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._closing.set()
        self._thread.join(JOIN)
        self._publish(self._end())

    def _run(self) -> None:
        while not self._closing.wait(PERIOD) and not rospy.is_shutdown():
            self._publish("")

    def _publish(self, state: str) -> None:
        """state: "" as it says itself."""
        self._now = now = self._read()
        now.state = state or now.state
        now.header.stamp = rospy.Time.now()
        now.elapsed = time.monotonic() - self._start
        now.steps_per_second, now.updates_per_second = self._speeds(sum(now.domain_steps), now.updates)
        try:
            self._publisher.publish(now)
            self._updater.force_update()
        except rospy.ROSException:  # the node ends
            self._closing.set()

    def _speeds(self, steps: int, updates: int) -> tuple[float, float]:
        """Steps/s and updates/s of late."""
        now = time.monotonic()
        if steps != self._moved[1]:
            self._moved = now, steps
        self._marks.append((now, steps, updates))
        while len(self._marks) > 2 and self._marks[1][0] < now - RATE_PERIOD:
            self._marks.popleft()
        then, steps_then, updates_then = self._marks[0]
        span = now - then
        return ((steps - steps_then) / span, (updates - updates_then) / span) if span else (0.0, 0.0)

    def _diagnose(self, status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        now, free = self._now, self._free()
        status.summary(*self._judge(free))
        for key, value in {
            "algorithm": now.algorithm, "state": now.state, "environments": ", ".join(now.env_ids), "steps": now.steps,
            "steps/s": round(now.steps_per_second, 1), "episodes": now.episodes,
            "success": _percent(now.success_rate), "return": round(now.mean_return, 3), "updates": now.updates,
            "updates/s": round(now.updates_per_second, 1), "buffer": f"{now.buffer_size} of {now.buffer_capacity}",
            "policy version": now.policy_version, "elapsed (s)": round(now.elapsed, 1), "run folder": now.run_folder,
            "free (MiB)": round(free),
        }.items():
            status.add(key, str(value))
        return status

    def _judge(self, free: float) -> tuple[int, str]:
        """Level and one sentence. free: MiB."""
        now, still = self._now, time.monotonic() - self._moved[0]
        if free < TOO_LITTLE:
            return ERROR, f"{free:.0f} MiB are free for the run folder: make room, or policy and log cannot be saved"
        if now.state == TRAINING and still > STALLED:
            return WARN, f"no step for {still:.0f} s: is the environment held up?"
        if free < LITTLE:
            return WARN, f"{free:.0f} MiB are free for the run folder"
        done = f"{now.state}: {now.steps:,} of {now.total_steps:,} steps"
        return OK, done + ("" if math.isnan(now.success_rate) else f", success {_percent(now.success_rate)}")

    def _free(self) -> float:
        """MiB where the run folder is; without end where that cannot be told."""
        try:
            return shutil.disk_usage(self._now.run_folder).free / MIB
        except OSError:
            return math.inf


def _percent(share: float) -> str:
    return "unknown" if math.isnan(share) else f"{share:.0%}"
