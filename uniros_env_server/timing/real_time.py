"""The real-time clock: a control loop in a thread of its own, and action cycles on a grid of absolute deadlines."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from uniros_env_server.robots.robot import Array, Robot, RobotState
from uniros_env_server.safety.gate import Decision
from uniros_env_server.safety.refusal import NAMES, Refusal
from uniros_env_server.timing.clock import Decide, Outcome, Timing
from uniros_env_server.timing.grid import Grid, Rates
from uniros_env_server.timing.loop_record import LoopRecord
from uniros_env_server.timing.pace import Timeline
from uniros_msgs.errors import Closed, RobotFault

TROUBLE = {Refusal.ESTOP: "the emergency stop is in force: call env/clear_estop when it is safe",
           Refusal.STATE: "the arm's state is too old, or not finite"}
Watch = Callable[[RobotState, float], Refusal]  # from a state and its age (s) to a reason to hold, or NONE

MOST_CATCH_UP = 1.0  # s of simulated time that is made up for at most, after the process was stopped
PATIENCE = 1.0  # s beyond two cycles after which an answer is no longer waited for: the loop hangs
EARLY = 1e-4  # s before its end at which a cycle counts as ended
IN_STEP = 3e-3  # s that the newest measurement may be old at the end of a cycle for the two to count as in step


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

    latching: what keeps the arm from being driven, between `engage` and `clear`, is a fault: the arm holds, whoever
    waits or comes gets a RobotFault, and that stays so until `clear`. Without it the gate's refusals must do.

    With `pace`, all that is timed here goes by simulated seconds; figures of the record are in those, too.
    """

    mode = "real_time"

    def __init__(self, robot: Robot, rates: Rates, watch: Watch, latching: bool = False,
                 watchdog: float = math.inf) -> None:
        """watchdog: s without an action, in an episode, after which the arm is told to hold."""
        self.robot = robot
        self.cycle_time = rates.cycle_time
        self.record = LoopRecord(rates.control_rate)
        self._latching = latching
        self._engaged = False
        self._rates = rates
        self._watch, self._watchdog = watch, watchdog
        self._timeline = Timeline()
        self._inbox: SimpleQueue[Callable[[float], None]] = SimpleQueue()  # called by the loop with the time
        self._latest = robot.state()
        self._grid = Grid(rates)
        self._running: _Running | None = None
        self._ended: Exception | None = None
        self._rested: float | None = None  # s, when the last cycle ended; None while nobody is waited for
        self._passed = self._timeline.now()  # s, until when the robot's time has passed
        self._tick = self._passed + 1 / rates.control_rate  # s, when the loop looks next
        self._thread = threading.Thread(target=self._run, name="control loop", daemon=True)
        self._thread.start()

    @property
    def latest(self) -> RobotState:
        """See `Clock.latest`."""
        return self._latest

    def reset(self, q: Array) -> RobotState:
        """See `Clock.reset`. Raises RobotFault when the loop has died.

        Waits for a measurement, so that an action that comes at once begins cycles that are in step with them.
        """
        if self._rates.phase_lock:
            now = time.monotonic()
            time.sleep(max(0.0, self.robot.next_sample(now) - now))
        state: RobotState = self._ask(lambda reply, now: self._reset(reply, q))
        return state

    def engage(self) -> RobotState:
        """From now on the arm is to be driven. Raises RobotFault when it cannot be, or a fault is not cleared."""
        state: RobotState = self._ask(self._engage)
        return state

    def clear(self) -> None:
        """Acknowledge a fault; the arm is driven again after the next `engage`. Raises RobotFault while it lasts."""
        self._ask(self._clear)

    def cycle(self, decide: Decide, arrived: float | None = None) -> Outcome:
        """See `Clock.cycle`. Raises RobotFault when the loop has died or hangs, or the robot cannot go on."""
        arrived = time.monotonic() if arrived is None else arrived
        outcome: Outcome = self._ask(lambda reply, now: self._begin(reply, decide, arrived, now))
        return outcome

    def between(self, change: Callable[[], None]) -> None:
        """See `Clock.between`. Raises RobotFault when the loop has died or hangs."""
        self._ask(lambda reply, now: _attempt(reply, change))

    def retime(self, cycle_time: float, least_ramp: float, watchdog: float) -> None:
        """See `Clock.retime`. Raises ValueError for what is no whole number of control periods."""
        rates = replace(self._rates, cycle_time=cycle_time, least_ramp=least_ramp)

        def change() -> None:
            self._rates, self._watchdog, self.cycle_time = rates, watchdog, cycle_time
            self._grid = self._grid.retimed(rates)

        self.between(change)

    def pace(self, factor: float) -> None:
        """See `Clock.pace`."""
        self.between(lambda: self._timeline.pace(factor))

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
        patience = 2 * self.cycle_time / self._timeline.factor + PATIENCE
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                answer = reply.get(timeout=0.1)
            except Empty:
                self._raise_if_ended()
                continue
            if isinstance(answer, Exception):
                raise answer
            return answer
        raise RobotFault(f"the control loop hangs: no answer within {patience:.1f} s. "
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
            self.record.fault = f"the control loop has died of {error!r}"
        self.robot.close()

    def _turn(self) -> None:
        """Wait for a request or the next tick, let time pass until now, and do what is due."""
        try:
            request = self._inbox.get(timeout=max(0.0, self._tick - self._timeline.now()) / self._timeline.factor)
        except Empty:
            request = None
        now = self._timeline.now()
        self._let_pass(now)
        if now >= self._tick:
            period = 1 / self._rates.control_rate
            self.record.turn(self._tick, now)
            self._tick += period * (math.floor((now - self._tick) / period) + 1)
            self._look(now)
        if request is not None:
            request(now)

    def _let_pass(self, now: float) -> None:
        """Let the robot's time pass until now (s, monotonic)."""
        self.robot.advance(min(now - self._passed, MOST_CATCH_UP))
        self._passed = now

    def _look(self, now: float) -> None:
        """Measure, watch, and end the cycle whose time has come."""
        self._latest = self.robot.state()
        reason = self._watch(self._latest, self._latest.age())
        if self._latching and self._engaged and not self.record.fault:
            self._fail(self.robot.trouble() or TROUBLE.get(reason, ""))
        if reason:
            self.robot.hold()
            if self._running:
                codes = np.full_like(self._running.decision.refusal, reason)
                self._running.decision = Decision(self._latest.setpoint, codes)
        if self._running and now >= self._running.end - EARLY:
            self._finish(self._running, cancelled=False)
        if self._rested is not None and now - self._rested > self._watchdog:
            self._rested = None
            self.record.silences += 1
            self.robot.hold()

    def _fail(self, trouble: str) -> None:
        """Hold because of a fault, if there is one, and tell whoever waits."""
        if not trouble:
            return
        self.record.fault = trouble
        self.record.faults += 1
        self.robot.hold()
        if self._running:
            self._running.reply.put(_fault(trouble))
            self._running = None

    def _engage(self, reply: SimpleQueue[Any], now: float) -> None:
        trouble = self.record.fault or self.robot.trouble()
        if trouble and self._latching:
            reply.put(_fault(trouble))
            return
        if not self._engaged:
            self.robot.settle()
        self._engaged = True
        self._latest = self.robot.state()
        reply.put(self._latest)

    def _clear(self, reply: SimpleQueue[Any], now: float) -> None:
        trouble = self.robot.trouble()
        if self.record.fault and trouble:
            reply.put(RobotFault(f"it is still so: {trouble}"))
            return
        if self.record.fault:
            self.record.fault, self._engaged = "", False
        reply.put(None)

    def _begin(self, reply: SimpleQueue[Any], decide: Decide, arrived: float, now: float) -> None:
        """Command an action and let its cycle run."""
        if self.record.fault:
            reply.put(_fault(self.record.fault))
            return
        end = self._assign(now)
        self._latest = self.robot.state()
        try:
            decision = decide(self._latest, self._latest.age(), end - now)
        except Exception as error:  # noqa: BLE001 - the caller's function: for the caller to hear of
            reply.put(error)
            return
        self._let_pass(self._timeline.now())  # deciding takes its time, and the ramp is to end with the cycle
        self.robot.command(decision.command, max(end - self._passed, 1 / self._rates.control_rate))
        timing = Timing(time.time(), time.monotonic() - arrived, self._grid.overruns)
        self.record.note("command_delay", timing.command_delay)
        self.record.refuse(NAMES[code] for code in decision.refusal)
        self._running, self._rested = _Running(reply, decision, timing, end), None

    def _assign(self, now: float) -> float:
        """The end (s, monotonic) of the cycle of an action that comes now; cycles end when the loop looks."""
        before, period = self._grid.overruns, 1 / self._rates.control_rate
        if self._grid.started:
            end = self._grid.assign(now)
        else:
            end = now + self._rates.cycle_time
            later = max(0.0, self.robot.next_sample(end - IN_STEP) - end) if self._rates.phase_lock else 0.0
            end = self._grid.assign(now, later)
            self._tick = now + period + later
        self.record.overruns += self._grid.overruns - before
        return end

    def _finish(self, running: _Running, cancelled: bool) -> None:
        self._running, self._rested = None, self._passed
        running.reply.put(Outcome(running.decision, self._latest, running.timing, cancelled))

    def _reset(self, reply: SimpleQueue[Any], q: Array) -> None:
        try:
            self.robot.reset(q)
        except RobotFault as error:  # an arm that cannot jump, and is not there
            reply.put(error)
            return
        self._grid, self._rested = Grid(self._rates), None
        self._latest = self.robot.state()
        reply.put(self._latest)

    def _cancel(self, now: float) -> None:
        if self._running:
            self.robot.hold()
            self._latest = self.robot.state()
            self._finish(self._running, cancelled=True)

    def _close(self, now: float) -> None:
        self._ended = Closed("the environment is closed: make it again")


def _attempt(reply: SimpleQueue[Any], change: Callable[[], None]) -> None:
    try:
        change()
        reply.put(None)
    except Exception as error:  # noqa: BLE001 - the caller's function: for the caller to hear of
        reply.put(error)


def _fault(trouble: str) -> RobotFault:
    return RobotFault(f"{trouble}. The arm holds. When that is mended: env/clear_estop, then reset")
