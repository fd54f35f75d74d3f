"""Rollouts: whole episodes that the env server goes through by itself, with a policy sent to where the robot is.

    with env.rollout(actor_of(model), exploration=Exploration("normal", sigma=0.1)) as rollout:
        for batch in rollout:                       # uniros_msgs.transitions.Transitions, as they come
            buffer.add(batch.observations(), batch.actions(), batch.reward, ...)
            rollout.swap(actor_of(model))           # the next episode acts with it
    print(rollout.report.figures["return"])

Between an observation and its action there is no network: a slow or lossy link delays what is learnt from, never what
the arm does.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from uniros_learner.dialogue import Dialogue
from uniros_learner.link import Op
from uniros_msgs import codec, transitions
from uniros_msgs.errors import ConnectionFailed, Timeout, UnirosError, by_name
from uniros_msgs.exploration import Exploration
from uniros_msgs.msg import RolloutGoal, RolloutResult
from uniros_msgs.policy import Policy
from uniros_msgs.transitions import Transitions

log = logging.getLogger(__name__)
LATE = 5.0  # s that transitions may arrive after the result; then they count as lost
SWAP_TIMEOUT = 10.0  # s


@dataclass(frozen=True)
class Report:
    """What a rollout did."""

    episodes: int  # finished
    steps: int
    lost: int  # transitions the server sent that never arrived
    figures: dict[str, np.ndarray]
    """A row for each finished episode, the latest 100,000 at most: episode (its number), return, length, success (NaN
    where the environment does not tell), policy (version at its end)."""


class Rollout:
    """A rollout under way; `RosEnv.rollout` and `RosVectorEnv.rollout` begin one.

    Iterating gives batches of transitions as they come: the rest of an episode when it ends, and in real time at least
    once a second; `batch.policy` is the version that acted, `batch.end` how an episode ended. Iteration stops when the
    rollout is over. Each `next()` raises Timeout when the server has sent no sign of life within the deadline (the
    rollout goes on), ServerDied, MasterDied, WorkerDied when there is nothing to come any more, and, after the
    transitions that came before it, what ended the rollout at the server: EnvironmentFailed, RobotFault, LeaseLost, ...

    While one thread iterates, others may call `swap`, `cancel` and `close`. Nobody else can use the environment until
    the rollout is closed: reset, step, calls and another rollout raise Busy. Leaving the `with` block closes it; after
    that the environment needs a reset, and is then stepped as ever.

    A learner that does not iterate is sent no more than some megabytes: in lock-step the server then waits for it, in
    real time it keeps up to 64 MiB for it (hours).
    """

    def __init__(self, dialogue: Dialogue, policy: Policy | bytes, goal: RolloutGoal, exploration: Exploration | None,
                 timeout: float | None):
        """Begin it, and wait until the server has. Raises what the server says of the request."""
        goal.policy = _packed(policy)
        goal.exploration = codec.encode(exploration and exploration.describe())
        self._dialogue, self._link = dialogue, dialogue.link
        self._timeout = dialogue.reset_timeout + dialogue.step_timeout if timeout is None else timeout
        self._receiving = threading.Lock()
        self._ready: deque[Transitions] = deque()
        self._result: RolloutResult | None = None
        self._error: UnirosError | None = None
        self._arrived = 0  # transitions
        self._late = 0.0  # s, monotonic, until when the last of them may arrive
        self.progress, self.phase = 0.0, ""
        self._number = dialogue.begin_rollout(goal)
        self._receive(self._timeout)
        if self._error and not self._ready:
            raise self._taken_error()

    # --- for the thread that iterates -------------------------------------------------------------------------------

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Transitions:
        while not self._ready:
            if self.over:
                if self._error:
                    raise self._taken_error()
                raise StopIteration
            self._receive(self._timeout)
        return self._ready.popleft()

    def wait(self) -> Report:
        """Until it is over, keeping the transitions for who iterates; the report. Raises as iterating does."""
        while not self.over:
            self._receive(self._timeout)
        if self._error:
            raise self._taken_error()
        return self.report

    # --- for any thread ---------------------------------------------------------------------------------------------

    def swap(self, policy: Policy | bytes, now: bool = False) -> None:
        """Have another policy act, from the next episode on, or `now`: from the next step on.

        Raises InvalidPolicy, and the old one goes on; ResetNeeded when the rollout is over; Timeout, ServerDied, ...
        """
        self._dialogue.swap_policy(_packed(policy), now, SWAP_TIMEOUT)

    def cancel(self) -> None:
        """Have it end within a cycle, the arm held. What was experienced until then can still be iterated over."""
        if not self.over:
            self._link.cancel_rollout()

    def close(self) -> None:
        """Cancel it, and wait until the server is free again. Idempotent.

        Raises Timeout when that takes longer than a reset may, ServerDied, ...
        """
        self.cancel()
        deadline = time.monotonic() + self._timeout
        while not self.over:
            if time.monotonic() > deadline:
                raise Timeout(f"the rollout at {self._link.address} does not end within {self._timeout:g} s of its "
                              "cancellation: close() the environment")
            self._receive(self._timeout)

    @property
    def over(self) -> bool:
        """Whether nothing more will come. Transitions that have come may still be iterated over."""
        complete = self._result is not None and (self._arrived >= self._result.streamed
                                                 or time.monotonic() > self._late)
        return complete or isinstance(self._error, ConnectionFailed)

    @property
    def report(self) -> Report:
        """What was done. Raises Timeout while it is not over, and where the connection ended before it was."""
        if self._result is None or not self.over:
            raise Timeout("a rollout has no report before it is over")
        result = self._result
        figures = {name: np.asarray(column, str if name == "policy" else None)
                   for name, column in (codec.decode(result.report) or {}).items()}
        return Report(result.episodes, result.steps, result.streamed - self._arrived, figures)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except ConnectionFailed:
            if kind is None:
                raise

    # --- what comes ---------------------------------------------------------------------------------------------------

    def _receive(self, timeout: float) -> None:
        """Take one answer, unless somebody else has seen the end meanwhile."""
        with self._receiving:
            if self.over:
                return
            try:
                if self._result is not None:
                    timeout = max(0.0, self._late - time.monotonic())
                self._take(*self._link.receive(self._number, timeout))
            except Timeout:
                if self._result is None:
                    raise
                missing = self._result.streamed - self._arrived
                log.warning("%d transitions of the rollout at %s were lost", missing, self._link.address)
            except ConnectionFailed as error:
                self._error = error
                self._dialogue.end_rollout()
            if self.over:
                self._link.forget(self._number)

    def _take(self, op: Op, body: bytes) -> None:
        if op is Op.FEEDBACK:
            self._take_feedback(body)
            return
        self._result = result = RolloutResult().deserialize(body)
        self._late = time.monotonic() + LATE
        self._dialogue.end_rollout(result.episode)
        if result.error.kind:
            self._error = by_name(result.error.kind, result.error.message, result.error.traceback)

    def _take_feedback(self, body: bytes) -> None:
        self.progress, length = struct.unpack_from("<fI", body)
        at = 8 + length
        self.phase = body[8:at].decode()
        (count,) = struct.unpack_from("<I", body, at)
        at += 4
        for _ in range(count):
            batch, at = transitions.unpack_from(body, at)
            self._arrived += batch.count
            self._ready.append(batch)

    def _taken_error(self) -> UnirosError:
        """What ended it; a second time it is over and no more."""
        assert self._error is not None
        error = self._error
        if self._result is not None:
            self._error = None
        return error


def goal_of(episodes: int, steps: int, seeds: list[int], options: dict[str, Any] | None, stream: bool) -> RolloutGoal:
    """Raises ValueError for numbers that cannot be."""
    for name, value in (("episodes", episodes), ("steps", steps)):
        if not 0 <= value < 2**32:
            raise ValueError(f"{name} must be a whole number from 0 (no bound) on, not {value}")
    return RolloutGoal(episodes=episodes, steps=steps, seed=seeds, options=codec.encode(options), stream=stream)


def _packed(policy: Policy | bytes) -> bytes:
    return policy.pack() if isinstance(policy, Policy) else policy
