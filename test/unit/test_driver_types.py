"""control_msgs' types made at run time are those of the real package, down to the checksum."""

from __future__ import annotations

import io

from uniros_env_server.driver.control_types import ACTION, STATE, control_types

PUBLISHED = {  # as control_msgs 1.5 has them
    ACTION: "bc4f9b743838566551c0390c65f1a248",
    "control_msgs/FollowJointTrajectoryGoal": "69636787b6ecbde4d61d711979bc7ecb",
    "control_msgs/FollowJointTrajectoryResult": "493383b18409bfb604b4e26c676401d2",
    "control_msgs/FollowJointTrajectoryActionResult": "c4fb3b000dc9da4fd99699380efcc5d9",
    "control_msgs/FollowJointTrajectoryFeedback": "10817c60c2486ef6b33e97dcd87f4474",
    "control_msgs/FollowJointTrajectoryActionFeedback": "d8920dc4eae9fc107e00999cce4be641",
    STATE: "10817c60c2486ef6b33e97dcd87f4474",
}


def test_names_and_checksums_are_the_published_ones() -> None:
    types = control_types()
    for name, checksum in PUBLISHED.items():
        assert types[name]._type == name
        assert types[name]._md5sum == checksum


def test_a_goal_survives_the_wire() -> None:
    types = control_types()
    goal = types["control_msgs/FollowJointTrajectoryGoal"]()
    goal.trajectory.joint_names = ["waist"]
    goal.goal_tolerance = [types["control_msgs/JointTolerance"](name="waist", position=0.1)]
    buffer = io.BytesIO()
    goal.serialize(buffer)
    read = types["control_msgs/FollowJointTrajectoryGoal"]().deserialize(buffer.getvalue())
    assert read.trajectory.joint_names == ["waist"]
    assert read.goal_tolerance[0].position == 0.1
