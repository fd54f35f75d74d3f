"""The hand-written wire format is what genpy writes, byte for byte."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import rospy
from actionlib_msgs.msg import GoalID, GoalStatus
from exact import assert_same
from std_msgs.msg import Header

from uniros_msgs import codec, wire
from uniros_msgs.msg import (
    Error,
    ResetActionResult,
    ResetResult,
    Stamps,
    StepActionGoal,
    StepActionResult,
    StepGoal,
    StepResult,
)

OBSERVATION = np.arange(28, dtype=np.float32)
INFO = {"is_success": False, "distance": 0.25, "array": np.arange(3)}
STAMPS = wire.Stamps(1.5, 2.25, 0.125, 7)
ROS_STAMPS = Stamps(rospy.Time(1, 500_000_000), rospy.Time(2, 250_000_000), 0.125, 7)


def genpy(message: Any) -> bytes:
    buffer = BytesIO()
    message.serialize(buffer)
    return buffer.getvalue()


def test_a_step_goal_is_genpys() -> None:
    action = np.linspace(-1, 1, 5, dtype=np.float32)
    stamp = rospy.Time(1000, 250_000_000)
    expected = StepActionGoal(Header(0, stamp, ""), GoalID(stamp, "me-1"), StepGoal("abc", 3, 4, codec.encode(action)))
    body = wire.pack_step_goal("abc", 3, 4, action)
    assert wire.wrap_goal(b"me-1", 1000.25, body) == genpy(expected)
    assert wire.unpack_step_goal(body)[:3] == ("abc", 3, 4)


def test_a_step_result_is_genpys() -> None:
    reply = wire.StepReply(wire.OK, 3, 4, OBSERVATION, -0.5, False, True, INFO, STAMPS)
    result = StepResult(
        Error(), 3, 4, codec.encode(OBSERVATION), [-0.5], [False], [True], "", codec.encode(INFO), ROS_STAMPS
    )
    goal = wire.Envelope("me-1", 0, (5, 6), 0)
    status = GoalStatus(GoalID(rospy.Time(5, 6), "me-1"), GoalStatus.SUCCEEDED, "fine")
    expected = StepActionResult(Header(0, rospy.Time(7, 0), ""), status, result)
    buffer = wire.wrap_result(goal, GoalStatus.SUCCEEDED, "fine", 7.0, wire.pack_step_reply(reply))
    assert buffer == genpy(expected)
    envelope = wire.open_result(buffer)
    assert envelope[:3] == ("me-1", GoalStatus.SUCCEEDED, (5, 6))
    assert_same(wire.unpack_step_reply(buffer, envelope.body), reply)


def test_a_reset_result_is_genpys() -> None:
    reply = wire.ResetReply(wire.Failure("ResetNeeded", "why", "where"), 3, None, {}, STAMPS)
    result = ResetResult(Error(*reply.error), 3, codec.encode(None), codec.encode({}), ROS_STAMPS)
    expected = ResetActionResult(
        Header(0, rospy.Time(7, 0), ""), GoalStatus(GoalID(rospy.Time(5, 6), "a"), 5, ""), result
    )
    goal = wire.Envelope("a", 0, (5, 6), 0)
    buffer = wire.wrap_result(goal, 5, "", 7.0, wire.pack_reset_reply(reply))
    assert buffer == genpy(expected)
    assert_same(wire.unpack_reset_reply(buffer, wire.open_result(buffer).body), reply)


@pytest.mark.parametrize("scalars", [
    (1, True, False),
    (np.float32(0.1), np.bool_(True), False),
    (np.float64(-0.0), False, np.bool_(True)),
    (np.arange(4, dtype=np.float32), np.array([True, False, True, False]), np.zeros(4, bool)),
    (np.array(2.5), False, False),
])  # fmt: skip
def test_rewards_and_flags_keep_their_types(scalars: tuple[Any, Any, Any]) -> None:
    reply = wire.StepReply(wire.OK, 1, 1, None, *scalars, {}, STAMPS)
    buffer = wire.pack_step_reply(reply)
    assert_same(wire.unpack_step_reply(buffer), reply)
    message = StepResult().deserialize(buffer)
    assert list(message.reward) == np.atleast_1d(scalars[0]).tolist()
