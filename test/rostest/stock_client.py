#!/usr/bin/env python3
"""actionlib's own client and ROS' own tools drive an env server."""

from __future__ import annotations

import subprocess
import time
import unittest

import actionlib
import numpy as np
import rospy
import rostest
from actionlib_msgs.msg import GoalStatus

from uniros_msgs import codec
from uniros_msgs.msg import Data, ResetAction, ResetGoal, StepAction, StepGoal
from uniros_msgs.srv import Acquire, Describe, Release

WAIT = rospy.Duration(10)


def client(name: str, action: type) -> actionlib.SimpleActionClient:
    found = actionlib.SimpleActionClient(name, action)
    assert found.wait_for_server(WAIT), f"no action server at {name}"
    return found


def ask(found: actionlib.SimpleActionClient, goal: object) -> tuple[int, object]:
    found.send_goal(goal)
    assert found.wait_for_result(WAIT)
    return found.get_state(), found.get_result()


class StockClient(unittest.TestCase):
    def setUp(self) -> None:
        rospy.wait_for_service("/pole/env/describe", 20)
        self.reset, self.step = client("/pole/env/reset", ResetAction), client("/pole/env/step", StepAction)

    def test_an_episode_without_numbers_or_lease(self) -> None:
        state, result = ask(self.reset, ResetGoal(seed=[3]))
        self.assertEqual((state, result.error.kind), (GoalStatus.SUCCEEDED, ""))
        self.assertEqual(codec.decode(result.observation).shape, (4,))
        for number in range(1, 6):
            state, result = ask(self.step, StepGoal(action=Data(i64=[1])))  # as a person types it: no layout
            self.assertEqual((state, result.step, list(result.reward)), (GoalStatus.SUCCEEDED, number, [1.0]))

    def test_refusals_are_rejected_goals_with_a_reason(self) -> None:
        ask(self.reset, ResetGoal())
        state, result = ask(self.step, StepGoal(action=codec.encode(7)))
        self.assertEqual((state, result.error.kind), (GoalStatus.REJECTED, "InvalidAction"))
        state, result = ask(self.step, StepGoal(action=codec.encode(np.zeros(3))))
        self.assertEqual((state, result.error.kind), (GoalStatus.REJECTED, "InvalidAction"))
        state, result = ask(self.step, StepGoal(step=9, action=codec.encode(1)))
        self.assertEqual((state, result.error.kind), (GoalStatus.REJECTED, "StaleStep"))

    def test_a_holder_keeps_the_stock_client_out(self) -> None:
        acquire, release = (
            rospy.ServiceProxy("/pole/env/acquire", Acquire),
            rospy.ServiceProxy("/pole/env/release", Release),
        )
        token = acquire(holder="a test", token="", expiry=5.0).token
        state, result = ask(self.reset, ResetGoal())
        self.assertEqual((state, result.error.kind), (GoalStatus.REJECTED, "LeaseHeld"))
        self.assertIn("a test", result.error.message)
        self.assertEqual(rospy.ServiceProxy("/pole/env/describe", Describe)().holder, "a test")
        release(token)
        self.assertEqual(ask(self.reset, ResetGoal())[0], GoalStatus.SUCCEEDED)

    def test_a_waiting_goal_can_be_cancelled(self) -> None:
        reset, step = client("/slow/env/reset", ResetAction), client("/slow/env/step", StepAction)
        ask(reset, ResetGoal())
        second = actionlib.ActionClient("/slow/env/step", StepAction)
        second.wait_for_server(WAIT)
        step.send_goal(StepGoal(action=codec.encode(2)))  # takes 1.5 s
        rospy.sleep(0.3)
        waiting = second.send_goal(StepGoal(action=codec.encode(0)))
        rospy.sleep(0.3)
        self.assertEqual(step.get_state(), GoalStatus.ACTIVE)
        waiting.cancel()
        self.assertTrue(step.wait_for_result(WAIT))
        deadline = time.monotonic() + 5
        while waiting.get_terminal_state() != GoalStatus.RECALLED and time.monotonic() < deadline:
            rospy.sleep(0.05)
        self.assertEqual(waiting.get_terminal_state(), GoalStatus.RECALLED)
        self.assertEqual(ask(step, StepGoal(action=codec.encode(0)))[1].step, 2)  # the cancelled one was not applied

    def test_describe_and_tools_tell_what_is_served(self) -> None:
        answer = rospy.ServiceProxy("/pole/env/describe", Describe)()
        self.assertEqual((answer.env_id, answer.mode), ("CartPole-v1", "plain"))
        shown = subprocess.run(
            ["rosmsg", "show", "uniros_msgs/StepGoal"], capture_output=True, text=True, check=True
        ).stdout
        self.assertIn("uint32 episode", shown)
        shown = subprocess.run(
            ["rosservice", "call", "/pole/env/describe"], capture_output=True, text=True, check=True
        ).stdout
        self.assertIn("CartPole-v1", shown)


if __name__ == "__main__":
    rospy.init_node("stock_client_test")
    rostest.rosrun("uniros", "stock_client", StockClient)
