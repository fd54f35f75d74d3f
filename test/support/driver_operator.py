"""A stock rospy node at the driver's topics and services, in a process of its own: one master per process.

Started by driver_rig.Operator; does what it is told over a socket.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from multiprocessing.connection import Connection
from typing import Any

import actionlib
import rospy
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from uniros_env_server.driver.control_types import ACTION, STATE, control_types

NS = "/rx200"
ARM = ["waist", "shoulder", "elbow", "wrist_angle", "wrist_rotate"]
SERVICE_TIMEOUT = 30.0  # s


class Hands:
    """What a test may do. Everything returned can be pickled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._joints: deque = deque(maxlen=20000)
        self._diagnostics: dict[str, tuple[int, str, dict[str, str], float]] = {}
        self._errors: list[tuple[float, str]] = []
        self._states: list[tuple[float, str]] = []
        rospy.Subscriber(f"{NS}/joint_states", JointState, self._on_joints, tcp_nodelay=True)
        rospy.Subscriber("/diagnostics", DiagnosticArray, self._on_diagnostics)
        rospy.Subscriber(f"{NS}/driver/state", String, self._on_state)
        self._publishers = {name: rospy.Publisher(f"{NS}/{name}/command", JointTrajectory, queue_size=10)
                            for name in ("arm_controller", "gripper_controller")}
        self._client: Any = None
        self._setpoints: deque = deque(maxlen=20000)
        self._watched: Any = None
        self._lines: dict[str, rospy.ServiceProxy] = {}

    def _on_joints(self, message: JointState) -> None:
        with self._lock:
            self._joints.append((message.header.stamp.to_sec(), time.time(), list(message.name), list(message.position),
                                 list(message.velocity), list(message.effort)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        with self._lock:
            for status in message.status:
                values = {pair.key: pair.value for pair in status.values}
                name = status.name.split(": ", 1)[-1]
                self._diagnostics[name] = (status.level, status.message, values, time.time())
                if status.level == 2:
                    self._errors.append((time.time(), f"{name}: {status.message}"))

    def _on_state(self, message: String) -> None:
        with self._lock:
            self._states.append((time.time(), message.data))

    def _on_controller(self, message: Any) -> None:
        with self._lock:
            self._setpoints.append((time.time(), list(message.desired.positions), list(message.actual.positions)))

    # For tests.

    def watch_setpoint(self) -> None:
        """Keep what arm_controller/state says from now on."""
        if self._watched is None:
            self._watched = rospy.Subscriber(f"{NS}/arm_controller/state", control_types()[STATE], self._on_controller,
                                             tcp_nodelay=True)

    def setpoints(self, since: float = 0.0) -> list[tuple[float, list[float], list[float]]]:
        """(arrival, desired, actual) positions of the arm's joints."""
        with self._lock:
            return [entry for entry in self._setpoints if entry[0] >= since]

    def connected(self) -> bool:
        return all(p.get_num_connections() for p in self._publishers.values()) and bool(self._joints)

    def now(self) -> float:
        return time.time()

    def joints(self, since: float = 0.0) -> list[tuple]:
        """(stamp, arrival, names, position, velocity, effort) of the messages that have come since."""
        with self._lock:
            return [message for message in self._joints if message[1] >= since]

    def state(self) -> str:
        with self._lock:
            return self._states[-1][1] if self._states else ""

    def states(self, since: float = 0.0) -> list[tuple[float, str]]:
        with self._lock:
            return [entry for entry in self._states if entry[0] >= since]

    def diagnostics(self) -> dict[str, tuple[int, str, dict[str, str], float]]:
        with self._lock:
            return dict(self._diagnostics)

    def errors(self, since: float = 0.0) -> list[str]:
        with self._lock:
            return [text for when, text in self._errors if when >= since]

    def keep_line(self, name: str) -> None:
        """Have the connection to a trigger made once and kept: later calls, until drop_lines, do not ask the master."""
        rospy.wait_for_service(f"{NS}/{name}", SERVICE_TIMEOUT)
        self._lines[name] = rospy.ServiceProxy(f"{NS}/{name}", Trigger, persistent=True)
        self._lines[name]()

    def drop_lines(self) -> None:
        """Connect anew for every call, as the driver may be another one next time."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()

    def trigger(self, name: str) -> tuple[bool, str]:
        if name not in self._lines:
            rospy.wait_for_service(f"{NS}/{name}", SERVICE_TIMEOUT)
        answer = self._lines.get(name, rospy.ServiceProxy(f"{NS}/{name}", Trigger))()
        return answer.success, answer.message

    def torque(self, on: bool) -> tuple[bool, str]:
        rospy.wait_for_service(f"{NS}/driver/torque", SERVICE_TIMEOUT)
        answer = rospy.ServiceProxy(f"{NS}/driver/torque", SetBool)(on)
        return answer.success, answer.message

    def fault(self, kind: str, servo: int = 0, joint: str = "", value: float = 0.0) -> tuple[bool, str]:
        from uniros_msgs.srv import Fault

        rospy.wait_for_service(f"{NS}/emulator/fault", SERVICE_TIMEOUT)
        answer = rospy.ServiceProxy(f"{NS}/emulator/fault", Fault)(kind=kind, servo=servo, joint=joint, value=value)
        return answer.success, answer.message

    def send(self, points: list[dict], names: list[str] | None = None, controller: str = "arm_controller",
             stamp: float = 0.0) -> float:
        """Publish a trajectory; points are dicts of time, positions, velocities, accelerations. Returns when (wall)."""
        self._publishers[controller].publish(trajectory(points, ARM if names is None else names, stamp))
        return time.time()

    def follow(self, points: list[dict], timeout: float = 20.0, cancel_after: float = 0.0) -> tuple[int, int, str]:
        """The action, with the stock client: (goal status, error code, error string)."""
        kinds = control_types()
        if self._client is None:
            self._client = actionlib.ActionClient(f"{NS}/arm_controller/follow_joint_trajectory", kinds[ACTION])
            assert self._client.wait_for_server(rospy.Duration(10))
        goal = kinds["control_msgs/FollowJointTrajectoryGoal"]()
        goal.trajectory = trajectory(points, ARM, 0.0)
        done = threading.Event()

        def on_transition(handle: Any) -> None:
            if handle.get_comm_state() == actionlib.CommState.DONE:
                done.set()

        handle = self._client.send_goal(goal, on_transition)
        if cancel_after and not done.wait(cancel_after):
            handle.cancel()
        if not done.wait(timeout):
            raise TimeoutError(f"no result within {timeout} s")
        result = handle.get_result()
        return handle.get_goal_status(), result.error_code, result.error_string


def trajectory(points: list[dict], names: list[str], stamp: float) -> JointTrajectory:
    message = JointTrajectory(joint_names=names)
    message.header.stamp = rospy.Time.from_sec(stamp)
    for point in points:
        fields = {key: value for key, value in point.items() if key != "time"}
        message.points.append(JointTrajectoryPoint(time_from_start=rospy.Duration.from_sec(point["time"]), **fields))
    return message


def main(make: type[Hands] = Hands) -> None:
    connection = Connection(int(sys.argv[1]))
    rospy.init_node("operator", disable_signals=True)
    hands = make()
    while True:
        try:
            name, args, kwargs = connection.recv()
        except EOFError:
            return
        try:
            connection.send((True, getattr(hands, name)(*args, **kwargs)))
        except Exception as error:  # noqa: BLE001 - handed on to the test
            connection.send((False, f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main()
