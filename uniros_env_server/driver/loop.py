"""The control loop: one thread on absolute monotonic deadlines, which others may ask to do something in between."""

from __future__ import annotations

import collections
import concurrent.futures
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from uniros_env_server.driver.core import Driver, Snapshot

WINDOW = 1000  # cycles that the statistics look back
MOST_STUCK, MOST_SERVING = 1.0, 20.0  # s a cycle may take: an ordinary one, one with servos to reboot


class LoopDied(Exception):
    """Raised when the control loop has ended: the servos' watchdogs stop the arm."""


class Timing:
    """How well the deadlines are kept, over the last WINDOW cycles. Times in s."""

    def __init__(self) -> None:
        self.cycles = 0
        self.overruns = 0  # deadlines that were missed altogether
        self.failed_reads = 0
        self._late: collections.deque = collections.deque(maxlen=WINDOW)
        self._busy: collections.deque = collections.deque(maxlen=WINDOW)
        self._starts: collections.deque = collections.deque(maxlen=WINDOW)

    def add(self, deadline: float, start: float, end: float) -> None:
        """Note one cycle."""
        self.cycles += 1
        self._late.append(start - deadline)
        self._busy.append(end - start)
        self._starts.append(start)

    def rate(self) -> float:
        """Cycles per second, Hz; 0 before the second cycle."""
        starts = list(self._starts)
        return (len(starts) - 1) / (starts[-1] - starts[0]) if len(starts) > 1 else 0.0

    def late(self, percentile: float) -> float:
        """How late a cycle started (s) at a percentile."""
        return _percentile(self._late, percentile)

    def busy(self, percentile: float) -> float:
        """How long a cycle took (s) at a percentile."""
        return _percentile(self._busy, percentile)


class ControlLoop(threading.Thread):
    """Runs the driver until `stop()`.

    publish: called in every cycle with its snapshot, right after the command to the servos has gone out; `measured`
        right after the read, with the measurement.
    """

    def __init__(self, driver: Driver, measured: Callable[[Any], None], publish: Callable[[Snapshot], None]) -> None:
        super().__init__(name="control loop", daemon=True)
        self.driver = driver
        self.timing = Timing()
        self.error: BaseException | None = None
        self.beat = time.monotonic()  # s, when the latest cycle began
        self.serving = False  # whether it is doing what somebody asked for
        self.snapshot = Snapshot(driver.state, driver.reason, driver.torque, None,
                                 driver.motion.setpoint.copy(), driver.motion.velocity.copy())
        self._measured, self._publish = measured, publish
        self._inbox: queue.SimpleQueue = queue.SimpleQueue()
        self._stopping = threading.Event()

    def ask(self, job: Callable[[], Any], timeout: float = 5.0) -> Any:
        """Have the loop's thread do something between two cycles, and return what it returned or raise what it raised.

        Raises LoopDied when the loop has ended, or has not answered after `timeout` s.
        """
        if not self.is_alive():
            raise LoopDied("the control loop has ended: {}".format(self.error or "stopped"))
        answer: Future = Future()
        self._inbox.put((job, answer))
        try:
            return answer.result(timeout)
        except concurrent.futures.TimeoutError as error:
            raise LoopDied(f"the control loop has not answered within {timeout:g} s") from error

    def stuck(self) -> bool:
        """Whether a cycle has taken far too long."""
        return time.monotonic() - self.beat > (MOST_SERVING if self.serving else MOST_STUCK)

    def stop(self, timeout: float = 2.0) -> bool:
        """End the loop; whether it did end in time."""
        self._stopping.set()
        self.join(timeout)
        return not self.is_alive()

    def run(self) -> None:
        """The thread's own."""
        try:
            self._loop(1.0 / self.driver.setup.tuning.rate)
        except BaseException as error:  # whatever it is, the main thread must see it, and end the process
            self.error = error
            raise
        finally:
            self._refuse_all()

    def _loop(self, period: float) -> None:
        deadline = time.monotonic() + period
        last = deadline - period
        while not self._stopping.is_set():
            time.sleep(max(0.0, deadline - time.monotonic()))
            start = self.beat = time.monotonic()
            measurement = self.driver.measure()
            self.timing.failed_reads += measurement is None
            if measurement:
                self._measured(measurement)
            self._serve()
            now = time.monotonic()
            snapshot = self.driver.act(now - last)
            last = now
            self.snapshot = snapshot
            self._publish(snapshot)
            end = time.monotonic()
            self.timing.add(deadline, start, end)
            missed = max(0, int((end - deadline) / period))
            self.timing.overruns += missed
            deadline += (1 + missed) * period

    def _serve(self) -> None:
        while True:
            try:
                job, answer = self._inbox.get_nowait()
            except queue.Empty:
                return
            self.serving = True
            try:
                answer.set_result(job())
            except Exception as error:  # noqa: BLE001 - handed on to whoever asked
                answer.set_exception(error)
            self.serving = False

    def _refuse_all(self) -> None:
        with_error = LoopDied("the control loop has ended: {}".format(self.error or "stopped"))
        while True:
            try:
                _job, answer = self._inbox.get_nowait()
            except queue.Empty:
                return
            answer.set_exception(with_error)


def _percentile(values: collections.deque, percentile: float) -> float:
    found = list(values)
    return float(np.percentile(found, percentile)) if found else 0.0
