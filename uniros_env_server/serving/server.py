"""The env server: one `gymnasium.Env`, or a batch, behind actions and services, under `env/` in the node's namespace.

Requests come in on rospy's threads and wait at one desk; the thread that calls `serve()` carries them out, one after
the other, and publishes the results itself. Everything that touches the environment therefore happens in that one
thread.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium
import rospy
from actionlib_msgs.msg import GoalStatus
from std_srvs.srv import Trigger, TriggerRequest, TriggerResponse

from uniros_env_server.serving.actions import ActionServer, Goal
from uniros_env_server.serving.describe import describe, domain_of, to_message
from uniros_env_server.serving.desk import Desk
from uniros_env_server.serving.journal import Journal
from uniros_env_server.serving.lease import Lease
from uniros_env_server.serving.remote import Remote
from uniros_env_server.serving.rollout import Rollout, result
from uniros_env_server.serving.session import Answer, Session, refusal
from uniros_msgs import wire
from uniros_msgs.errors import Cancelled, MalformedData, ResetNeeded, Timeout, UnirosError
from uniros_msgs.msg import (
    Description,
    Error,
    ResetAction,
    ResetFeedback,
    ResetGoal,
    RolloutAction,
    StepAction,
    TransitionBatch,
)
from uniros_msgs.srv import (
    Acquire,
    AcquireRequest,
    AcquireResponse,
    Call,
    CallRequest,
    CallResponse,
    Describe,
    DescribeRequest,
    DescribeResponse,
    Release,
    ReleaseRequest,
    ReleaseResponse,
    SetPolicy,
    SetPolicyRequest,
    SetPolicyResponse,
)
from uniros_msgs.topics import Outlet, Stream
from uniros_msgs.transitions import ABANDONED

log = logging.getLogger("rosout")
CALL_DEADLINE = 60.0  # s a service call may wait for the environment's thread


class EnvServer:
    """Serves `env` until the node shuts down. Construct it after `rospy.init_node`, then call `serve()`."""

    def __init__(self, env: gymnasium.Env | gymnasium.vector.VectorEnv, env_id: str, check_observations: bool = False):
        self.env = env
        self.lease = Lease()
        self._description = describe(env, env_id)
        self.journal = self._open_journal()
        self.session = Session(env, self.lease, check_observations, self.journal)
        self._remote = Remote(env)
        self._desk = Desk()
        self._learners: set[str] = set()  # nodes that have stepped with a lease
        self._running: Goal | None = None
        self._rolling: Rollout | None = None
        self._reset = ActionServer("env/reset", ResetAction, self._queued(self._do_reset), self._cancel)
        self._step = ActionServer("env/step", StepAction, self._queued(self._do_step), self._cancel,
                                  self._read_here)
        self._rollout = ActionServer("env/rollout", RolloutAction, self._queued(self._do_rollout), self._cancel)
        rospy.Service("env/policy", SetPolicy, self._set_policy)
        rospy.Service("env/acquire", Acquire, self._acquire)
        rospy.Service("env/release", Release, self._release)
        rospy.Service("env/call", Call, self._call)
        self._offer_estop()
        self.announce()
        rospy.Service("env/describe", Describe, self._describe)  # last: who finds it finds all the others
        rospy.on_shutdown(lambda: self._desk.put(None))

    def serve(self) -> None:
        """Carry out requests until the node shuts down, then close the environment."""
        try:
            self._desk.work()
        finally:
            self.journal.close(ABANDONED)
            self.env.close()

    # --- actions ------------------------------------------------------------------------------------------------------

    def _queued(self, work: Callable[[Goal], Answer]) -> Callable[[Goal], None]:
        return lambda goal: self._desk.put(lambda: self._carry_out(goal, work))

    def _read_here(self, stream: Stream, caller: str) -> None:
        """Goals of a learner are read by the environment's thread itself; others may be cancelled while they wait."""
        if caller in self._learners:
            self._desk.read(stream)
            self._learners.discard(caller)

    def _carry_out(self, goal: Goal, work: Callable[[Goal], Answer]) -> None:
        """Do the work of one goal and answer it, come what may."""
        if goal.cancelled:
            answer = self._failure(
                goal, Cancelled("the goal was cancelled before it was begun; nothing moved"), GoalStatus.RECALLED
            )
        else:
            goal.start()
            self._running = goal
            try:
                answer = work(goal)
            except (struct.error, UnicodeDecodeError, MalformedData) as error:
                answer = self._failure(goal, MalformedData(f"the goal cannot be decoded: {error}"), GoalStatus.REJECTED)
            self._running = None
            if goal.cancelled and answer.status in (GoalStatus.SUCCEEDED, GoalStatus.ABORTED):
                answer = answer._replace(status=GoalStatus.PREEMPTED)
        goal.finish(answer.status, answer.body, answer.text, patient=not self.lease.holder)
        self.session.settle()

    def _open_journal(self) -> Journal:
        self._domain = rospy.get_param("~domain", "") or domain_of(self._description.env_id)
        self._announcement = rospy.Publisher("env/description", Description, queue_size=1, latch=True)
        self._transitions = Outlet("env/transitions", TransitionBatch)
        num_envs = self.env.num_envs if isinstance(self.env, gymnasium.vector.VectorEnv) else 0
        return Journal(self._description.env_id, self._description.spec_hash, self._domain, num_envs,
                       lambda: bool(self._transitions.subscribers()), self._transitions.send)

    @property
    def description(self) -> DescribeResponse:
        """What is served, as it is now."""
        return self._description

    @property
    def domain(self) -> str:
        """sim, real, or what else the server was told; "" where nobody knows."""
        return self._domain

    def announce(self) -> None:
        """Publish the description for those who record, and for those who come later; again whenever it changes."""
        self._announcement.publish(to_message(self._description, self._domain))

    def _failure(self, goal: Goal, error: UnirosError, status: int) -> Answer:
        if goal.server is self._rollout:
            self.session.count(refusal(error))
            return Answer(status, result(refusal(error), self.session.episode), str(error))
        return self.session.failure(status, error, is_reset=goal.server is self._reset)

    def _do_reset(self, goal: Goal) -> Answer:
        request = ResetGoal()
        request.deserialize(goal.buffer[goal.body :])
        say = partial(self._say_reset, goal)
        say(0.0, "resetting")
        self._watch_resets(goal, request.lease, say)
        return self.session.reset(request)

    def _say_reset(self, goal: Goal, share: float, phase: str) -> None:
        goal.feedback(wire.serialise(ResetFeedback(share, phase)))

    def _watch_resets(self, goal: Goal, lease: str, say: Callable[[float, str], None]) -> None:
        """Tell how a reset goes on; a robot stops on its way when the learner that asked for it is gone."""
        inner: Any = self.env.unwrapped
        if not hasattr(inner, "on_progress"):
            return

        def progress(share: float, phase: str) -> None:
            say(share, phase)
            if lease and (goal.abandoned() or not self.lease.stands(lease)):
                inner.cancel()

        inner.on_progress = progress

    def _do_rollout(self, goal: Goal) -> Answer:
        try:
            rollout = self._rolling = Rollout(self.session, self.journal, goal)
            self._watch_resets(goal, rollout.request.lease, lambda share, phase: rollout.progress(phase))
            return self.session.rollout(rollout.request.lease, rollout.request.episode, rollout.run)
        except MalformedData:
            raise
        except UnirosError as error:
            return self._failure(goal, error, GoalStatus.REJECTED)
        finally:
            self._rolling = None

    def _set_policy(self, request: SetPolicyRequest) -> SetPolicyResponse:
        try:
            self.lease.check(request.lease)
            rollout = self._rolling
            if rollout is None:
                raise ResetNeeded("no rollout is under way here: begin one with that policy")
            rollout.swap(rollout.admitted(request.policy), request.now)
        except UnirosError as error:
            return SetPolicyResponse(_error(error))
        return SetPolicyResponse(Error())

    def _do_step(self, goal: Goal) -> Answer:
        if hasattr(self.env.unwrapped, "arrival"):
            self.env.unwrapped.arrival = goal.received
        if self.lease.holder:
            self._learners.add(goal.caller)
        return self.session.step(goal.buffer, goal.body)

    def _cancel(self, goal: Goal) -> None:
        """A goal under way was cancelled: tell an environment that can stop early."""
        if goal is self._running and hasattr(self.env.unwrapped, "cancel"):
            self.env.unwrapped.cancel()

    # --- changes ------------------------------------------------------------------------------------------------------

    def between_steps(self, work: Callable[[], None]) -> None:
        """Have the environment's thread do something between two steps, of a rollout too, and wait until it has.

        Raises what `work` raises; Timeout when that thread is busy for too long, and then nothing is done.
        """
        changes = self.session.changes
        changes.ask(work, CALL_DEADLINE, nudge=lambda: self._desk.put(changes.carry_out))

    def note_change(self, values: Mapping[str, Any]) -> None:
        """Settings of the environment have been changed: describe it anew, and have the journal tell."""
        before, self._description = self._description, describe(self.env, self._description.env_id)
        self.journal.change(dict(values), self._description.spec_hash)
        if self._description.spec_hash != before.spec_hash:
            self.announce()

    # --- services -----------------------------------------------------------------------------------------------------

    def _offer_estop(self) -> None:
        """A robot's emergency stop bypasses the queue: it works while a step is under way, and for everybody."""
        inner = self.env.unwrapped
        for name in ("estop", "clear_estop"):
            if hasattr(inner, name):
                rospy.Service(f"env/{name}", Trigger, _trigger(getattr(inner, name)))

    def _describe(self, _: DescribeRequest) -> DescribeResponse:
        self._description.holder = self.lease.holder
        return self._description

    def _acquire(self, request: AcquireRequest) -> AcquireResponse:
        try:
            token = self.lease.acquire(request.holder, request.token, request.expiry)
        except UnirosError as error:
            return AcquireResponse(_error(error), "", self.lease.holder, self.session.episode)
        return AcquireResponse(Error(), token, request.holder, self.session.episode)

    def _release(self, request: ReleaseRequest) -> ReleaseResponse:
        self.lease.release(request.token)
        return ReleaseResponse(Error())

    def _call(self, request: CallRequest) -> CallResponse:
        """Run the call in the environment's thread and wait for it, with a deadline."""
        done = threading.Event()
        response = CallResponse()

        def job() -> None:
            nonlocal response
            try:
                self.lease.check(request.lease)
                response = self._remote.call(request)
            except UnirosError as error:
                response = CallResponse(error=_error(error))
            done.set()

        self._desk.put(job)
        if not done.wait(CALL_DEADLINE):
            return CallResponse(error=_error(Timeout(f"the environment was busy for {CALL_DEADLINE:.0f} s")))
        return response


def _trigger(action: Callable[[], None]) -> Callable[[TriggerRequest], TriggerResponse]:
    def answer(_: TriggerRequest) -> TriggerResponse:
        try:
            action()
        except UnirosError as error:
            return TriggerResponse(False, str(error))
        return TriggerResponse(True, "")

    return answer


def _error(error: UnirosError) -> Error:
    return Error(type(error).__name__, str(error), error.remote_traceback)
