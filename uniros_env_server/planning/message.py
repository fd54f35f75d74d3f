"""Trajectories as trajectory_msgs/JointTrajectory, and back."""

from __future__ import annotations

import numpy as np
from genpy import Duration
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from uniros_env_server.planning.trajectory import Trajectory
from uniros_msgs.errors import MalformedData


def to_message(trajectory: Trajectory) -> JointTrajectory:
    """A message without a stamp: to be followed from when it arrives. Where the arm starts from is left out of it."""
    message = JointTrajectory(joint_names=list(trajectory.joints))
    rows = slice(1, None) if len(trajectory.times) > 1 else slice(None)
    for time, position, velocity in zip(trajectory.times[rows], trajectory.positions[rows], trajectory.velocities[rows],
                                        strict=True):
        message.points.append(JointTrajectoryPoint(positions=position.tolist(), velocities=velocity.tolist(),
                                                   time_from_start=Duration.from_sec(time)))
    return message


def from_message(message: JointTrajectory, joints: tuple[str, ...]) -> Trajectory:
    """The trajectory of the joints named, by name. Its first point is its start.

    Raises MalformedData when joints, points or velocities are missing or do not fit together.
    """
    missing = [name for name in joints if name not in message.joint_names]
    if missing:
        raise MalformedData(f"the trajectory has no joint {', '.join(missing)}; "
                            f"it has {', '.join(message.joint_names)}")
    columns = [message.joint_names.index(name) for name in joints]
    size = len(message.joint_names)
    if not message.points or any(len(point.positions) != size or len(point.velocities) != size
                                 for point in message.points):
        raise MalformedData(f"every point of the trajectory must have {size} positions and velocities, and there must "
                            "be one at least")
    times = np.array([point.time_from_start.to_sec() for point in message.points])
    positions = np.array([point.positions for point in message.points], dtype=float)[:, columns]
    velocities = np.array([point.velocities for point in message.points], dtype=float)[:, columns]
    try:
        return Trajectory(joints, times - times[0], positions, velocities)
    except ValueError as error:
        raise MalformedData(f"not a trajectory: {error}") from error
