#!/usr/bin/env python3
"""The simulated arm on the graph, as sim.launch brings it up."""

from __future__ import annotations

import unittest

import actionlib
import numpy as np
import rospy
import rostest
import tf2_ros
from actionlib_msgs.msg import GoalStatus
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from uniros_env_server.robots.kinematics import Kinematics
from uniros_msgs import codec
from uniros_msgs.msg import ResetAction, ResetGoal, StepAction, StepGoal
from uniros_msgs.srv import Describe

WAIT = rospy.Duration(10)
ORDER = ["waist", "shoulder", "elbow", "wrist_angle", "wrist_rotate", "gripper", "left_finger", "right_finger"]


class Sim(unittest.TestCase):
    def setUp(self) -> None:
        rospy.wait_for_service("/rx200/env/describe", 20)
        self.reset = actionlib.SimpleActionClient("/rx200/env/reset", ResetAction)
        self.step = actionlib.SimpleActionClient("/rx200/env/step", StepAction)
        for client in (self.reset, self.step):
            self.assertTrue(client.wait_for_server(WAIT))
        self.assertEqual(self.reset.send_goal_and_wait(ResetGoal(seed=[1])), GoalStatus.SUCCEEDED)

    def act(self, *action: float) -> dict:
        goal = StepGoal(action=codec.encode(np.array(action, np.float32)))
        self.assertEqual(self.step.send_goal_and_wait(goal), GoalStatus.SUCCEEDED)
        return codec.decode(self.step.get_result().info)

    def test_joint_states_and_tf_agree_with_the_kinematics(self) -> None:
        self.act(0.5, 0.2, -0.2, 0.1, 0.3)
        listener = tf2_ros.Buffer()
        tf2_ros.TransformListener(listener)
        rospy.sleep(1.0)  # the arm rests: lock-step
        state = rospy.wait_for_message("/rx200/joint_states", JointState, 5)
        self.assertEqual(state.name, ORDER)
        tool = listener.lookup_transform("rx200/base_link", "rx200/ee_gripper_link", rospy.Time(0), WAIT)
        at = tool.transform.translation
        expected = Kinematics("rx200").position(dict(zip(state.name, state.position, strict=True)))[0]
        np.testing.assert_allclose([at.x, at.y, at.z], expected, atol=1e-4)

    def test_the_goal_is_marked_where_the_observation_says(self) -> None:
        codec.decode(self.reset.get_result().observation)
        info = self.act(0, 0, 0, 0, 0)
        marker = rospy.wait_for_message("/rx200/goal_marker", Marker, 5)
        state = rospy.wait_for_message("/rx200/joint_states", JointState, 5)
        tool = Kinematics("rx200").position(dict(zip(state.name, state.position, strict=True)))[0]
        goal = np.array([marker.pose.position.x, marker.pose.position.y, marker.pose.position.z])
        self.assertAlmostEqual(float(np.linalg.norm(goal - tool)), info["distance"], places=4)
        self.assertEqual(marker.header.frame_id, "rx200/base_link")

    def test_the_emergency_stop_holds_the_arm_until_it_is_cleared(self) -> None:
        self.assertTrue(rospy.ServiceProxy("/rx200/env/estop", Trigger)().success)
        before = rospy.wait_for_message("/rx200/joint_states", JointState, 5).position
        self.assertEqual(self.act(1, 0, 0, 0, 0)["refusal"], "estop")
        after = rospy.wait_for_message("/rx200/joint_states", JointState, 5).position
        np.testing.assert_allclose(after, before, atol=0.01)
        self.assertTrue(rospy.ServiceProxy("/rx200/env/clear_estop", Trigger)().success)
        self.assertEqual(self.act(1, 0, 0, 0, 0)["refusal"], "")

    def test_describe_tells_limits_without_moving_anything(self) -> None:
        answer = rospy.ServiceProxy("/rx200/env/describe", Describe)()
        self.assertEqual((answer.mode, answer.cycle_time), ("lock_step", 0.1))
        self.assertIn("waist", answer.limits)
        self.assertIn("reach", answer.task)


if __name__ == "__main__":
    rospy.init_node("sim_test")
    rostest.rosrun("uniros", "sim", Sim)
