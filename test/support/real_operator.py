"""The driver's operator, and what a real arm's environment needs besides: set-points, resets, and a driver that lies.

The lies are those of a driver that stamps "now" on whatever it has after a failed read: it relays joint_states to
lied/joint_states, for an env server that listens there.
"""

from __future__ import annotations

import math
import time
from collections import deque
from copy import deepcopy

import rospy
from actionlib_msgs.msg import GoalID
from driver_operator import NS, Hands, main
from sensor_msgs.msg import JointState

from uniros_env_server.driver.control_types import STATE, control_types
from uniros_msgs.msg import ResetActionFeedback


class RealHands(Hands):
    """What a test of the real arm's environment may do."""

    def __init__(self) -> None:
        super().__init__()
        self._setpoints: deque = deque(maxlen=5000)
        self._feedback: deque = deque(maxlen=1000)
        self._lie, self._old = "", JointState()
        self._liar = rospy.Publisher(f"{NS}/lied/joint_states", JointState, queue_size=1, tcp_nodelay=True)
        rospy.Subscriber(f"{NS}/joint_states", JointState, self._relay, tcp_nodelay=True)
        rospy.Subscriber(f"{NS}/arm_controller/state", control_types()[STATE], self._on_setpoint, tcp_nodelay=True)
        rospy.Subscriber(f"{NS}/env/reset/feedback", ResetActionFeedback, self._on_feedback)
        self._cancel = rospy.Publisher(f"{NS}/env/reset/cancel", GoalID, queue_size=1)

    def lie(self, how: str) -> float:
        """Relay from now on: "" the truth, old (values with fresh stamps), or nan. Returns when."""
        self._lie = how
        return time.time()

    def setpoints(self, since: float = 0.0) -> list[tuple[float, list[float]]]:
        """(arrival, the driver's set-point of the arm in rad) since then."""
        with self._lock:
            return [entry for entry in self._setpoints if entry[0] >= since]

    def feedback(self, since: float = 0.0) -> list[tuple[float, float, str]]:
        """(arrival, progress, phase) of resets since then."""
        with self._lock:
            return [entry for entry in self._feedback if entry[0] >= since]

    def cancel_reset(self) -> float:
        """Cancel whatever reset is under way. Returns when."""
        self._cancel.publish(GoalID())
        return time.time()

    def _relay(self, message: JointState) -> None:
        message = deepcopy(message)
        if not self._lie:
            self._old = message
        elif self._lie == "old":
            message.position, message.velocity, message.effort = (
                self._old.position, self._old.velocity, self._old.effort)
        else:
            message.position = [math.nan] * len(message.name)
        self._liar.publish(message)

    def _on_setpoint(self, message: object) -> None:
        with self._lock:
            self._setpoints.append((time.time(), list(message.desired.positions)))  # type: ignore[attr-defined]

    def _on_feedback(self, message: ResetActionFeedback) -> None:
        with self._lock:
            self._feedback.append((time.time(), message.feedback.progress, message.feedback.phase))


if __name__ == "__main__":
    main(RealHands)
