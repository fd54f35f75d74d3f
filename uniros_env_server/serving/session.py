"""One environment, or a batch, and the rules of asking it for something: numbers, lease, validation, exactly once.

A `Session` knows nothing of ROS topics: goals come in as bytes or messages and leave as `Answer`s. All of it runs in
one thread, so an environment may keep to that thread what it must (OpenGL contexts, event loops).
"""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from actionlib_msgs.msg import GoalStatus

from uniros_env_server.serving.journal import Journal
from uniros_env_server.serving.lease import Lease
from uniros_msgs import codec, spaces, wire
from uniros_msgs.errors import (
    EnvironmentFailed,
    InvalidAction,
    InvalidObservation,
    ResetNeeded,
    StaleStep,
    UnirosError,
)
from uniros_msgs.handover import Handover
from uniros_msgs.msg import Data, ResetGoal

log = logging.getLogger("rosout")

NO_STAMPS = wire.Stamps()


class Phase(Enum):
    """Where the current episode stands."""

    EMPTY = "there was no reset yet"
    RUNNING = "running"
    BROKEN = "the episode broke off with an error"
    ROLLED = "the last one belonged to a rollout"


class Answer(NamedTuple):
    """What becomes of a goal: its terminal status, the serialised result, and a line for people."""

    status: int
    body: bytes
    text: str = ""


