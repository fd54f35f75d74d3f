"""Drive the RX200 with nothing but stock rospy: torque, a trajectory, the gripper, and back to sleep.

An arm that exists in software only:   roslaunch uniros driver.launch driver:=emulated
Beside it:                             python3 drive_rx200.py
"""

import rospy
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

ARM = ["waist", "shoulder", "elbow", "wrist_angle", "wrist_rotate"]
READY = [0.0, -0.83, 0.59, 0.95, 0.0]
VIA = [READY, [0.5, -0.6, 0.5, 0.8, 0.0], [-0.5, -0.6, 0.5, 0.8, 0.0], READY]  # rad


def call(name, kind, *arguments):
    """A service of the driver; it answers when it is done, or says why it is not."""
    rospy.wait_for_service(name, timeout=20)
    answer = rospy.ServiceProxy(name, kind)(*arguments)
    print(f"{name}: {answer.message}")
    if not answer.success:
        raise SystemExit(1)


def send(controller, names, positions, seconds):
    """A point every so many seconds, passed smoothly; the last one is held. Returns when it should be there."""
    publisher = rospy.Publisher(f"/rx200/{controller}/command", JointTrajectory, queue_size=1, latch=True)
    points = [JointTrajectoryPoint(positions=position, time_from_start=rospy.Duration.from_sec(seconds * (number + 1)))
              for number, position in enumerate(positions)]
    publisher.publish(JointTrajectory(joint_names=names, points=points))
    rospy.sleep(seconds * len(points) + 0.5)
    publisher.unregister()


def joints():
    """Where the joints are now (rad, m), by name: never by place."""
    message = rospy.wait_for_message("/rx200/joint_states", JointState, timeout=5)
    return dict(zip(message.name, message.position))


if __name__ == "__main__":
    rospy.init_node("drive_rx200")
    call("/rx200/driver/torque", SetBool, True)
    send("arm_controller", ARM, VIA, 2.0)
    now = joints()
    print("furthest from the goal (rad):", max(abs(now[name] - goal) for name, goal in zip(ARM, READY)))
    send("gripper_controller", ["left_finger"], [[0.034], [0.020]], 1.0)
    now = joints()
    print("fingers (m):", now["left_finger"], now["right_finger"])
    call("/rx200/driver/sleep", Trigger)
    call("/rx200/driver/torque", SetBool, False)
