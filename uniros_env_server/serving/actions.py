"""The server's side of the actionlib protocol, without its waiting.

`ActionServer` speaks goal, cancel, status, feedback and result exactly as actionlib documents them, so stock clients
work. It differs from `actionlib.SimpleActionServer` in what it does not do: no polling loop, no status list in front
of every result, no decoding of goals. Goals are handed over as bytes, in the order they came; whoever carries one out
answers it by `Goal.finish`.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import rospy
from actionlib_msgs.msg import GoalID, GoalStatus, GoalStatusArray
from std_msgs.msg import Header

from uniros_env_server.serving.periodic import every
from uniros_msgs import wire
from uniros_msgs.topics import Inlet, Outlet, Stream

STATUS_PERIOD = 0.2  # s, as actionlib's default status_frequency of 5 Hz
STATUS_KEPT = 5.0  # s a finished goal stays in the status list, as in actionlib
GOALS_KEPT = 64  # finished goals in the status list, at most: a fast learner makes thousands in 5 s
STOCK_CLIENT_PAUSE = 0.002  # s; a stock client answered sooner loses track of its own goal

TERMINAL = frozenset(
    (
        GoalStatus.PREEMPTED,
        GoalStatus.SUCCEEDED,
        GoalStatus.ABORTED,
        GoalStatus.REJECTED,
        GoalStatus.RECALLED,
    )
)


class Goal:
    """One goal on its way from PENDING to a terminal status."""

    def __init__(self, server: ActionServer, envelope: wire.Envelope, buffer: bytes, caller: str):
        self.envelope = envelope
        self.buffer = buffer
        self.caller = caller
        self.received = time.monotonic()
        self.status = GoalStatus.PENDING
        self.text = ""
        self.cancelled = False
        self._was_there = False  # who sent it
        self.server = server

    @property
    def body(self) -> int:
        """Where the serialised goal begins in `buffer`."""
        return self.envelope.body

    def start(self) -> None:
        self.status = GoalStatus.ACTIVE

    def feedback(self, body: bytes) -> None:
        """Send serialised feedback; never waits for anybody."""
        self.server.publish_feedback(self, body)

    def abandoned(self) -> bool:
        """Whether who sent the goal was connected to us when this was asked before, and is no longer."""
        there, before = self.server.hears(self.caller), self._was_there
        self._was_there = before or there
        return before and not there

    def unread(self) -> int:
        """Bytes of feedback that who sent the goal has yet to take."""
        return self.server.unread_feedback(self)

    def finish(self, status: int, body: bytes, text: str = "", patient: bool = False) -> None:
        """Answer the goal. `patient` waits until a stock client has taken note that the goal exists."""
        if patient:
            time.sleep(max(0.0, self.received + STOCK_CLIENT_PAUSE - time.monotonic()))
        self.status, self.text = status, text
        self.server.publish_result(self, body)

    def as_status(self) -> GoalStatus:
        stamp = rospy.Time(*self.envelope.stamp)
        return GoalStatus(GoalID(stamp, self.envelope.goal_id), self.status, self.text)


class ActionServer:
    """The five topics of one action. `on_goal(goal)` runs in the receiving thread and must return at once."""

    def __init__(self, name: str, action: type, on_goal: Callable[[Goal], None], on_cancel: Callable[[Goal], None],
                 elsewhere: Callable[[Stream, str], None] | None = None):
        self.name = rospy.resolve_name(name)
        self._on_goal, self._on_cancel = on_goal, on_cancel
        self._goals: OrderedDict[str, Goal] = OrderedDict()
        self._finished: OrderedDict[str, Goal] = OrderedDict()
        self._cancelled_early: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        kinds = action()
        self._result = Outlet(f"{name}/result", type(kinds.action_result))
        self._feedback = Outlet(f"{name}/feedback", type(kinds.action_feedback), stalled_after=math.inf)
        self._status = rospy.Publisher(f"{name}/status", GoalStatusArray, queue_size=1, tcp_nodelay=True)
        self._cancel = rospy.Subscriber(f"{name}/cancel", GoalID, self._receive_cancel, tcp_nodelay=True)
        self._inlet = Inlet(f"{name}/goal", type(kinds.action_goal), self._receive, elsewhere)
        every(STATUS_PERIOD, self.publish_status, f"{name} status")

    # --- incoming ----------------------------------------------------------------------------------------------------

    def _receive(self, buffer: bytes, caller: str) -> None:
        envelope = wire.open_goal(buffer)
        if not envelope.goal_id:  # a goal published by hand (rostopic pub) has no id: actionlib makes one up, too
            envelope = envelope._replace(goal_id=f"{caller}-{time.time_ns()}")
        goal = Goal(self, envelope, buffer, caller)
        with self._lock:
            if envelope.goal_id in self._goals:
                return  # the same goal twice, as actionlib: the first one counts
            self._goals[envelope.goal_id] = goal
            goal.cancelled = envelope.goal_id in self._cancelled_early  # a cancel may overtake its goal
        self._on_goal(goal)

    def _receive_cancel(self, request: GoalID) -> None:
        with self._lock:
            goals = [goal for goal in self._goals.values() if _matches(goal, request)]
            if request.id and not goals and request.id not in self._finished:
                self._cancelled_early[request.id] = None
                _trim(self._cancelled_early)
        for goal in goals:
            goal.cancelled = True
            self._on_cancel(goal)

    # --- outgoing ----------------------------------------------------------------------------------------------------

    def publish_result(self, goal: Goal, body: bytes) -> None:
        self._result.send(wire.wrap_result(goal.envelope, goal.status, goal.text, time.time(), body))
        with self._lock:
            self._goals.pop(goal.envelope.goal_id, None)
            self._finished[goal.envelope.goal_id] = goal
            _trim(self._finished)
        goal.buffer = b""

    def publish_feedback(self, goal: Goal, body: bytes) -> None:
        self._feedback.send(wire.wrap_result(goal.envelope, goal.status, goal.text, time.time(), body))

    def hears(self, caller: str) -> bool:
        return self._inlet.hears(caller)

    def unread_feedback(self, goal: Goal) -> int:
        return self._feedback.unread(goal.caller)

    def publish_status(self) -> None:
        """Tell the status of every goal under way and of those lately finished."""
        old = time.monotonic() - STATUS_KEPT
        with self._lock:
            for goal_id in [i for i, goal in self._finished.items() if goal.received < old]:
                del self._finished[goal_id]
            goals = [*self._finished.values(), *self._goals.values()]
        self._status.publish(GoalStatusArray(Header(stamp=rospy.Time.now()), [goal.as_status() for goal in goals]))


def _matches(goal: Goal, request: GoalID) -> bool:
    """actionlib's rule: an id names one goal, a stamp all goals up to it, neither all of them."""
    stamp = (request.stamp.secs, request.stamp.nsecs)
    if request.id:
        return goal.envelope.goal_id == request.id or (stamp != (0, 0) and goal.envelope.stamp <= stamp)
    return stamp == (0, 0) or goal.envelope.stamp <= stamp


def _trim(kept: OrderedDict[str, Any]) -> None:
    while len(kept) > GOALS_KEPT:
        kept.popitem(last=False)
