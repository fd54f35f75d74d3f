"""Bringing an arm that cannot jump to where an episode begins: on a planned way, each piece checked as any command."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from uniros_env_server.planning.planner import Planner
from uniros_env_server.planning.trajectory import Trajectory
from uniros_env_server.robots.robot import Array, RobotState
from uniros_env_server.safety.gate import Decision, SafetyGate
from uniros_env_server.safety.refusal import NAMES
from uniros_env_server.timing.clock import Outcome
from uniros_env_server.timing.real_time import RealTimeClock
from uniros_msgs.errors import Cancelled, MotionNotAllowed, RobotFault

Progress = Callable[[float, str], None]  # share done, what the robot is doing


@dataclass(frozen=True)
class Manners:
    """How an arm is brought somewhere."""

    deadline: float = 45.0  # s, for all of it
    planning: float = 8.0  # s
    near: float = 0.04  # rad, of every joint from the end, to be there
    still: float = 0.05  # rad/s, slower than which it rests
    settling: float = 2.0  # s it may take to come to rest ...
    looks: int = 6  # ... or so many action cycles, where these are long: it is looked at once in each
    fingers: float = 0.02  # m/s
    there: float = 1e-3  # rad, m: an arm told to be nearer than this to the end need not move


class Homing:
    """Takes the arm of a real-time clock to a command.

    prepare: makes the arm ready to move (its torque), before anything else; it may wait.
    forbidden: why it must not move at all, for want of consent; empty when it may.
    """

    def __init__(self, clock: RealTimeClock, gate: SafetyGate, planner: Planner, prepare: Callable[[], None],
                 forbidden: str = "", manners: Manners | None = None) -> None:
        self._clock, self._gate, self._planner = clock, gate, planner
        self._prepare, self._forbidden, self._manners = prepare, forbidden, manners or Manners()
        self._arm = len(gate.model.arm)
        self._cancelled = threading.Event()

    def bring(self, q: Array, progress: Progress) -> RobotState:
        """To the command q, (1, C) rad and m, and to rest there.

        Raises MotionNotAllowed, RobotFault when the arm cannot go on, NoPath when there is no way, Cancelled after
        `cancel`. In each case the arm holds.
        """
        if self._forbidden:
            raise MotionNotAllowed(self._forbidden)
        self._cancelled.clear()
        until = time.monotonic() + self._manners.deadline
        progress(0.0, "making the arm ready")
        self._prepare()
        state = self._clock.engage()
        if np.abs(state.setpoint - q).max() > self._manners.there:
            progress(0.0, "planning the way")
            way = self._planner.plan(state.setpoint[0, : self._arm], q[0, : self._arm], deadline=self._manners.planning)
            self._travel(way, state.setpoint, q, until, progress)
        return self._settle(q, until, progress)

    def cancel(self) -> None:
        """Hold the arm and let `bring` end; may be called from any thread."""
        self._cancelled.set()

    def close(self) -> None:
        """End the planner."""
        self._planner.close()

    def _travel(self, way: Trajectory, start: Array, end: Array, until: float, progress: Progress) -> None:
        fingers = float(np.abs(end - start)[0, self._arm :].max(initial=0.0)) / self._manners.fingers
        slower = self._gate.velocity_scale
        duration = max(way.duration / slower, fingers / slower, self._clock.cycle_time)
        for passed in self._pieces(duration):
            target = end.copy()
            target[0, : self._arm] = way.at(passed * slower)[0]
            target[:, self._arm :] = start[:, self._arm :] + (end - start)[:, self._arm :] * (passed / duration)
            self._go(target, until)
            progress(passed / duration, "on the way")

    def _pieces(self, duration: float) -> Iterator[float]:
        """The moments (s) on the way at which cycles end."""
        count = max(1, int(np.ceil(duration / self._clock.cycle_time)))
        yield from (duration * number / count for number in range(1, count + 1))

    def _settle(self, q: Array, until: float, progress: Progress) -> RobotState:
        """Hold until the arm rests at q. Raises RobotFault when it does not get there."""
        progress(1.0, "coming to rest")
        end = time.monotonic() + max(self._manners.settling, self._manners.looks * self._clock.cycle_time)
        while True:
            state = self._go(q, until).state
            away = np.abs(state.positions(self._gate.model.arm) - q[:, : self._arm]).max()
            moves = np.abs(state.velocities(self._gate.model.arm)).max()
            if away <= self._manners.near and moves <= self._manners.still:
                return state
            if time.monotonic() > end:
                raise RobotFault(f"the arm does not come to rest where it was brought: {away:.3f} rad away, moving at "
                                 f"{moves:.2f} rad/s. Is something in its way?")

    def _go(self, target: Array, until: float) -> Outcome:
        """One cycle towards a target. Raises RobotFault when the gate refuses it."""

        def decide(state: RobotState, age: float, duration: float) -> Decision:
            return self._gate.check(state, age, target, duration, None)

        if time.monotonic() > until:
            raise RobotFault(f"the arm was not where it was to be within {self._manners.deadline:g} s; it holds")
        outcome = self._clock.cycle(decide)
        if self._cancelled.is_set() or outcome.cancelled:
            raise Cancelled("the reset was cancelled: the arm holds where it is")
        refusal = NAMES[outcome.decision.refusal[0]]
        if refusal:
            raise RobotFault(f"the safety gate refused a piece of the way ({refusal}); the arm holds. Reset again, or "
                             "move it by the driver's own services (driver/sleep, driver/home)")
        return outcome
