"""The newest sound measurement on a joint_states topic, who publishes it, and when the next one is due."""

from __future__ import annotations

import time

import rosgraph
import rospy
from sensor_msgs.msg import JointState

from uniros_bringup.xmlrpc import CallFailed, call
from uniros_env_server.robots.clock_map import ClockMap, is_ours
from uniros_env_server.robots.joint_states import Reader, Sample, Unsound
from uniros_env_server.robots.model import RobotModel

PINGS = 5  # round trips to a driver on another machine, of which the quickest counts
SMOOTHING = 0.05  # of the running means of phase and period
GUARD = 1e-3  # s behind the expected arrival of a sample at which it can be relied on
MOST_PERIOD = 0.2  # s, a longer pause between two samples is none of the topic's rhythm


class Measurements:
    """The topic's thread writes, the control loop reads; nobody waits for anybody."""

    def __init__(self, topic: str, model: RobotModel) -> None:
        self.newest: Sample | None = None
        self.unsound = ""  # why the latest message was no measurement; empty when it was one
        self.clock = ClockMap()
        self.period = 0.01  # s, between two samples
        self._beat = 0.0  # s, monotonic, when the newest sample came, but for the jitter
        self._reader = Reader(model)
        self._sender = ""
        self._subscriber = rospy.Subscriber(topic, JointState, self._receive, queue_size=1, tcp_nodelay=True)

    @property
    def topic(self) -> str:
        """The topic's full name."""
        return str(self._subscriber.resolved_name)

    @property
    def publishers(self) -> int:
        """How many nodes publish it."""
        return int(self._subscriber.get_num_connections())

    def next_arrival(self, after: float) -> float:
        """The first monotonic moment (s) from `after` on at which a new sample will just have come."""
        return after + (self._beat + GUARD - after) % self.period

    def close(self) -> None:
        """Listen no more."""
        self._subscriber.unregister()

    def _receive(self, message: JointState) -> None:
        arrived = time.monotonic()
        before = self.newest
        try:
            self._know(message._connection_header.get("callerid", ""))
            sample = self._reader.read(message, self.clock, before, arrived)
        except Unsound as error:
            self.unsound = str(error)
            return
        if before:
            self._follow_rhythm(sample.stamp - before.stamp, arrived)
        self.newest, self.unsound = sample, ""

    def _follow_rhythm(self, period: float, arrived: float) -> None:
        """Phase and period without the jitter of single samples, so that a grid can be laid on them."""
        if 0 < period < MOST_PERIOD:
            self.period += SMOOTHING * (period - self.period)
        expected = self._beat + round((arrived - self._beat) / self.period) * self.period
        self._beat = expected + SMOOTHING * (arrived - expected)

    def _know(self, sender: str) -> None:
        """Find out whether a new publisher's clock is ours and, if not, how long the way to it is. Raises Unsound."""
        if sender == self._sender:
            return
        if self._sender and self.publishers > 1:
            raise Unsound(f"two nodes publish them, {self._sender} and {sender}: stop one of them")
        try:
            uri = call(rosgraph.get_master_uri(), "lookupNode", sender)
            local = is_ours(uri)
            self.clock.follow(local, 0.0 if local else min(_round_trip(uri) for _ in range(PINGS)) / 2)
        except CallFailed as error:
            raise Unsound(f"{sender}, which publishes them, does not answer: {error}") from error
        self._sender = sender


def _round_trip(uri: str) -> float:
    """s that a question to a node and its answer take. Raises CallFailed."""
    begun = time.monotonic()
    call(uri, "getPid")
    return time.monotonic() - begun
