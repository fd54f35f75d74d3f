"""Commands: what is refused, with which words, and what is clamped."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from rospy import Duration
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from uniros_env_server.driver.command import Joints, Refused, check_age
from uniros_env_server.driver.config import load_setup

SETUP = load_setup()
ARM = Joints(SETUP.arm, SETUP.lower[:5], SETUP.upper[:5], {}, SETUP.linkage)
FINGERS = {"left_finger": 1.0, "right_finger": -1.0}
GRIPPER = Joints(SETUP.axes[5:], SETUP.lower[5:], SETUP.upper[5:], FINGERS, SETUP.linkage)
HELD = np.array([0.1, 0.2, 0.3, 0.4, 0.5])


def message(names: tuple[str, ...] | list[str], *points: dict[str, Any]) -> JointTrajectory:
    made = JointTrajectory(joint_names=list(names))
    for number, point in enumerate(points):
        time = Duration.from_sec(point.pop("time", 1.0 + number))
        made.points.append(JointTrajectoryPoint(time_from_start=time, **point))
    return made


def test_joints_are_mapped_by_name_and_those_left_out_stay() -> None:
    command = ARM.read(message(["elbow", "waist"], {"positions": [1.0, -1.0]}), HELD)
    assert command.points is not None
    assert command.points.positions.tolist() == [[-1.0, 0.2, 1.0, 0.4, 0.5]]
    command = ARM.read(message(["elbow"], {"positions": [1.0], "velocities": [0.5]}), HELD)
    assert command.points is not None and command.points.velocities is not None
    assert command.points.velocities.tolist() == [[0, 0, 0.5, 0, 0]]


def test_no_points_mean_stop() -> None:
    assert ARM.read(message(SETUP.arm), HELD).points is None


@pytest.mark.parametrize(("names", "points", "words"), [
    (["waist", "wheel"], [{"positions": [0, 0]}], "no joint wheel here; known are waist, shoulder"),
    (["gripper"], [{"positions": [0]}], "no joint gripper"),
    ([], [{"positions": []}], "no joint is named"),
    (["waist", "waist"], [{"positions": [0, 0]}], "named twice"),
    (["waist"], [{"positions": [0, 0]}], "must have 1 numbers in every point, .* it has 2"),
    (["waist"], [{"positions": [0]}, {"positions": []}], "it has 0, 1"),
    (["waist"], [{"positions": []}], "positions are needed"),
    (["waist"], [{"positions": [0], "velocities": [0]}, {"positions": [1]}], "velocities must have 1"),
    (["waist"], [{"positions": [0], "velocities": [0, 0]}], "velocities must have 1"),
    (["waist"], [{"positions": [0], "velocities": [0], "accelerations": [0, 0]}], "accelerations must have 1"),
    (["waist"], [{"positions": [math.nan]}], "positions must be finite, they hold nan"),
    (["waist"], [{"positions": [math.inf]}], "must be finite"),
    (["waist"], [{"positions": [0], "velocities": [math.nan]}], "velocities must be finite"),
    (["waist"], [{"positions": [0], "time": 1.0}, {"positions": [0], "time": 1.0}], "increase from point to point"),
    (["waist"], [{"positions": [0], "time": 2.0}, {"positions": [0], "time": 1.0}], "increase from point to point"),
    (["waist"], [{"positions": [0], "time": -1.0}], "must be positive"),
    (["waist"], [{"positions": [0], "time": t / 100} for t in range(1, 1002)], "1001 points, .* at most 1000"),
])
def test_malformed_commands_are_refused_in_words(names: list[str], points: list[dict], words: str) -> None:
    with pytest.raises(Refused, match=words):
        ARM.read(message(names, *[dict(point) for point in points]), HELD)


def test_what_is_beyond_the_limits_is_clamped_and_said() -> None:
    command = ARM.read(message(["shoulder"], {"positions": [9.0]}), HELD)
    assert command.points is not None
    assert command.points.positions[0, 1] == SETUP.upper[1]
    assert command.clamped == (f"shoulder by {9 - SETUP.upper[1]:.3f} rad",)
    assert ARM.read(message(["shoulder"], {"positions": [1.0]}), HELD).clamped == ()


def test_a_first_point_at_time_zero_is_where_the_sender_thinks_the_arm_is() -> None:
    command = ARM.read(message(["waist"], {"positions": [3.0], "time": 0.0}, {"positions": [1.0], "time": 1.0}), HELD)
    assert command.points is not None
    assert command.points.positions[:, 0].tolist() == [1.0]
    command = ARM.read(message(["waist"], {"positions": [0.5], "time": 0.0}), HELD)  # as fast as it may
    assert command.points is not None
    assert 0 < command.points.times[0] <= 1e-3


def test_fingers_are_commanded_in_metres_or_as_the_horn() -> None:
    held = np.array([0.0])
    for names, positions in ((["left_finger"], [0.03]), (["right_finger"], [-0.03]),
                             (["right_finger", "left_finger"], [-0.03, 0.03])):
        command = GRIPPER.read(message(names, {"positions": positions}), held)
        assert command.points is not None
        assert SETUP.linkage.opening(command.points.positions[0, 0]) == pytest.approx(0.03)
    command = GRIPPER.read(message(["gripper"], {"positions": [0.4]}), held)
    assert command.points is not None
    assert command.points.positions.tolist() == [[0.4]]
    assert GRIPPER.read(message(["left_finger"], {"positions": [0.05]}), held).clamped
    with pytest.raises(Refused, match="mirror"):
        GRIPPER.read(message(["left_finger", "right_finger"], {"positions": [0.03, -0.02]}), held)
    with pytest.raises(Refused, match="not both"):
        GRIPPER.read(message(["left_finger", "gripper"], {"positions": [0.03, 0.3]}), held)


def test_old_commands_are_refused() -> None:
    check_age(0.0, 1000.0, 1.0)
    check_age(999.5, 1000.0, 1.0)
    for stamp, word in ((990.0, "ago"), (1010.0, "ahead")):
        with pytest.raises(Refused, match=word) as caught:
            check_age(stamp, 1000.0, 1.0)
        assert caught.value.kind == "OLD_HEADER_TIMESTAMP"
