"""Trajectories: exact between their points, within all limits, the same after a journey through ROS."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from trajectory_msgs.msg import JointTrajectory

from uniros_env_server.driver.trajectory import Points, Sample, plan
from uniros_env_server.planning.message import from_message, to_message
from uniros_env_server.planning.settings import Settings
from uniros_env_server.planning.timing import duration, timed
from uniros_env_server.planning.trajectory import Trajectory
from uniros_env_server.robots.model import load_model
from uniros_msgs.errors import MalformedData

MODEL = load_model("rx200")
BOUNDS = Settings.load("rx200").bounds(MODEL)


def corners(seed: int, count: int = 4, size: float = 1.5) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).uniform(-size, size, (count, len(MODEL.arm))))


@pytest.mark.parametrize("size", [3.0, 0.3, 0.03, 0.001, 1e-6])
def test_speed_acceleration_and_jerk_stay_within_their_limits_and_one_is_reached(size: float) -> None:
    """Long ways reach full speed, shorter ones full acceleration, the shortest only full jerk."""
    for seed in range(20):
        trajectory = timed(MODEL.arm, corners(seed, size=size), BOUNDS)
        times = np.linspace(0, trajectory.duration, 20_001)
        step = times[1]
        velocity = trajectory.at(times)[1]
        acceleration = np.diff(velocity, axis=0) / step
        jerk = np.diff(acceleration, axis=0) / step
        used = [(np.abs(values).max(axis=0) / bound).max()
                for values, bound in zip((velocity, acceleration, jerk), BOUNDS, strict=True)]
        assert used[0] <= 1 + 1e-9 and used[1] <= 1 + 1e-6 and used[2] <= 1 + 1e-3
        assert max(used) > 0.99
        assert {3.0: used[0], 0.3: used[1]}.get(size, used[2]) > 0.99


def test_it_is_at_rest_in_every_corner_and_straight_in_between() -> None:
    way = corners(1)
    trajectory = timed(MODEL.arm, way, BOUNDS)
    arrivals = np.cumsum([0.0] + [duration(one, other, BOUNDS) for one, other in pairwise(way)])
    positions, velocities = trajectory.at(arrivals)
    np.testing.assert_allclose(positions, way, atol=1e-9)
    np.testing.assert_allclose(velocities, 0, atol=1e-9)
    assert trajectory.duration == pytest.approx(arrivals[-1])
    between = trajectory.at(np.linspace(arrivals[1], arrivals[2], 50))[0] - way[1]
    direction = (way[2] - way[1]) / np.linalg.norm(way[2] - way[1])
    np.testing.assert_allclose(between - (between @ direction)[:, None] * direction, 0, atol=1e-9)
    assert (np.diff(between @ direction) >= 0).all()


def test_velocities_are_those_of_the_positions() -> None:
    trajectory = timed(MODEL.arm, corners(2), BOUNDS)
    times = np.linspace(0.001, trajectory.duration - 0.001, 500)
    slope = (trajectory.at(times + 1e-5)[0] - trajectory.at(times - 1e-5)[0]) / 2e-5
    np.testing.assert_allclose(trajectory.at(times)[1], slope, atol=1e-4)


def test_before_and_after_it_the_arm_rests() -> None:
    trajectory = timed(MODEL.arm, corners(3), BOUNDS)
    for time, row in ((-1.0, 0), (trajectory.duration + 1.0, -1)):
        position, velocity = trajectory.at(time)
        assert np.array_equal(position, trajectory.positions[row]) and not velocity.any()


def test_staying_is_a_trajectory_of_one_point() -> None:
    q = corners(4)[0]
    trajectory = timed(MODEL.arm, [q, q.copy()], BOUNDS)
    assert trajectory.duration == 0 and np.array_equal(trajectory.at([0.0, 0.1])[0], [q, q])
    assert duration(q, q, BOUNDS) == 0
    assert len(to_message(trajectory).points) == 1


def test_slower_is_the_same_way_later() -> None:
    trajectory = timed(MODEL.arm, corners(5), BOUNDS)
    slow = trajectory.slower(2.5)
    np.testing.assert_allclose(slow.at(2.5)[0], trajectory.at(1.0)[0])
    np.testing.assert_allclose(slow.at(2.5)[1], trajectory.at(1.0)[1] / 2.5)


def test_it_cannot_be_changed_and_must_fit() -> None:
    trajectory = timed(MODEL.arm, corners(6), BOUNDS)
    with pytest.raises(ValueError, match="read-only"):
        trajectory.positions[0] = 0
    one = np.zeros((2, 5))
    for times, positions, message in (
        (np.array([0.0, 0.0]), one, "increase from 0"),
        (np.array([0.1, 0.2]), one, "increase from 0"),
        (np.array([0.0, 1.0]), np.zeros((2, 4)), r"of shape \(2, 5\)"),
        (np.array([0.0, 1.0]), one * np.nan, "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            Trajectory(MODEL.arm, times, positions, one)


def test_it_survives_the_wire_and_the_driver_follows_it_exactly() -> None:
    trajectory = timed(MODEL.arm, corners(7), BOUNDS)
    buffer = io.BytesIO()
    to_message(trajectory).serialize(buffer)
    message = JointTrajectory().deserialize(buffer.getvalue())
    points = Points(np.array([point.time_from_start.to_sec() for point in message.points]),
                    np.array([point.positions for point in message.points]),
                    np.array([point.velocities for point in message.points]))
    path, slowed = plan(points, Sample.rest(trajectory.positions[0]), np.full(5, 1.5))
    assert slowed == 1.0
    for time in np.linspace(0, trajectory.duration, 300):
        np.testing.assert_allclose(path.at(time).position, trajectory.at(time)[0], atol=1e-6)


def test_messages_are_read_by_joint_name() -> None:
    trajectory = timed(MODEL.arm, corners(8), BOUNDS)
    message = to_message(trajectory)
    order = [3, 1, 4, 0, 2]
    message.joint_names = [*(message.joint_names[k] for k in order), "gripper"]
    for point in message.points:
        point.positions = [*(point.positions[k] for k in order), 9.0]
        point.velocities = [*(point.velocities[k] for k in order), 9.0]
    read = from_message(message, MODEL.arm)
    np.testing.assert_allclose(read.positions, trajectory.positions[1:])
    np.testing.assert_allclose(read.times, trajectory.times[1:] - trajectory.times[1], atol=1e-8)


def test_messages_that_are_no_trajectory_are_refused() -> None:
    message = to_message(timed(MODEL.arm, corners(9), BOUNDS))
    with pytest.raises(MalformedData, match=r"no joint thumb; it has waist"):
        from_message(message, (*MODEL.arm, "thumb"))
    message.points[1].velocities = []
    with pytest.raises(MalformedData, match="5 positions and velocities"):
        from_message(message, MODEL.arm)
    message.points = message.points[2:3] * 2
    with pytest.raises(MalformedData, match="increase"):
        from_message(message, MODEL.arm)
    message.points = []
    with pytest.raises(MalformedData, match="one at least"):
        from_message(message, MODEL.arm)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"speed_share": 1.2}, "speed_share"), ({"jerk": 0.0}, "jerk"), ({"command_period": 0.0}, "command_period")],
)
def test_settings_that_make_no_sense_are_refused(change: dict, message: str) -> None:
    good = {"speed_share": 0.3, "acceleration": 5.0, "jerk": 50.0, "spare": 0.002, "command_period": 0.1}
    with pytest.raises(ValueError, match=message):
        Settings(**good | change, move_group="arm")
