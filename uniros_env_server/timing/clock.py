"""How an environment's time passes in lock-step, and what both clocks share: the result of an action cycle."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from uniros_env_server.robots.robot import Array, Robot, RobotState
from uniros_env_server.safety.gate import Decision
from uniros_env_server.safety.refusal import NAMES
from uniros_env_server.timing.loop_record import LoopRecord
from uniros_env_server.timing.pace import Pace
from uniros_msgs.errors import Closed

Decide = Callable[[RobotState, float, float], Decision]  # from the measured state, its age and the time left (s)


@dataclass(frozen=True, slots=True)
class Timing:
    """When an action cycle touched the world."""

    commanded: float = 0.0  # s since the epoch, when the command left for the robot
    command_delay: float = 0.0  # s from the action's arrival to that
    overruns: int = 0  # action cycles since the reset that passed without an action


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an action, and the state at the end of its cycle."""

    decision: Decision
    state: RobotState
    timing: Timing
    cancelled: bool = False


class Clock(Protocol):
    """Owns a robot and lets its time pass."""

    mode: str  # lock_step | real_time
    cycle_time: float  # s
    robot: Robot
    record: LoopRecord

    @property
    def latest(self) -> RobotState:
        """The newest snapshot; may be read from any thread."""

    def reset(self, q: Array) -> RobotState:
        """Bring the arms to rest at the command q, (N, C), and return where they are."""

    def cycle(self, decide: Decide, arrived: float | None = None) -> Outcome:
        """Carry out what `decide` makes of the present state; return when the action cycle has ended.

        arrived: s, monotonic, when the action came; now, unless given.
        """

    def clear(self) -> None:
        """Acknowledge a fault. Raises RobotFault while it lasts."""

    def between(self, change: Callable[[], None]) -> None:
        """Make a change to the robot, or to what the clock asks of others, between two moments of its time.

        Raises what `change` raises.
        """

    def retime(self, cycle_time: float, least_ramp: float, watchdog: float) -> None:
        """From the next action on: how long cycles last, how late in its cycle an action may come, and without any
        for how long an arm that moves in real time is left alone (s). Raises ValueError, and nothing has changed,
        for a cycle that does not fit.
        """

    def pace(self, factor: float) -> None:
        """From now on, let so many simulated seconds pass in a second; 0, in lock-step: as fast as it goes."""

    def cancel(self) -> None:
        """Hold the arms and let a waiting `cycle` return now; may be called from any thread."""

    def close(self) -> None:
        """Let go of the robot. Harmless when repeated."""


class LockStepClock:
    """Time passes only inside `cycle`, by exactly one action cycle, as fast as the CPU allows."""

    mode = "lock_step"

    def __init__(self, robot: Robot, cycle_time: float) -> None:
        self.robot = robot
        self.cycle_time = cycle_time
        self.record = LoopRecord(1 / cycle_time)
        self._latest = robot.state()
        self._closed = False
        self._pace = Pace()

    @property
    def latest(self) -> RobotState:
        """See `Clock.latest`."""
        return self._latest

    def reset(self, q: Array) -> RobotState:
        """See `Clock.reset`."""
        self._raise_if_closed()
        self.robot.reset(q)
        self._latest = self.robot.state()
        return self._latest

    def clear(self) -> None:
        """Nothing to do: what is wrong with physics does not last beyond a reset."""

    def cycle(self, decide: Decide, arrived: float | None = None) -> Outcome:
        """See `Clock.cycle`. Between two cycles no time passes, so the state is never old."""
        self._raise_if_closed()
        self._pace.begin()
        decision = decide(self._latest, 0.0, self.cycle_time)
        commanded = time.time()
        self.record.refuse(NAMES[code] for code in decision.refusal)
        self.robot.command(decision.command, self.cycle_time)
        self.robot.advance(self.cycle_time)
        self._pace.end(self.cycle_time)
        self._latest = self.robot.state()
        return Outcome(decision, self._latest, Timing(commanded))

    def between(self, change: Callable[[], None]) -> None:
        """See `Clock.between`. Nothing is under way between two calls."""
        change()

    def retime(self, cycle_time: float, least_ramp: float, watchdog: float) -> None:
        """See `Clock.retime`. Any cycle fits, and nothing is ever late."""
        self.cycle_time, self.record.rate = cycle_time, 1 / cycle_time

    def pace(self, factor: float) -> None:
        """See `Clock.pace`."""
        self._pace.factor = factor

    def cancel(self) -> None:
        """Nothing to do: a cycle is over before anybody could ask."""

    def close(self) -> None:
        """See `Clock.close`."""
        self._closed = True
        self.robot.close()

    def _raise_if_closed(self) -> None:
        if self._closed:
            raise Closed("the environment is closed: make it again")