class Session:
    """Applies resets and steps to one environment, or to a batch of them, each exactly once."""

    def __init__(self, env: gymnasium.Env | gymnasium.vector.VectorEnv, lease: Lease, check_observations: bool = False,
                 journal: Journal | None = None):
        self.env = env
        self.lease = lease
        self.journal = journal
        self._unsettled: Callable[[Journal], None] | None = None  # what the journal has not been told yet
        self.changes = Handover()  # what is to be done between two steps
        self.episode = 0
        self.step_count = 0
        self.phase = Phase.EMPTY
        self.broken = ""  # what the environment raised; nothing any more once a reset has begun
        self.failures: Counter[str] = Counter()  # requests that were refused or went wrong, by the error's name
        self.last_failure = ""  # the latest of them, for people
        self.num_envs = env.num_envs if isinstance(env, gymnasium.vector.VectorEnv) else None
        self._check_observations = check_observations
        self._stored: Answer | None = None  # of the last step or reset that was applied
        self._rollout: tuple[int, Answer | None] = 0, None  # the last one's first episode, and what became of it
        self._stamps: Callable[[], tuple] | None = getattr(env.unwrapped, "stamps", None)

    # --- requests -----------------------------------------------------------------------------------------------------

    def reset(self, goal: ResetGoal) -> Answer:
        """Start episode `goal.episode`; the same number again returns the stored result."""
        episode = goal.episode or self.episode + 1
        try:
            self.lease.check(goal.lease)
            if episode == self.episode and self.step_count == 0 and self._stored:
                return self._stored
            self._expect_new(episode)
            seed, options = seeds_of(goal.seed, self.num_envs), options_of(goal.options)
        except UnirosError as error:
            return self._failed_reset(GoalStatus.REJECTED, refusal(error))
        reply = self.begin(episode, goal.seed, seed, options)
        if reply.error.kind:
            self._stored = self._failed_reset(GoalStatus.ABORTED, reply.error)
        else:
            self._stored = Answer(GoalStatus.SUCCEEDED, wire.pack_reset_reply(reply))
        return self._stored

    def step(self, buffer: bytes, at: int) -> Answer:
        """Carry out the serialised `StepGoal` at `buffer[at:]`."""
        lease, episode, step, at = wire.unpack_step_goal(buffer, at)
        episode = episode or self.episode
        step = step or self.step_count + 1
        try:
            self.lease.check(lease)
            if episode == self.episode and step == self.step_count and step and self._stored:
                return self._stored
            self._expect(episode, step)
            reply = self.apply(self._read_action(buffer, at))
        except UnirosError as error:
            return self._failed_step(GoalStatus.REJECTED, refusal(error))
        if reply.error.kind:
            self._stored = self._failed_step(GoalStatus.ABORTED, reply.error)
        else:
            self._stored = Answer(GoalStatus.SUCCEEDED, wire.pack_step_reply(reply))
        return self._stored

    def rollout(self, lease: str, episode: int, carry_out: Callable[[int], Answer]) -> Answer:
        """What `carry_out(number of the first episode)` answers; the same number again returns the stored result.

        Raises LeaseHeld, LeaseLost, StaleStep, and what `carry_out` raises before it has begun an episode.
        """
        episode = episode or self.episode + 1
        self.lease.check(lease)
        number, answer = self._rollout
        if episode == number and answer:
            return answer
        self._expect_new(episode)
        answer = carry_out(episode)
        if self.episode >= episode:  # else nothing was begun, and the number is free for another
            self._rollout, self._stored, self.phase = (episode, answer), None, Phase.ROLLED
        return answer

    # --- what they come down to ---------------------------------------------------------------------------------------

    def begin(self, episode: int, seeds: Sequence[int], seed: Any, options: dict | None) -> wire.ResetReply:
        """Reset the environment with `seed`, which is what `seeds` mean; an exception of its is in the reply."""
        self.episode, self.step_count, self.phase, self._stored = episode, 0, Phase.BROKEN, None
        self.broken = ""
        try:
            observation, info = self.env.reset(seed=seed, options=options)
            self._check(observation)
            reply = wire.ResetReply(wire.OK, episode, observation, info, self._read_stamps())
        except Exception as error:  # noqa: BLE001 - whatever user code raises
            self._unsettled = Journal.fail
            return wire.ResetReply(self._break_off(error), episode, None, {}, NO_STAMPS)
        self.phase = Phase.RUNNING
        self._unsettled = lambda journal: journal.begin(episode, seeds, options, observation, info, reply.stamps)
        return reply

    def apply(self, action: Any) -> wire.StepReply:
        """Step the environment; an exception of its is in the reply. Raises InvalidAction, and nothing moved."""
        action = self._admit(action)
        self.step_count += 1
        episode, step = self.episode, self.step_count
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
            self._check(observation)
            reply = wire.StepReply(
                wire.OK, episode, step, observation, reward, terminated, truncated, info, self._read_stamps()
            )
        except InvalidAction:  # a robot found more wrong with it than its space could tell; nothing moved
            self.step_count -= 1
            raise
        except Exception as error:  # noqa: BLE001 - whatever user code raises
            self.phase = Phase.BROKEN
            self._unsettled = Journal.fail
            return wire.StepReply(self._break_off(error), episode, step, None, 0.0, False, False, {}, NO_STAMPS)
        self._unsettled = lambda journal: journal.add(action, observation, reward, terminated, truncated, info,
                                                      reply.stamps)
        return reply

    def settle(self) -> None:
        """What can wait until the answer has left: tell the journal of the last reset or step, turn knobs."""
        tell, self._unsettled = self._unsettled, None
        if tell and self.journal:
            tell(self.journal)
        self.changes.carry_out()

    # --- the rules ----------------------------------------------------------------------------------------------------

    def _expect_new(self, episode: int) -> None:
        if episode <= self.episode:
            raise StaleStep(
                f"episode {episode} shall begin, but episode {self.episode} has already begun; "
                f"ask for {self.episode + 1}, or 0 for the next one"
            )

    def _expect(self, episode: int, step: int) -> None:
        if self.phase is not Phase.RUNNING:
            raise ResetNeeded(f"a step needs a running episode, but {self.phase.value}: call reset() first")
        if episode != self.episode:
            raise StaleStep(f"this step belongs to episode {episode}; the current one is {self.episode}. Nothing moved")
        if step != self.step_count + 1:
            late = "is late" if step <= self.step_count else "came out of order"
            raise StaleStep(
                f"step {step} of episode {episode} {late}: step {self.step_count} was the last, "
                f"{self.step_count + 1} comes next. Nothing moved"
            )

    def _read_action(self, buffer: bytes, at: int) -> Any:
        """The action as it was sent; who publishes by hand may leave the layout out and give the numbers alone."""
        if wire.has_layout(buffer, at):
            return codec.loads(buffer, at)[0]
        return _from_numbers(self.env.action_space, codec.unpack(buffer, at)[0])

    def _admit(self, action: Any) -> Any:
        """What the environment gets: what was sent, as in-process, but arrays for lists. Raises InvalidAction."""
        sample = spaces.conform(self.env.action_space, action)
        return sample if isinstance(action, (list, tuple)) else action

    def _check(self, observation: Any) -> None:
        """Raise InvalidObservation unless it belongs to its space; only where the server was asked to look."""
        if not self._check_observations:
            return
        try:
            spaces.conform(self.env.observation_space, observation)
        except UnirosError as error:
            raise InvalidObservation(f"the environment's observation does not fit its own space: {error}") from None

    def _break_off(self, error: Exception) -> wire.Failure:
        failure = from_inside(error)
        self.broken = f"{failure.kind}: {failure.message}"
        return failure

    # --- answers ------------------------------------------------------------------------------------------------------

    def _read_stamps(self) -> wire.Stamps:
        return wire.Stamps(*self._stamps()) if self._stamps else NO_STAMPS

    def failure(self, status: int, error: UnirosError, is_reset: bool) -> Answer:
        """The answer to a goal that never got as far as the environment."""
        return (self._failed_reset if is_reset else self._failed_step)(status, refusal(error))

    def count(self, failure: wire.Failure) -> None:
        """A request was refused or went wrong."""
        self.failures[failure.kind] += 1
        self.last_failure = f"{failure.kind}: {failure.message}"

    def _failed_reset(self, status: int, failure: wire.Failure) -> Answer:
        self.count(failure)
        reply = wire.ResetReply(failure, self.episode, None, {}, NO_STAMPS)
        return Answer(status, wire.pack_reset_reply(reply), failure.message)

    def _failed_step(self, status: int, failure: wire.Failure) -> Answer:
        self.count(failure)
        reply = wire.StepReply(failure, self.episode, self.step_count, None, 0.0, False, False, {}, NO_STAMPS)
        return Answer(status, wire.pack_step_reply(reply), failure.message)


