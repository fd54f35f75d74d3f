"""The driver itself: arm, set-point and state machine put together. One thread calls it, in every cycle of the loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from uniros_env_server.driver.arm import Arm, Measurement
from uniros_env_server.driver.bounds import Bounds
from uniros_env_server.driver.bus import BusError
from uniros_env_server.driver.command import Command, Refused
from uniros_env_server.driver.config import Setup
from uniros_env_server.driver.hold import Hold
from uniros_env_server.driver.motion import Follower, Motion
from uniros_env_server.driver.port import PortLost
from uniros_env_server.driver.states import Event, NotNow, State, require
from uniros_env_server.driver.ticket import Outcome, Ticket
from uniros_env_server.driver.trajectory import calm, plan
from uniros_env_server.driver.watch import Watch

T = TypeVar("T")

REOPEN_EVERY = 0.5  # s between attempts to open a port that has gone
MOST_SLOWDOWN = 10.0  # times; a path with velocities that is faster than this was not meant to be driven
MOST_CATCH_UP = 3  # periods; after a longer stall a motion is late rather than rushed
PATIENCE = 2  # failed reads in a row over which the set-point still moves on
SEARCH_EVERY = 5  # cycles between two reads of an arm that does not answer
DOWN_TOLERANCE, DOWN_TIME = 0.15, 3.0  # rad, s: how well the arm must lie before torque goes
DOWN_SETTLED = 0.5  # s that it lies before torque goes


@dataclass(frozen=True)
class Snapshot:
    """One cycle, for other threads."""

    state: State
    reason: str
    torque: bool
    measurement: Measurement | None  # of this cycle; None when the read failed
    setpoint: np.ndarray  # (J,) rad
    velocity: np.ndarray  # (J,) rad/s, of the set-point


class Driver:
    """Verbs raise NotNow, with advice, when the state does not allow them or the arm does not obey."""

    def __init__(self, setup: Setup, arm: Arm) -> None:
        self.setup, self.arm = setup, arm
        tuning = setup.tuning
        bounds = Bounds(setup.lower, setup.upper, setup.speed, tuning.lead, tuning.lag)
        self.motion = Motion(bounds, len(setup.arm), tuning.deceleration)
        self.watch = Watch(setup, arm)
        self.hold = Hold(setup, arm, self.motion)
        self.state = State.LIMP
        self.reason = ""  # of a fault or an emergency stop
        self.torque = False
        self.measurement: Measurement | None = None
        self._last: np.ndarray | None = None  # rad, the latest position that was measured at all
        self._cycle = 0
        self._reopen_at = 0.0
        self._down: Ticket | None = None
        self._lain = 0.0  # s that a lowered arm has been down

    # Every cycle: measure(), then whatever was asked for, then act().

    def measure(self) -> Measurement | None:
        """Read the arm; None when that fails."""
        self._cycle += 1
        self.measurement = None
        try:
            if self._connected() and (self.watch.failed_reads < self.setup.tuning.lost_reads
                                      or self._cycle % SEARCH_EVERY == 0):
                self.measurement = self.arm.measure()
        except PortLost as error:
            self._disconnect(error)
        self.watch.count(self.measurement)
        if self.measurement:
            self._last = self.measurement.position
        return self.measurement

    def act(self, dt: float) -> Snapshot:
        """Judge, move the set-point on, and tell the servos; `dt` s after the last time."""
        try:
            if self.arm.bus.port.is_open:
                self._judge(dt)
                self._drive(min(dt, MOST_CATCH_UP / self.setup.tuning.rate))
                if self._cycle % self.setup.tuning.slow_every == 0 and self.measurement:
                    self.arm.poll()
        except PortLost as error:
            self._disconnect(error)
        return Snapshot(self.state, self.reason, self.torque, self.measurement,
                        self.motion.setpoint.copy(), self.motion.velocity.copy())

    def _judge(self, dt: float) -> None:
        if self.torque and dt > self.setup.watchdog:  # we have been held up: the servos may have stopped by themselves
            self.arm.look("bus_watchdog")
        reason = self.watch.look(self.measurement, self.motion.setpoint, self.torque, dt)
        if reason:
            self.fault(reason)

    def _drive(self, dt: float) -> None:
        if self.torque:
            if self.watch.failed_reads <= PATIENCE:
                self.motion.step(self._last, dt)
            self.arm.move(self.motion.setpoint)
        if self.state is State.FOLLOWING and not self.motion.moving:
            self._enter(Event.ARRIVED)
        elif self.state is State.LOWERING and self._down and self._down.outcome:
            self._lain += dt
            if self._lain > DOWN_SETTLED:
                self._let_go(self._down)

    def _connected(self) -> bool:
        port = self.arm.bus.port
        if not port.is_open and time.monotonic() >= self._reopen_at:
            self._reopen_at = time.monotonic() + REOPEN_EVERY
            port.open()
            self.arm.bus.counters.reopened += 1
        return bool(port.is_open)

    def _disconnect(self, error: PortLost) -> None:
        self.arm.bus.port.close()
        self._reopen_at = max(self._reopen_at, time.monotonic() + REOPEN_EVERY)
        self.fault(str(error))

    # What can be asked for.

    def begin(self, torque: bool) -> None:
        """Take over an arm whose settings are as they must be, without moving it. `torque`: turn it on if it is off."""
        self.torque, wrong = self.hold.found()
        if wrong:
            self.fault(wrong)
        elif self.torque:
            self.state = State.HOLDING
        elif torque:
            self.torque_on()

    def command(self, follower: Follower, command: Command, ticket: Ticket | None = None) -> float:
        """Follow a command with the axes of one controller; returns how much it is slowed down. Raises Refused."""
        state = require(self.state, Event.COMMAND)
        if command.points is None:
            self.motion.brake(follower, "stopped by an empty command")
            return 1.0
        start = self.motion.start_of(follower)
        path, factor = plan(command.points, start, self.setup.speed[follower.axes])
        if factor > MOST_SLOWDOWN and command.points.velocities is not None:
            raise Refused(f"the path is {factor:.0f} times too fast: do its velocities fit its times?")
        self.motion.follow(follower, path, ticket)
        self.state = state
        return factor

    def go(self, pose: np.ndarray, ticket: Ticket) -> float:
        """Move the arm calmly to a pose (rad); returns the s it will take."""
        state = require(self.state, Event.COMMAND)
        duration = self._calmly(pose, ticket)
        self.state = state
        return duration

    def halt(self, ticket: Ticket) -> None:
        """Bring the axes to rest that this motion moves, if it is still the one."""
        for follower in self.motion.followers:
            if follower.ticket is ticket:
                self.motion.brake(follower, "cancelled")

    def lower(self) -> tuple[Ticket, float] | None:
        """Move the arm calmly to its sleeping pose, then turn torque off; returns the s it will take, None if limp."""
        if self.state is State.LIMP:
            return None
        state = require(self.state, Event.LOWER)
        self._down = Ticket(np.full(len(self.setup.arm), DOWN_TOLERANCE), DOWN_TIME)
        duration = self._calmly(self.setup.poses["sleep"], self._down) + DOWN_SETTLED
        self._lain = 0.0
        self.state = state
        return self._down, duration

    def estop(self, why: str) -> None:
        """Stop at once and hold, with torque on, until cleared."""
        state = require(self.state, Event.ESTOP)
        if state is State.ESTOP:
            self.reason = why
        self.motion.freeze(self.measurement.position if self.measurement else None, why)
        self.state = state

    def fault(self, reason: str) -> None:
        """Hold what can be held, until cleared. The first reason is kept."""
        if self.state is not State.FAULT:
            self.reason = reason
            self.motion.freeze(self.measurement.position if self.measurement else None, reason)
            self._enter(Event.FAULT)

    def clear(self) -> None:
        """After an emergency stop or a fault: hold where the arm is, or stay limp if it has no torque."""
        require(self.state, Event.CLEAR_LIMP if self.state is State.LIMP else Event.CLEAR)
        if self.state not in (State.ESTOP, State.FAULT):
            return
        self.torque = self._obey(self.hold.stopped_arm, "clear")
        self.watch.reset()
        self._enter(Event.CLEAR if self.torque else Event.CLEAR_LIMP)
        self.reason = ""

    def torque_on(self) -> None:
        """Hold the arm where it is."""
        state = require(self.state, Event.TORQUE_ON)
        if not self.torque:
            self._obey(self.hold.limp_arm, "turn torque on")
            self.torque = True
            self.watch.reset()
        self.state = state

    def reboot(self) -> list[int]:
        """Restart the servos with a hardware error, or all of a limp arm; returns their ids."""
        state = require(self.state, Event.REBOOT)
        broken = sorted(self.arm.health.broken)
        if self.torque and not broken:
            raise NotNow("no servo has a hardware error, and the others hold the arm: call driver/clear_estop")
        servos = broken or [servo.id for servo in self.setup.servos]
        self._obey(lambda: self.arm.reboot(servos), "reboot")
        self.state = state
        return servos

    def rest(self) -> None:
        """Bring everything to rest."""
        for follower in self.motion.followers:
            self.motion.brake(follower, "the driver ends")

    def leave(self) -> None:
        """At the end of the driver: hold, and let the servos hold without being talked to."""
        if self.torque and self.arm.bus.port.is_open and self.state is not State.FAULT:
            self.arm.guard(False)

    # How it is done.

    def _enter(self, event: Event) -> None:
        self.state = require(self.state, event)

    def _obey(self, verb: Callable[[], T], what: str) -> T:
        """Carry out something that needs every servo; a servo that does not obey is a fault."""
        try:
            return verb()
        except BusError as error:
            self.fault(str(error))
            raise NotNow(f"cannot {what}: {error}") from error
        except PortLost as error:
            self._disconnect(error)
            raise NotNow(f"cannot {what}: {error}") from error

    def _calmly(self, pose: np.ndarray, ticket: Ticket) -> float:
        follower = self.motion.arm
        path = calm(self.motion.start_of(follower), pose, self.setup.tuning.calm_speed)
        self.motion.follow(follower, path, ticket)
        return path.duration

    def _let_go(self, down: Ticket) -> None:
        if down.outcome is Outcome.ARRIVED:
            with contextlib.suppress(NotNow):  # then it is a fault by now
                self._obey(self.arm.slacken, "turn torque off")
                self.torque = False
                self._enter(Event.LET_GO)
        else:
            self._enter(Event.ARRIVED)
        self._down = None
