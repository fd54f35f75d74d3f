"""The real-time clock: a control loop in a thread of its own, and action cycles on a grid of absolute deadlines."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from uniros_env_server.clock import Decide, Outcome, Timing
from uniros_env_server.refusal import Refusal
from uniros_env_server.robots.robot import Array, Robot, RobotState
from uniros_env_server.safety import Decision
from uniros_msgs.errors import Closed, RobotFault

Watch = Callable[[RobotState, float], Refusal]  # from a state and its age (s) to a reason to hold, or NONE

MOST_CATCH_UP = 1.0  # s of simulated time that is made up for at most, after the process was stopped
PATIENCE = 1.0  # s beyond two cycles after which an answer is no longer waited for: the loop hangs
EARLY = 1e-4  # s before its end at which a cycle counts as ended


@dataclass(frozen=True)
class Rates:
    """How often things happen, checked once."""

    cycle_time: float = 0.1  # s, of an action cycle
    control_rate: float = 50.0  # Hz, of the control loop
    least_ramp: float = 0.0  # s, an action with less time left than this is too late for its cycle

    def __post_init__(self) -> None:
        periods = self.cycle_time * self.control_rate
        if not 10.0 <= self.control_rate <= 100.0:
            raise ValueError(f"control_rate must be 10 to 100 Hz, not {self.control_rate}")
        if periods < 1 - 1e-6 or abs(periods - round(periods)) > 1e-6:
            raise ValueError(f"cycle_time must be a whole number of control periods of {1 / self.control_rate:g} s, "
                             f"not {self.cycle_time} s")
        if not 0.0 <= self.least_ramp <= self.cycle_time:
            raise ValueError(f"least_ramp must be 0 to {self.cycle_time} s, not {self.least_ramp}")


class Grid:
    """The absolute deadlines at which action cycles end, and how many of them passed without an action."""

    def __init__(self, rates: Rates) -> None:
        self.overruns = 0
        self._rates = rates
        self._origin: float | None = None  # s, monotonic
        self._last = 0  # number of the last cycle that had an action

    @property
    def started(self) -> bool:
        """Whether there was an action yet."""
        return self._origin is not None

    def assign(self, now: float) -> float:
        """The end (s, monotonic) of the cycle that an action arriving now belongs to. The first one sets the grid."""
        if self._origin is None:
            self._origin = now
        cycle = self._rates.cycle_time
        number = math.floor((now - self._origin) / cycle) + 1
        if self._origin + number * cycle - now < self._rates.least_ramp:
            number += 1
        number = max(number, self._last + 1)
        self.overruns += number - self._last - 1
        self._last = number
        return self._origin + number * cycle


@dataclass
class _Running:
    """The action cycle under way."""

    reply: SimpleQueue[Any]
    decision: Decision
    timing: Timing
    end: float  # s, monotonic


class RealTimeClock:
    """Wall-clock time. The loop's thread alone touches the robot; others put requests into its inbox and wait.

    An action is commanded the moment it arrives, as a ramp that ends with its cycle; `cycle` returns the snapshot taken
    then. The grid of cycles begins with the first action after a reset. While no action comes, the arm holds.
    """

    mode = "real_time"

    def __init__(self, robot: Robot, rates: Rates, watch: Watch) -> None:
        self.robot = robot
        self.cycle_time = rates.cycle_time
        self._rates = rates
        self._watch = watch
        self._inbox: SimpleQueue[Callable[[float], None]] = SimpleQueue()  # called by the loop with the time
        self._latest = robot.state()
        self._grid = Grid(rates)
        self._running: _Running | None = None
        self._ended: Exception | None = None
        self._passed = time.monotonic()  # s, until when the robot's time has passed
        self._tick = self._passed + 1 / rates.control_rate  # s, when the loop looks next
        self._thread = threading.Thread(target=self._run, name="control loop", daemon=True)
        self._thread.start()

    @property
    def latest(self) -> RobotState:
        """See `Clock.latest`."""
        return self._latest

    def reset(self, q: Array) -> RobotState:
        """See `Clock.reset`. Raises RobotFault when the loop has died."""
        state: RobotState = self._ask(lambda reply, now: self._reset(reply, q))
        return state

    def cycle(self, decide: Decide) -> Outcome:
        """See `Clock.cycle`. Raises RobotFault when the loop has died or hangs, and whatever `decide` raises."""
        arrived = time.monotonic()
        outcome: Outcome = self._ask(lambda reply, now: self._begin(reply, decide, arrived, now))
        return outcome

    def cancel(self) -> None:
        """See `Clock.cancel`."""
        self._inbox.put(self._cancel)

    def close(self) -> None:
        """See `Clock.close`. Ends the loop and waits for its thread."""
        self._inbox.put(self._close)
        self._thread.join(timeout=PATIENCE)

    def _ask(self, request: Callable[[SimpleQueue[Any], float], None]) -> Any:
        """Have the loop carry out a request, and wait for what it puts into the reply."""
        self._raise_if_ended()
        reply: SimpleQueue[Any] = SimpleQueue()
        self._inbox.put(lambda now: request(reply, now))
        deadline = time.monotonic() + 2 * self.cycle_time + PATIENCE
        while time.monotonic() < deadline:
            try:
                answer = reply.get(timeout=0.1)
            except Empty:
                self._raise_if_ended()
                continue
            if isinstance(answer, Exception):
                raise answer
            return answer
        raise RobotFault(f"the control loop hangs: no answer within {2 * self.cycle_time + PATIENCE:.1f} s. "
                         "Close the environment and make it again")

    def _raise_if_ended(self) -> None:
        if isinstance(self._ended, Closed):
            raise self._ended
        if self._ended is not None:
            raise RobotFault(f"the control loop has died of {self._ended!r}; the arm holds. Close the environment "
                             "and make it again") from self._ended

    # --- in the loop's thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._ended is None:
                self._turn()
        except Exception as error:  # noqa: BLE001 - whatever ends the loop must reach those who wait for it
            self._ended = error
        self.robot.close()

    def _turn(self) -> None:
        """Wait for a request or the next tick, let time pass until now, and do what is due."""
        try:
            request = self._inbox.get(timeout=max(0.0, self._tick - time.monotonic()))
        except Empty:
            request = None
        now = time.monotonic()
        self.robot.advance(min(now - self._passed, MOST_CATCH_UP))
        self._passed = now
        if now >= self._tick:
            period = 1 / self._rates.control_rate
            self._tick += period * (math.floor((now - self._tick) / period) + 1)
            self._look(now)
        if request is not None:
            request(now)

    def _look(self, now: float) -> None:
        """Measure, watch, and end the cycle whose time has come."""
        self._latest = self.robot.state()
        reason = self._watch(self._latest, self._latest.age())
        if reason:
            self.robot.hold()
            if self._running:
                codes = np.full_like(self._running.decision.refusal, reason)
                self._running.decision = Decision(self._latest.setpoint, codes)
        if self._running and now >= self._running.end - EARLY:
            self._finish(self._running, cancelled=False)

    def _begin(self, reply: SimpleQueue[Any], decide: Decide, arrived: float, now: float) -> None:
        """Command an action and let its cycle run."""
        first = not self._grid.started
        end = self._grid.assign(now)
        if first:
            self._tick = now + 1 / self._rates.control_rate  # cycles end when the loop looks
        self._latest = self.robot.state()
        try:
            decision = decide(self._latest, self._latest.age(), end - now)
        except Exception as error:  # noqa: BLE001 - the caller's function: for the caller to hear of
            reply.put(error)
            return
        self.robot.command(decision.command, end - now)
        timing = Timing(time.time(), time.monotonic() - arrived, self._grid.overruns)
        self._running = _Running(reply, decision, timing, end)

    def _finish(self, running: _Running, cancelled: bool) -> None:
        self._running = None
        running.reply.put(Outcome(running.decision, self._latest, running.timing, cancelled))

    def _reset(self, reply: SimpleQueue[Any], q: Array) -> None:
        self.robot.reset(q)
        self._grid = Grid(self._rates)
        self._latest = self.robot.state()
        reply.put(self._latest)

    def _cancel(self, now: float) -> None:
        if self._running:
            self.robot.hold()
            self._latest = self.robot.state()
            self._finish(self._running, cancelled=True)

    def _close(self, now: float) -> None:
        self._ended = Closed("the environment is closed: make it again")
