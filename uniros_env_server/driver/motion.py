"""The set-point: follows paths within the bounds, waits where the arm cannot keep up, stops on demand."""

from __future__ import annotations

import numpy as np

from uniros_env_server.driver.bounds import Bounds
from uniros_env_server.driver.ticket import Outcome, Ticket
from uniros_env_server.driver.trajectory import Path, Sample, brake

AT_REST = 1e-3  # rad/s


class Follower:
    """Leads some of the axes along one path at a time.

    patient: the path waits while the axes cannot keep up, so that nothing is rushed afterwards. A gripper is not: what
    it holds keeps it from arriving for good.
    """

    def __init__(self, axes: slice, patient: bool, rest: np.ndarray) -> None:
        self.axes, self.patient = axes, patient
        self.path: Path | None = None
        self.ticket: Ticket | None = None
        self.now = Sample.rest(rest)  # where the path is
        self._elapsed = 0.0  # s along the path

    def start(self, path: Path, ticket: Ticket | None) -> None:
        """Follow this path from its start."""
        self._close(Outcome.REPLACED)
        self.path, self.ticket, self._elapsed = path, ticket, 0.0

    def stop(self, position: np.ndarray, why: str) -> None:
        """Stand still at `position` from now on."""
        self._close(Outcome.STOPPED, why)
        self.path, self.now = None, Sample.rest(position)

    def ahead(self, dt: float) -> Sample:
        """Where the path will be in `dt` s."""
        return self.path.at(self._elapsed + dt) if self.path else self.now

    def advance(self, dt: float, sample: Sample) -> None:
        """Let `dt` s of the path pass."""
        self._elapsed += dt
        self.now = sample

    def pause(self) -> None:
        """Let no time pass on the path."""
        self.now = Sample.rest(self.now.position)

    def judge(self, measured: np.ndarray | None) -> None:
        """End the path when its time is over and nobody waits for the axes to get there, or they have got there."""
        if self.path is None:
            return
        over = self._elapsed - self.path.duration
        ticket = self.ticket
        if ticket is None:
            if over >= 0:
                self.path, self.now = None, Sample.rest(self.now.position)
        elif measured is not None:
            error = np.abs(measured[self.axes] - (self.path.end if over >= 0 else self.now.position))
            if over >= 0 and np.all(error <= ticket.goal_tolerance):
                self._close(Outcome.ARRIVED)
                self.path = None
            elif over >= ticket.time_tolerance:
                self._end(Outcome.NOT_THERE, f"{np.max(error):.3f} rad away {over:.1f} s after the end of the path")
            elif over < 0 and ticket.path_tolerance is not None and np.any(error > ticket.path_tolerance):
                self._end(Outcome.LEFT_PATH, f"{np.max(error):.3f} rad away from the path")

    def _end(self, outcome: Outcome, text: str) -> None:
        self._close(outcome, text)
        self.path, self.now = None, Sample.rest(self.now.position)

    def _close(self, outcome: Outcome, text: str = "") -> None:
        if self.ticket is not None:
            self.ticket.close(outcome, text)
        self.ticket = None


class Motion:
    """The set-point of all axes (rad), moved on once in every cycle."""

    def __init__(self, bounds: Bounds, arm_axes: int, deceleration: float) -> None:
        self.bounds, self.deceleration = bounds, deceleration
        self.setpoint = np.clip(np.zeros_like(bounds.lower), bounds.lower, bounds.upper)
        self.velocity = np.zeros_like(self.setpoint)  # rad/s
        self.held_back = 0  # cycles in which the arm's path had to wait
        ends = slice(0, arm_axes), slice(arm_axes, len(self.setpoint))
        self.arm = Follower(ends[0], True, self.setpoint[ends[0]])
        self.gripper = Follower(ends[1], False, self.setpoint[ends[1]])

    @property
    def followers(self) -> tuple[Follower, Follower]:
        """Both of them."""
        return self.arm, self.gripper

    @property
    def moving(self) -> bool:
        """Whether a path is being followed."""
        return any(follower.path for follower in self.followers)

    def start_of(self, follower: Follower) -> Sample:
        """Where a new path of these axes must begin, so that nothing jumps."""
        return Sample(self.setpoint[follower.axes], follower.now.velocity, follower.now.acceleration)

    def follow(self, follower: Follower, path: Path, ticket: Ticket | None = None) -> None:
        """Replace the path of these axes by one from `start_of`."""
        follower.start(path, ticket)

    def brake(self, follower: Follower, why: str) -> None:
        """Bring these axes to rest quickly but smoothly."""
        start = self.start_of(follower)
        if follower.path:
            follower.stop(start.position, why)
            follower.start(brake(start, self.deceleration), None)

    def freeze(self, measured: np.ndarray | None, why: str) -> None:
        """Stop at once: axes on their way, or blocked, where they are measured, the others where they are held."""
        if measured is None:
            measured = self.setpoint
        stops = np.abs(self.velocity) > AT_REST
        blocked = np.abs(self.setpoint - measured) > self.bounds.lead / 2
        blocked[self.gripper.axes] = False  # that is how it holds something
        self.place(np.where(stops | blocked, measured, self.setpoint), why)

    def place(self, position: np.ndarray, why: str) -> None:
        """Hold this position (rad), wherever the set-point was: for servos that have been on their own."""
        self.setpoint = np.clip(position, self.bounds.lower, self.bounds.upper)
        self.velocity = np.zeros_like(self.setpoint)
        for follower in self.followers:
            follower.stop(self.setpoint[follower.axes].copy(), why)

    def step(self, measured: np.ndarray | None, dt: float) -> np.ndarray:
        """The set-point (rad) `dt` s later; `measured` (rad) is where the axes are, None when that is not known."""
        ahead = [follower.ahead(dt) for follower in self.followers]
        target = np.concatenate([sample.position for sample in ahead])
        wanted = np.concatenate([sample.velocity for sample in ahead])
        reachable = self.bounds.reachable(target, measured, wanted)
        inside = np.clip(target, self.bounds.lower, self.bounds.upper)
        for follower, sample in zip(self.followers, ahead):
            if follower.patient and follower.path and not np.allclose(reachable[follower.axes], inside[follower.axes]):
                follower.pause()
                self.held_back += 1
            else:
                follower.advance(dt, sample)
        before = self.setpoint
        self.setpoint = self.bounds.towards(before, reachable, dt)
        self.velocity = (self.setpoint - before) / dt
        for follower in self.followers:
            follower.judge(measured)
        return self.setpoint
