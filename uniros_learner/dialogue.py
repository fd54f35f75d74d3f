"""What a client and its env server say to each other: episodes and steps by number, each carried out exactly once.

`RosEnv` (one environment) and `RosVectorEnv` (a batch) speak through a `Dialogue`; it leaves the bytes to a `Link`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from gymnasium.envs.registration import EnvSpec

from uniros_learner.link import Link, Op, raise_error, serialise
from uniros_msgs import codec, wire
from uniros_msgs.errors import Busy, Closed, InvalidAction, NotReachable, ResetNeeded, Timeout, by_name
from uniros_msgs.msg import ResetGoal, RolloutGoal
from uniros_msgs.srv import (
    CallRequest,
    CallResponse,
    DescribeRequest,
    DescribeResponse,
    SetPolicyRequest,
    SetPolicyResponse,
)

STEP_TIMEOUT = 10.0  # s
RESET_TIMEOUT = 60.0  # s; a real arm plans its way home
CALL_TIMEOUT = 30.0  # s

Meanwhile = Callable[[int, Callable[[float], bool]], None]
"""Called after a step was sent, with its number in the episode (from 1) and a function that waits so many seconds for
the answer and says whether it has come. Shall return when that is so, or earlier."""


class Dialogue:
    """Over a link, which is closed when the server does not even describe itself.

    Not for two threads at once, but for `swap_policy`.
    """

    def __init__(self, link: Link, step_timeout: float = STEP_TIMEOUT, reset_timeout: float = RESET_TIMEOUT):
        self.link = link
        self.stamps = wire.Stamps()  # of the last result
        self.step_timeout, self.reset_timeout = step_timeout, reset_timeout
        self._episode, self._step = link.episode, 0
        self._running, self._rolling = False, False  # an episode of ours, a rollout
        self._begun: tuple[int, bytes] | None = None  # the number and payload of a step that is under way
        self.meanwhile: Meanwhile | None = None  # what to do while a step is waited for
        try:
            answer = link.request(Op.DESCRIBE, serialise(DescribeRequest()), CALL_TIMEOUT)
            self.description: DescribeResponse = DescribeResponse().deserialize(answer)
        except BaseException:
            link.close()
            raise

    @property
    def stepping(self) -> bool:
        """Whether a step was begun and not finished."""
        return self._begun is not None

    def reset(self, seeds: list[int], options: dict[str, Any] | None) -> wire.ResetReply:
        """Begin an episode. Raises what the server reports, Busy, Timeout, ServerDied, ..."""
        self._refuse_rolling("reset")
        self._episode, self._step, self._running = self._episode + 1, 0, False
        goal = ResetGoal(self.link.token, self._episode, seeds, codec.encode(options))
        reply = wire.unpack_reset_reply(self._ask(Op.RESET, serialise(goal), self.reset_timeout))
        self.stamps = reply.stamps
        if reply.error.kind:
            raise by_name(*reply.error)
        self._running = True
        return reply

    def step(self, action: Any) -> wire.StepReply:
        """Carry out a step. Raises what the server reports, ResetNeeded, Busy, Timeout, ServerDied, ..."""
        if self.meanwhile:
            self.begin_step(action)
            return self.finish_step()
        return self._stepped(self._ask(Op.STEP, self._step_goal(action), self.step_timeout))

    def begin_step(self, action: Any) -> None:
        """The first half of `step`: send it."""
        payload = self._step_goal(action)
        self._begun = self.link.begin(Op.STEP, payload), payload

    def finish_step(self) -> wire.StepReply:
        """The second half of `step`: wait for the step that was begun."""
        assert self._begun is not None
        (number, payload), self._begun = self._begun, None
        if self.meanwhile:
            self.meanwhile(self._step + 1, lambda patience: self.link.answered(number, patience))
        try:
            answer = self.link.finish(number, self.step_timeout / 2)
        except Timeout:
            answer = self._ask_again(Op.STEP, payload, self.step_timeout)
        return self._stepped(answer)

    def call(self, op: int, name: str, arguments: Any) -> Any:
        """What an attribute (GET, SET) or method (CALL) of the served environment gives.

        Raises NotReachable, an AttributeError, when it offers none of that name, and after `close()`; Busy, ...
        """
        self._refuse_rolling(name)
        request = CallRequest(self.link.token, op, name, codec.encode(arguments))
        try:
            payload = self.link.request(Op.CALL, serialise(request), CALL_TIMEOUT)
        except Closed as error:
            raise NotReachable(f"{name}: {error}") from error
        answer = CallResponse().deserialize(payload)
        if answer.error.kind:
            raise_error(answer.error)
        return codec.decode(answer.value)

    def begin_rollout(self, goal: RolloutGoal) -> int:
        """Send a rollout, which has the environment until `end_rollout`; the number to `link.receive` its answers by.

        Raises Busy, ...
        """
        self._refuse_rolling("rollout")
        self._running = False
        goal.lease, goal.episode = self.link.token, self._episode + 1
        number = self.link.begin(Op.ROLLOUT, serialise(goal))
        self._rolling = True
        return number

    def end_rollout(self, episode: int | None = None) -> None:
        """The server is free again, `episode` the last one's number; without one there is no way to it any more."""
        self._rolling = False
        self._episode = self._episode if episode is None else episode

    def swap_policy(self, policy: bytes, now: bool, timeout: float) -> None:
        """Give the rollout under way another policy; from any thread. Raises InvalidPolicy, ResetNeeded, Timeout."""
        request = SetPolicyRequest(self.link.token, policy, now)
        answer = SetPolicyResponse().deserialize(self.link.request(Op.POLICY, serialise(request), timeout))
        if answer.error.kind:
            raise_error(answer.error)

    def _refuse_rolling(self, what: str) -> None:
        if self._rolling:
            raise Busy(f"{what} at {self.link.address} while a rollout has the environment: close() the rollout, or "
                       "leave its with block, first")

    def _step_goal(self, action: Any) -> bytes:
        self._refuse_rolling("step")
        if not self._running:
            raise ResetNeeded("there is no running episode: call reset() first")
        payload = wire.pack_step_goal(self.link.token, self._episode, self._step + 1, action)
        self._running = False  # until the answer says that it still is
        return payload

    def _stepped(self, answer: bytes) -> wire.StepReply:
        reply = wire.unpack_step_reply(answer)
        self.stamps = reply.stamps
        if reply.error.kind:
            self._running = reply.error.kind == InvalidAction.__name__
            raise by_name(*reply.error)
        self._running = True
        self._step += 1
        return reply

    def _ask(self, op: Op, payload: bytes, timeout: float) -> bytes:
        """Ask, and halfway through the time ask again: the server carries out the same numbers only once."""
        try:
            return self.link.request(op, payload, timeout / 2)
        except Timeout:
            return self._ask_again(op, payload, timeout)

    def _ask_again(self, op: Op, payload: bytes, timeout: float) -> bytes:
        try:
            return self.link.request(op, payload, timeout / 2)
        except Timeout:
            raise Timeout(
                f"no answer to {op.name.lower()} from {self.link.address} within {timeout:g} s: is the env server "
                f"(process {self.description.pid}) busy, stopped or out of reach? "
                f"To wait longer: {op.name.lower()}_timeout=..."
            ) from None


def spec_of(description: DescribeResponse) -> EnvSpec | None:
    """A spec to read (id, step limit, threshold); the server has applied the step limit already."""
    given = json.loads(description.spec)
    if not given:
        return None
    return EnvSpec(
        id=description.env_id.rpartition(":")[2],
        entry_point="uniros_learner:make",
        kwargs={"env_id": description.env_id},
        max_episode_steps=given["max_episode_steps"],
        reward_threshold=given["reward_threshold"],
        nondeterministic=given["nondeterministic"],
    )
