"""What a person sees of a robot: joint states and the goal, published beside the server from its latest snapshot.

The thread only reads an immutable snapshot, so it can neither delay nor disturb a step, however fast the physics runs.
"""

from __future__ import annotations

import math
import time
from typing import Any

import rospy
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from sensor_msgs.msg import JointState
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from uniros_env_server.serving.periodic import every

PERIOD = 1 / 30  # s
GOAL_COLOUR = ColorRGBA(0.1, 0.8, 0.2, 0.7)


class View:
    """Publishes `goal_marker` of one arm, in its namespace, at 30 Hz, and `joint_states` where no driver does."""

    def __init__(self, env: Any, frame: str = "rx200/base_link"):
        self._env = env
        self._frame = frame
        self._states = None if env.has_driver else rospy.Publisher("joint_states", JointState, queue_size=1)
        self._marker = rospy.Publisher("goal_marker", Marker, queue_size=1)

    def start(self) -> None:
        every(PERIOD, self._publish, "view")

    def _publish(self) -> None:
        snapshot = self._env.snapshot()
        state = snapshot.state
        if self._states is not None:
            # In lock-step the arm stands still between two steps: what was measured then holds now, and who comes later
            # (rviz, tf) shall see it, too.
            stamp = time.time() if self._env.mode == "lock_step" else state.wall
            self._states.publish(
                JointState(
                    Header(stamp=rospy.Time.from_sec(stamp)),
                    state.names,
                    state.position[0].tolist(),
                    state.velocity[0].tolist(),
                    state.effort[0].tolist(),
                )
            )
        if not math.isnan(snapshot.goal[0]):  # there is none before the first reset
            self._marker.publish(self._sphere(snapshot.goal))

    def _sphere(self, goal: Any) -> Marker:
        diameter = 2 * self._env.task.tolerance
        return Marker(
            header=Header(stamp=rospy.Time.now(), frame_id=self._frame),
            ns="goal",
            id=0,
            type=Marker.SPHERE,
            action=Marker.ADD,
            pose=Pose(Point(*map(float, goal)), Quaternion(0, 0, 0, 1)),
            scale=Vector3(diameter, diameter, diameter),
            color=GOAL_COLOUR,
        )