def options_of(data: Data) -> dict | None:
    """gymnasium's `options`. Raises InvalidAction for what cannot be that."""
    options = codec.decode(data) if data.layout else None
    if not (options is None or isinstance(options, dict)):
        raise InvalidAction(f"reset options must be a dict or None, not {type(options).__name__}")
    return options


def seeds_of(seeds: Sequence[int], num_envs: int | None) -> Any:
    """gymnasium's `seed`: an int or None, or for a batch one per row, where a negative one leaves its row be.

    Raises InvalidAction when there are too many or too few.
    """
    if len(seeds) <= 1:
        return seeds[0] if seeds else None
    if num_envs is None:
        raise InvalidAction(f"this server hosts one environment: give one seed or none, not {len(seeds)}")
    if len(seeds) != num_envs:
        raise InvalidAction(f"this server hosts {num_envs} environments: give one seed, {num_envs} or none, "
                            f"not {len(seeds)}")
    return [None if seed < 0 else seed for seed in seeds]


def _from_numbers(space: gymnasium.Space, data: Data) -> Any:
    numbers = [*data.f64, *data.f32, *data.i64, *data.u8]
    if isinstance(space, gymnasium.spaces.Discrete) and len(numbers) == 1:
        return int(numbers[0])
    flat = (gymnasium.spaces.Box, gymnasium.spaces.MultiDiscrete, gymnasium.spaces.MultiBinary)
    if isinstance(space, flat) and len(numbers) == int(np.prod(space.shape)):
        return np.asarray(numbers, space.dtype).reshape(space.shape)
    raise InvalidAction(f"an action of {space} is expected, but its layout is missing and {len(numbers)} numbers came")


def refusal(error: UnirosError) -> wire.Failure:
    """What the learner is told of a request that was not carried out."""
    return wire.Failure(type(error).__name__, str(error), "")


def from_inside(error: Exception) -> wire.Failure:
    """What the learner is told of an exception that left the environment."""
    trace = traceback.format_exc()
    if isinstance(error, UnirosError):  # one of ours says all there is to say; the learner gets the traceback, too
        log.error("%s: %s", type(error).__name__, error)
        return wire.Failure(type(error).__name__, str(error), trace)
    log.error("the environment raised\n%s", trace)
    return wire.Failure(EnvironmentFailed.__name__, f"{type(error).__name__}: {error}", trace)
