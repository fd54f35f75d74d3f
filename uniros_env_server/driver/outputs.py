"""What the driver publishes from its loop: joint_states, the controllers' states, its own state."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import rospy
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from uniros_env_server.driver import control_types
from uniros_env_server.driver.arm import Measurement
from uniros_env_server.driver.config import Setup
from uniros_env_server.driver.core import Snapshot

STATE_EVERY = 2  # cycles between two controller states
QUEUE = 10  # messages; a slow subscriber loses the oldest, and holds nobody up


def ros_time(monotonic: float) -> rospy.Time:
    """A moment of the monotonic clock (s) on ROS's clock."""
    return rospy.Time.from_sec(max(0.0, rospy.get_time() - (time.monotonic() - monotonic)))


class Fingers:
    """From the axes to the published joints: the fingers follow from the gripper's horn."""

    def __init__(self, setup: Setup) -> None:
        self._linkage = setup.linkage
        known = [*setup.axes, "left_finger", "right_finger"]
        self._order = [known.index(name) for name in setup.published]

    def position(self, angles: np.ndarray) -> np.ndarray:
        """(joints,) rad and m."""
        opening = self._linkage.opening(angles[-1])
        return np.concatenate([angles, [opening, -opening]])[self._order]

    def velocity(self, angles: np.ndarray, velocities: np.ndarray) -> np.ndarray:
        """(joints,) rad/s and m/s."""
        rate = self._linkage.rate(angles[-1]) * velocities[-1]
        return np.concatenate([velocities, [rate, -rate]])[self._order]

    def effort(self, angles: np.ndarray, efforts: np.ndarray) -> np.ndarray:
        """(joints,) Nm and N: the horn's torque goes to both fingers alike."""
        force = efforts[-1] / (2 * self._linkage.rate(angles[-1]))
        return np.concatenate([efforts, [force, -force]])[self._order]


class Outputs:
    """The publishers. Everything here is called from the loop's thread and must not block."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._fingers = setup, Fingers(setup)
        kind = control_types.control_types()[control_types.STATE]
        self._joints = rospy.Publisher("joint_states", JointState, queue_size=QUEUE, tcp_nodelay=True)
        arm = len(setup.arm)
        self._controllers = [
            (rospy.Publisher(f"{name}/state", kind, queue_size=QUEUE, tcp_nodelay=True), axes)
            for name, axes in (("arm_controller", slice(0, arm)), ("gripper_controller", slice(arm, None)))]
        self._state = rospy.Publisher("driver/state", String, queue_size=QUEUE, latch=True)
        self._kind, self._said, self._cycle = kind, "", 0

    def measured(self, measurement: Measurement) -> None:
        """joint_states, stamped with the time of the measurement."""
        message = JointState()
        message.header.stamp = ros_time(measurement.stamp)
        message.name = list(self._setup.published)
        angles = measurement.position
        message.position = self._fingers.position(angles).tolist()
        message.velocity = self._fingers.velocity(angles, measurement.velocity).tolist()
        message.effort = self._fingers.effort(angles, measurement.effort).tolist()
        self._publish(self._joints, message)

    def cycle(self, snapshot: Snapshot) -> bool:
        """The controllers' states and, when it has changed, the driver's; whether it has."""
        self._cycle += 1
        if snapshot.measurement and self._cycle % STATE_EVERY == 0:
            for publisher, axes in self._controllers:
                if publisher.get_num_connections():
                    self._publish(publisher, self.controller_state(snapshot, axes))
        changed = snapshot.state.value != self._said
        if changed:
            self._said = snapshot.state.value
            self._publish(self._state, String(self._said))
        return changed

    def controller_state(self, snapshot: Snapshot, axes: slice, kind: Any = None) -> Any:
        """A control_msgs/JointTrajectoryControllerState of some axes, or the action's feedback, which has its fields.

        The gripper's is that of its horn (rad).
        """
        assert snapshot.measurement is not None
        message = (kind or self._kind)()
        message.header.stamp = ros_time(snapshot.measurement.stamp)
        message.joint_names = list(self._setup.axes[axes])
        actual, rates = snapshot.measurement.position[axes], snapshot.measurement.velocity[axes]
        message.desired.positions = snapshot.setpoint[axes].tolist()
        message.desired.velocities = snapshot.velocity[axes].tolist()
        message.actual.positions, message.actual.velocities = actual.tolist(), rates.tolist()
        message.error.positions = (snapshot.setpoint[axes] - actual).tolist()
        message.error.velocities = (snapshot.velocity[axes] - rates).tolist()
        return message

    def _publish(self, publisher: rospy.Publisher, message: Any) -> None:
        try:
            publisher.publish(message)
        except rospy.ROSException:
            if not rospy.is_shutdown():
                raise
