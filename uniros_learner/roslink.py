"""A `Link` to one env server through rospy, in this process.

Answers are handed on by the thread that received them, goals leave from the thread that asks: nothing waits in a
queue on the path of a step.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlparse

import rosgraph
import rospy
from actionlib_msgs.msg import GoalID

from uniros_bringup.xmlrpc import CallFailed, call
from uniros_learner.link import Link, Op, Reply, pack_failure, raise_error, serialise
from uniros_learner.loan import Loan
from uniros_learner.tether import Tethers
from uniros_msgs import wire
from uniros_msgs.errors import Closed, ConnectionFailed, MasterDied, ServerDied, StartFailed, Timeout, UnirosError
from uniros_msgs.msg import Error, ResetAction, RolloutAction, RolloutActionFeedback, StepAction
from uniros_msgs.srv import Acquire, AcquireResponse, Call, Describe, Release, SetPolicy
from uniros_msgs.topics import Inlet, Outlet

ACTIONS = (Op.STEP, "step", StepAction), (Op.RESET, "reset", ResetAction), (Op.ROLLOUT, "rollout", RolloutAction)
LENT = "lent"  # stands for a goal's id where requests are kept
LEASE_EXPIRY = 5.0  # s after which a vanished learner loses its claim
LEASE_PERIOD = 1.5  # s between renewals

ROS_ERRORS = (rospy.ServiceException, rospy.ROSException, OSError)

T = TypeVar("T")


class RosLink(Link):
    """Connected to the env server in namespace `ns`, holding its lease, until `close()`.

    `explain(seconds)` may add what is known of a peer that died (the end of its log), and wait that long to find out.
    Raises ConnectionFailed when no env server answers there within `timeout` seconds, LeaseHeld when another learner
    has it.
    """

    def __init__(
        self, ns: str, holder: str, timeout: float = 10.0, explain: Callable[[float], str] = lambda patience: "",
        lends: bool = False,
    ):
        """lends: whether the connection of the step action may be asked for."""
        deadline = time.monotonic() + timeout
        self._ns = "/" + ns.strip("/")
        self._master_uri = rosgraph.get_master_uri()
        self.address = f"{self._ns} on {self._master_uri}"
        self._holder, self._explain = holder, explain
        self._numbers = itertools.count(1)
        self._begun: dict[int, _Waiter] = {}
        self._pending: dict[str, tuple[Op, Reply]] = {}
        self._rollout: tuple[str, Reply | None] = ("", None)  # the latest; its feedback may come after its result
        self._ended: UnirosError | None = None
        self._lends = lends
        self._loan: Loan | None = None
        self._tethers: Tethers | None = None
        self._node_uri = self._find(deadline)
        if not rospy.core.is_initialized():
            rospy.init_node("learner", argv=[], anonymous=True, disable_signals=True)
        self._ids = (f"{rospy.get_name()}-{n}".encode() for n in itertools.count(1))
        self._open(deadline)
        self._services = {
            Op.DESCRIBE: _Service(f"{self._ns}/env/describe", Describe),
            Op.CALL: _Service(f"{self._ns}/env/call", Call),
            Op.POLICY: _Service(f"{self._ns}/env/policy", SetPolicy),
        }
        self._lease = _Service(f"{self._ns}/env/acquire", Acquire)
        self._take_lease(deadline)
        self._calls: queue.SimpleQueue[tuple[Op, bytes, Reply] | None] = queue.SimpleQueue()
        for work in (self._serve_calls, self._keep_lease):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()

    # --- connecting ---------------------------------------------------------------------------------------------------

    def _find(self, deadline: float) -> str:
        """The XML-RPC URI of the node that serves `env/describe` here."""
        service = f"{self._ns}/env/describe"
        while True:
            if died := self._explain(0.0):
                raise StartFailed(f"nothing serves {self.address}:{died}")
            services = _services_on(self._master_uri)
            for name, providers in services:
                if name == service and providers:
                    self._server_name = providers[0]
                    return str(call(self._master_uri, "lookupNode", providers[0]))
            if time.monotonic() > deadline:
                others = [name[: -len("/env/describe")] for name, _ in services if name.endswith("/env/describe")]
                hint = f"env servers there: {', '.join(others)}" if others else "no env server runs on that master"
                raise ConnectionFailed(f"no env server answers at {self.address}; {hint}")
            time.sleep(0.01)

    def _open(self, deadline: float) -> None:
        """Connect the topics both ways, and hang on to both processes."""
        self._tethers = Tethers({"master": self._master_uri, "server": self._node_uri}, self._lost)
        self._goals: dict[Op, Outlet] = {}
        self._results: list[Inlet] = []
        for op, name, action in ACTIONS:
            kinds = action()
            self._goals[op] = Outlet(f"{self._ns}/env/{name}/goal", type(kinds.action_goal))
            elsewhere = None
            if op is Op.STEP and self._lends:
                self._loan = Loan(self._goals[op], self._server_name)
                elsewhere = self._loan.wait
            result = f"{self._ns}/env/{name}/result"
            self._results.append(Inlet(result, type(kinds.action_result), self._receive, elsewhere))
        self._results.append(Inlet(f"{self._ns}/env/rollout/feedback", RolloutActionFeedback, self._receive_feedback))
        self._goals[Op.CANCEL] = Outlet(f"{self._ns}/env/rollout/cancel", GoalID)
        while not (
            all(self._server_name in goals.subscribers() for goals in self._goals.values())
            and all(results.publishers() for results in self._results)
        ):
            if self._ended:
                raise self._ended
            if time.monotonic() > deadline:
                raise ConnectionFailed(
                    f"the env server at {self.address} is registered, but its topics do not connect. Is "
                    f"{self._node_uri} reachable from here, and are we from there (ROS_IP, local_address)?"
                )
            time.sleep(0.001)

    def _take_lease(self, deadline: float) -> None:
        request = Acquire._request_class(holder=self._holder, token="", expiry=LEASE_EXPIRY)
        answer: AcquireResponse = within(
            deadline, lambda: self._lease(request), f"{self.address} does not grant a lease"
        )
        if answer.error.kind:
            raise_error(answer.error)
        self.token, self.episode = answer.token, answer.episode

    # --- asking -------------------------------------------------------------------------------------------------------

    def submit(self, op: Op, payload: bytes, reply: Reply) -> None:
        """Send a request; `reply(op, answer)` is called once, from another thread."""
        goals = self._goals.get(op)
        if goals is None:
            self._calls.put((op, payload, reply))
            return
        goal_id = next(self._ids)
        self._pending[goal_id.decode()] = (op, reply)
        if op is Op.ROLLOUT:
            self._rollout = goal_id.decode(), reply
        goals.send(wire.wrap_goal(goal_id, time.time(), payload))
        if self._ended:
            self._fail_pending()

    def begin(self, op: Op, payload: bytes) -> int:
        """As `Link.begin`."""
        number, waiter = next(self._numbers), _Waiter(op)
        self._begun[number] = waiter
        self.submit(op, payload, waiter)
        return number

    def answered(self, number: int, patience: float = 0.0) -> bool:
        """As `Link.answered`."""
        waiter = self._begun.get(number)
        return waiter is None or waiter.has_answer(patience)

    def receive(self, number: int, timeout: float) -> tuple[Op, bytes]:
        """As `Link.receive`."""
        waiter = self._begun.get(number)
        if waiter is None:
            raise ValueError(f"request {number} was never begun, or has been finished")
        if not waiter.has_answer(timeout):
            raise Timeout(f"no answer to {waiter.op.name.lower()} from {self.address} within {timeout:g} s")
        op, answer = waiter.answers.popleft()
        if op is Op.FAILED:
            raise_error(Error().deserialize(answer))
        return op, answer

    def forget(self, number: int) -> None:
        """As `Link.forget`."""
        self._begun.pop(number, None)

    def cancel_rollout(self) -> None:
        """As `Link.cancel_rollout`."""
        self._goals[Op.CANCEL].send(serialise(GoalID(id=self._rollout[0])))

    # --- lending ------------------------------------------------------------------------------------------------------

    def lend(self, reply: Reply) -> tuple[int, int] | None:
        """The sockets of step goals and step results; None when they cannot be had now.

        `reply` is told when they are wanted back (DIRECT) and when all has ended (FAILED).
        """
        sockets = self._loan.lend() if self._loan else None
        if sockets:
            self._pending[LENT] = (Op.DIRECT, reply)
            if self._ended:
                self._fail_pending()
        return sockets

    def take_back(self) -> None:
        """They are not used any more."""
        self._pending.pop(LENT, None)
        if self._loan:
            self._loan.take_back()

    def _recall(self) -> None:
        """Ask for them when others want to hear the goals, too."""
        _, reply = self._pending.get(LENT, (Op.DIRECT, None))
        if reply and self._loan and self._loan.wanted_elsewhere:
            reply(Op.DIRECT, b"")

    def _receive(self, buffer: bytes, caller: str) -> None:
        envelope = wire.open_result(buffer)
        op, reply = self._pending.pop(envelope.goal_id, (Op.FAILED, None))
        if reply:  # else it answers somebody else's goal, or one nobody waits for any more
            reply(op, buffer[envelope.body :])

    def _receive_feedback(self, buffer: bytes, caller: str) -> None:
        envelope = wire.open_result(buffer)  # feedback is laid out as a result is
        goal_id, reply = self._rollout
        if reply and envelope.goal_id == goal_id:
            reply(Op.FEEDBACK, buffer[envelope.body :])

    def _serve_calls(self) -> None:
        for op, payload, reply in iter(self._calls.get, None):
            try:
                service = self._services[op]
                answer = serialise(service(service.request_class().deserialize(payload)))
            except ROS_ERRORS as error:
                reply(
                    Op.FAILED,
                    pack_failure(self._ended or ConnectionFailed(f"{op.name.lower()} at {self.address}: {error}")),
                )
            else:
                reply(op, answer)

    # --- staying connected --------------------------------------------------------------------------------------------

    def _keep_lease(self) -> None:
        request = Acquire._request_class(holder=self._holder, token=self.token, expiry=LEASE_EXPIRY)
        while not self._ended:
            time.sleep(LEASE_PERIOD)
            with suppress(*ROS_ERRORS):  # the tether tells whether the server is gone; a step renews the lease, too
                self._lease(request)
            self._recall()

    def _lost(self, peer: str) -> None:
        kind = MasterDied if peer == "master" else ServerDied
        what = "the ROS master" if peer == "master" else f"the env server {self._server_name}"
        self._end(
            kind(
                f"{what} at {self.address} has ended; close() this environment and make or connect a new one"
                + self._explain(0.3)
            )
        )

    def _end(self, error: UnirosError) -> None:
        self._ended = self._ended or error
        self._fail_pending()

    def _fail_pending(self) -> None:
        while self._pending:
            try:
                _, (_, reply) = self._pending.popitem()
            except KeyError:
                return
            assert self._ended
            reply(Op.FAILED, pack_failure(self._ended))

    def close(self) -> None:
        """As `Link.close`; takes at most a second."""
        if isinstance(self._ended, Closed):
            return
        alive = self._ended is None
        self._end(Closed("this environment is closed"))
        self._calls.put(None)
        if alive:
            release = _Service(f"{self._ns}/env/release", Release)
            with suppress(Timeout, *ROS_ERRORS):  # else the lease runs out by itself
                within(time.monotonic() + 1.0, lambda: release(Release._request_class(token=self.token)), "release")
        if self._tethers:
            self._tethers.close()
        topics: list[Inlet | Outlet] = [*self._goals.values(), *self._results]
        for topic in topics:
            topic.close()


class _Waiter:
    """A `Reply` that keeps answers, in order, for one thread that waits for them."""

    def __init__(self, op: Op):
        self.op = op
        self.answers: deque[tuple[Op, bytes]] = deque()
        self._more = threading.Lock()  # free when there may be answers that were not seen
        self._more.acquire()

    def has_answer(self, patience: float) -> bool:
        """Whether there is an answer; waits for one up to `patience` (s)."""
        deadline = time.monotonic() + patience
        while not self.answers:
            if not self._more.acquire(timeout=max(0.0, deadline - time.monotonic())):
                return bool(self.answers)
        return True

    def __call__(self, kind: Op, payload: bytes) -> None:
        self.answers.append((kind, payload))
        with suppress(RuntimeError):  # free already
            self._more.release()


class _Service:
    """A service called over one lasting connection, reopened when it broke. For one thread at a time."""

    def __init__(self, name: str, kind: Any):
        self.request_class = kind._request_class
        self._name, self._kind = name, kind
        self._proxy: rospy.ServiceProxy | None = None

    def __call__(self, request: Any) -> Any:
        fresh = self._proxy is None
        if self._proxy is None:
            self._proxy = rospy.ServiceProxy(self._name, self._kind, persistent=True)
        try:
            return self._proxy(request)
        except (rospy.ServiceException, OSError):
            self._proxy.close()
            self._proxy = None
            if fresh:
                raise
            return self(request)


def within(deadline: float, work: Callable[[], T], complaint: str) -> T:
    """What `work()` returns or raises; Timeout if it does neither by `deadline` (monotonic seconds)."""
    outcome: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((True, work()))
        except Exception as error:  # noqa: BLE001 - handed on to the caller
            outcome.put((False, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        fine, value = outcome.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise Timeout(f"{complaint}: no answer in time") from None
    if not fine:
        raise value
    return value


def _services_on(uri: str) -> list[tuple[str, list[str]]]:
    """(service, its nodes) as the master knows them. Raises ConnectionFailed when it does not answer."""
    if not urlparse(uri).port:
        raise ConnectionFailed(f"{uri!r} is not the address of a ROS master; one looks like http://127.0.0.1:11311")
    try:
        return call(uri, "getSystemState", timeout=2.0)[2]
    except CallFailed as error:
        raise ConnectionFailed(
            f"no ROS master answers at {uri}: is it running, and is the address right? ({error})"
        ) from error
