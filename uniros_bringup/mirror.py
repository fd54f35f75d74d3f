"""`rosrun uniros mirror`: shows what is on another ROS master on this one, under a prefix; read-only.

rviz knows one master. So that it can show the real arm beside the simulated one, joint states and goal of the robot's
namespace on the other master are published here as well: /rx200/joint_states as /real/rx200/joint_states, with frames
of the same names below `real/`. On the other master nothing is registered, published, called or set.

Private parameters:
  ~master   address of the other ROS master; empty: the parameter /joint/real_master, for which it waits
  ~robot    namespace of the arm on the other master (default rx200)
  ~prefix   what its names and frames begin with here (default real)
  ~offset   [x, y, z] m, where the base of that arm is drawn, seen from the base of this one (default: the same place)
The model is in `robot_description` of its namespace: the launch file puts it there.
"""

from __future__ import annotations

import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from functools import partial
from typing import Any

import rosgraph
import rospy
import tf2_ros
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from uniros_bringup.eavesdrop import Eavesdropper
from uniros_bringup.xmlrpc import CallFailed, call

TOPICS = {"joint_states": JointState, "goal_marker": Marker}
PERIOD = 1.0  # s between two looks at who publishes over there
LONGEST_PAUSE = 1 / 30  # s; more often no screen shows it
REAL_MASTER = "/joint/real_master"  # set by bringup joint


class Mirror:
    """Publishes what it hears, stamped anew: two computers' clocks differ."""

    def __init__(self, uri: str, robot: str, prefix: str) -> None:
        self._uri, self._prefix = uri, prefix
        self._shown: dict[str, float] = {}  # s, monotonic, of the latest message by topic
        self._publishers, self._ears = {}, {}
        for name, kind in TOPICS.items():
            topic = f"/{robot}/{name}"
            self._publishers[topic] = rospy.Publisher(f"/{prefix}{topic}", kind, queue_size=1)
            self._ears[topic] = Eavesdropper(uri, topic, kind, partial(self._show, topic))

    def look(self) -> bool:
        """Listen to whoever publishes there now; whether the master answers."""
        try:
            publishers = dict(call(self._uri, "getSystemState")[0])
        except CallFailed:
            return False
        for topic, ears in self._ears.items():
            ears.look(publishers.get(topic, ()))
        return True

    def _show(self, topic: str, node: str, message: Any) -> None:
        now = time.monotonic()
        if now - self._shown.get(topic, 0.0) < LONGEST_PAUSE:
            return
        self._shown[topic] = now
        message.header.stamp = rospy.Time.now()
        if message.header.frame_id:
            message.header.frame_id = f"{self._prefix}/{message.header.frame_id}"
        self._publishers[topic].publish(message)


def place(urdf: str, prefix: str, offset: Sequence[float]) -> tf2_ros.StaticTransformBroadcaster:
    """Say where the mirrored arm of this model stands; keep what is returned."""
    root, broadcaster = root_link(urdf), tf2_ros.StaticTransformBroadcaster()
    broadcaster.sendTransform(TransformStamped(
        Header(stamp=rospy.Time.now(), frame_id=root), f"{prefix}/{root}",
        Transform(Vector3(*map(float, offset)), Quaternion(0, 0, 0, 1))))
    return broadcaster


def root_link(urdf: str) -> str:
    """The link that hangs from no joint: a frame has one parent, so nothing else can be put anywhere."""
    robot = ElementTree.fromstring(urdf)
    hanging = {child.get("link") for child in robot.iterfind("joint/child")}
    return next(name for link in robot.iterfind("link") if (name := link.get("name", "")) not in hanging)


def other_master() -> str:
    """The address that was given, or that bringup joint tells; "" when the node is to end before it does."""
    uri = rospy.get_param("~master", "")
    while not uri and not rospy.is_shutdown():
        uri = rospy.get_param(REAL_MASTER, "")
        time.sleep(0.0 if uri else PERIOD)
    return uri


def main() -> int:
    """Entry point; returns the exit code."""
    rospy.init_node("mirror")
    robot, prefix = (rospy.get_param(name, default).strip("/") for name, default in (("~robot", "rx200"),
                                                                                    ("~prefix", "real")))
    uri = other_master()
    if uri.rstrip("/") == rosgraph.get_master_uri().rstrip("/"):
        rospy.logfatal("~master:=%s is the master of this node itself: give the address of the other one", uri)
        return 1
    standing = place(rospy.get_param("robot_description"), prefix, rospy.get_param("~offset", [0.0, 0.0, 0.0]))
    mirror, there = Mirror(uri, robot, prefix), None
    while not rospy.is_shutdown():
        if (now := mirror.look()) != there:
            there = now
            rospy.loginfo("/%s of %s is shown as /%s/%s", robot, uri, prefix, robot) if there else rospy.logwarn(
                "no ROS master answers at %s: it is looked for every second", uri)
        time.sleep(PERIOD)
    del standing
    return 0
