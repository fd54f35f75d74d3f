"""A rollout: whole episodes with a policy that acts in the environment's own thread, next to the robot.

Resets and steps are those of the `Session`, with all it promises. Between two of them the rollout looks whether it
shall end, takes a new policy if there is one, and hands on what the journal has packed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from actionlib_msgs.msg import GoalStatus
from gymnasium.vector import AutoresetMode

from uniros_env_server.serving.actions import Goal
from uniros_env_server.serving.aside import Aside
from uniros_env_server.serving.journal import Journal
from uniros_env_server.serving.rollout_report import BatchTally, Tally
from uniros_env_server.serving.rollout_stream import Stream
from uniros_env_server.serving.session import Answer, Session, from_inside, options_of, refusal, seeds_of
from uniros_msgs import codec, wire
from uniros_msgs.errors import Cancelled, InvalidPolicy, LeaseLost, UnirosError
from uniros_msgs.exploration import Exploration, Explorer
from uniros_msgs.msg import Error, RolloutGoal, RolloutResult
from uniros_msgs.policy import Policy

WAIT = 0.005  # s between two looks whether a slow learner has caught up
PAUSE = 0.4  # of a cycle, from its beginning to the time for what is not urgent


class Rollout:
    """One rollout. `run` is for the environment's thread, `swap` for any."""

    def __init__(self, session: Session, journal: Journal, goal: Goal) -> None:
        """Raises InvalidPolicy, MalformedData, ... for a request that cannot be carried out."""
        self._session, self._journal, self._goal = session, journal, goal
        self.request = request = RolloutGoal().deserialize(goal.buffer[goal.body :])
        self._seed, self._options = seeds_of(request.seed, session.num_envs), options_of(request.options)
        self._policy = self.admitted(request.policy)
        exploration = Exploration.read(codec.decode(request.exploration) if request.exploration.layout else None)
        self._explorer = Explorer(exploration, self._policy.action_space, session.num_envs)
        self._real_time = getattr(session.env.unwrapped, "mode", "plain") == "real_time"
        self._stream = Stream(goal, patient=not self._real_time)
        self._tally = self._new_tally()
        self._next = self._policy, False  # what acts when its time has come, and whether that is the next step
        self._failure = wire.OK

    def admitted(self, raw: bytes) -> Policy:
        """The policy, if it is one for this environment. Raises InvalidPolicy."""
        env: Any = self._session.env
        policy = Policy.load(raw)
        if self._session.num_envs is None:
            policy.check_fits(env.observation_space, env.action_space)
        else:
            policy.check_fits(env.single_observation_space, env.single_action_space)
        return policy

    def swap(self, policy: Policy, now: bool) -> None:
        """Have `policy` act from the next step on (now), or from the next episode on."""
        self._next = policy, now

    def run(self, episode: int) -> Answer:
        """Go through the episodes, of which the first has that number."""
        self._journal.leave()  # what was commanded step by step belongs to nobody who listens here
        with ExitStack() as afterwards:
            if self.request.stream:
                afterwards.callback(self._journal.also(self._stream.add))
            if self._real_time:
                afterwards.enter_context(self._packing_beside())
            afterwards.callback(self._journal.act, "")
            afterwards.callback(self._journal.leave)
            self._journal.act(self._policy.version)
            self._roll(episode)
        self._stream.say("over", self._progress())
        return self._answer()

    def progress(self, phase: str) -> None:
        """Tell how a reset goes on."""
        self._stream.say(phase, self._progress())

    # --- the loop -----------------------------------------------------------------------------------------------------

    def _roll(self, episode: int) -> None:
        try:
            self._episodes(episode)
        except UnirosError as error:  # an action that the robot refused to try
            self._failure = refusal(error)
        except Exception as error:  # noqa: BLE001 - rewards or observations that are not what the spaces say
            self._failure = from_inside(error)

    def _episodes(self, number: int) -> None:
        seeds, seed = self.request.seed, self._seed
        while self._goes_on():
            self._stream.turn("resetting", self._progress())
            reply = self._session.begin(number, seeds, seed, self._options)
            self._session.settle()
            if reply.error.kind:
                self._failure = reply.error
                return
            self._tally.begin()
            self._explorer.begin()
            self._change_policy(at_reset=True)
            self._episode(reply.observation)
            number, seeds, seed = number + 1, [], None

    def _episode(self, observation: Any) -> None:
        """To the end of the episode; of a batch to the end of the rollout."""
        over = False
        while not over and self._goes_on():
            self._change_policy(at_reset=False)
            reply = self._session.apply(self._explorer.act(self._policy, observation))
            self._session.settle()
            if reply.error.kind:
                self._failure = reply.error
                return
            over = self._tally.add(reply, self._policy.version)
            observation = reply.observation
            self._stream.turn("acting", self._progress())

    def _goes_on(self) -> bool:
        """Whether there is more to do; where time can wait, not before the learner has caught up."""
        while not self._ended():
            if self._real_time or not self._stream.behind():
                return True
            self._stream.turn("waiting for the learner", self._progress())
            time.sleep(WAIT)
        return False

    def _ended(self) -> bool:
        if self._failure.kind or self._goal.cancelled or self._progress() >= 1.0:
            return True
        lease = self.request.lease
        if self._session.lease.stands(lease) and not (lease and self._goal.abandoned()):
            return False
        self._failure = refusal(LeaseLost("its learner is gone: the rollout ends here"))
        return True

    def _change_policy(self, at_reset: bool) -> None:
        policy, now = self._next
        if policy is not self._policy and (now or at_reset):
            self._policy = policy
            self._journal.act(policy.version)

    def _progress(self) -> float:
        """The share that is done of what was asked for; 0 without an end."""
        tally, request = self._tally, self.request
        return max(tally.episodes / request.episodes if request.episodes else 0.0,
                   tally.steps / request.steps if request.steps else 0.0)

    def _new_tally(self) -> Tally:
        """Raises InvalidPolicy for a batch of which nobody begins a row anew that has ended."""
        if self._session.num_envs is None:
            return Tally()
        mode = self._session.env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if mode is AutoresetMode.DISABLED:
            raise InvalidPolicy("a rollout of a batch needs rows that are begun anew: serve it with autoreset_mode "
                                "NextStep or SameStep")
        return BatchTally(self._session.num_envs, resets_late=mode is AutoresetMode.NEXT_STEP)

    @contextmanager
    def _packing_beside(self) -> Iterator[None]:
        """Batches are packed in the middle of a cycle: between its end and the next action there is no time for it."""
        inner: Any = self._session.env.unwrapped
        at_once, aside = self._journal.work, Aside(PAUSE * inner.cycle_time)
        self._journal.work = aside
        try:
            yield
        finally:
            aside.close()
            self._journal.work = at_once

    # --- its end ------------------------------------------------------------------------------------------------------

    def _answer(self) -> Answer:
        if self._goal.cancelled and self._failure.kind == Cancelled.__name__:  # a reset that stopped as it was told
            self._failure = wire.OK
        if self._failure.kind:
            self._session.count(self._failure)
        status = GoalStatus.ABORTED if self._failure.kind else GoalStatus.SUCCEEDED
        tally = self._tally
        body = result(self._failure, self._session.episode, episodes=tally.episodes, steps=tally.steps,
                      streamed=self._stream.transitions, report=codec.encode(tally.columns()))
        return Answer(status, body, self._failure.message)


def result(failure: wire.Failure, episode: int, **totals: Any) -> bytes:
    """A serialised `RolloutResult`."""
    return wire.serialise(RolloutResult(error=Error(*failure), episode=episode, **totals))
