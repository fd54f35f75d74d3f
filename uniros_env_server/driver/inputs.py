"""What the driver can be asked for over ROS: commands on topics, and its services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import rospy
from std_srvs.srv import SetBool, SetBoolResponse, Trigger, TriggerResponse
from trajectory_msgs.msg import JointTrajectory

from uniros_env_server.driver.command import Command, Joints, Refused, check_age
from uniros_env_server.driver.config import Setup
from uniros_env_server.driver.loop import ControlLoop, LoopDied
from uniros_env_server.driver.motion import Follower
from uniros_env_server.driver.states import NotNow
from uniros_env_server.driver.ticket import Outcome, Ticket

SLACK = 5.0  # s beyond the planned time that a motion may take because the arm is slow to follow
REBOOT_TIMEOUT = 20.0  # s


@dataclass
class Tally:
    """What has become of commands since the start."""

    taken: int = 0
    refused: int = 0
    clamped: int = 0
    slowed: int = 0
    last_refusal: str = ""


class Controller:
    """One of the two controllers: the arm's, or the gripper's."""

    def __init__(self, name: str, joints: Joints, follower: Follower, loop: ControlLoop, tally: Tally) -> None:
        self.name, self.joints, self.follower = name, joints, follower
        self._loop, self._tally = loop, tally

    def subscribe(self) -> None:
        """Take commands from now on."""
        rospy.Subscriber(f"{self.name}/command", JointTrajectory, self._on_command, queue_size=10, tcp_nodelay=True)

    def read(self, message: Any) -> Command:
        """The command in a JointTrajectory. Raises Refused."""
        driver = self._loop.driver
        check_age(message.header.stamp.to_sec(), rospy.get_time(), driver.setup.tuning.command_age)
        command = self.joints.read(message, driver.motion.setpoint[self.follower.axes])
        if command.clamped:
            self._tally.clamped += 1
            rospy.logwarn_throttle(1.0, f"{self.name}: beyond the limits, clamped: {', '.join(command.clamped)}")
        return command

    def follow(self, command: Command, ticket: Ticket | None = None) -> None:
        """Have it followed. Raises NotNow or LoopDied."""
        factor = self._loop.ask(lambda: self._loop.driver.command(self.follower, command, ticket))
        self._tally.taken += 1
        if factor > 1.0:
            self._tally.slowed += 1
            rospy.logwarn_throttle(1.0, f"{self.name}: too fast for the joints, slowed down {factor:.2f} times")

    def refuse(self, why: str) -> None:
        """Count and log a command that is not followed."""
        self._tally.refused += 1
        self._tally.last_refusal = f"{self.name}: {why}"
        rospy.logwarn_throttle(0.2, f"{self.name}: command refused, nothing moves: {why}")

    def _on_command(self, message: JointTrajectory) -> None:
        try:
            self.follow(self.read(message))
        except (Refused, NotNow, LoopDied) as error:
            self.refuse(str(error))


def controllers(setup: Setup, loop: ControlLoop, tally: Tally) -> list[Controller]:
    """Both controllers."""
    fingers = {"left_finger": 1.0, "right_finger": -1.0}
    motion = loop.driver.motion
    made = []
    for name, follower, mirror in (("arm_controller", motion.arm, {}), ("gripper_controller", motion.gripper, fingers)):
        axes = follower.axes
        joints = Joints(setup.axes[axes], setup.lower[axes], setup.upper[axes], mirror, setup.linkage)
        made.append(Controller(name, joints, follower, loop, tally))
    return made


class Services:
    """driver/estop, clear_estop, torque, reboot, home, sleep. Each answers when it is done, or says why it is not."""

    def __init__(self, setup: Setup, loop: ControlLoop) -> None:
        self._setup, self._loop, self._driver = setup, loop, loop.driver
        for name, verb in (("estop", self._estop), ("clear_estop", self._clear), ("reboot", self._reboot),
                           ("home", lambda: self._go("home")), ("sleep", lambda: self._go("sleep"))):
            rospy.Service(f"driver/{name}", Trigger, lambda request, verb=verb: TriggerResponse(*_answer(verb)))
        rospy.Service("driver/torque", SetBool, lambda request: SetBoolResponse(*_answer(
            self._torque_on if request.data else self._torque_off)))

    def _estop(self) -> str:
        self._loop.ask(lambda: self._driver.estop("driver/estop was called"))
        return "stopped; driver/clear_estop when it is safe"

    def _clear(self) -> str:
        self._loop.ask(self._driver.clear, REBOOT_TIMEOUT)
        return self._driver.state.value

    def _torque_on(self) -> str:
        self._loop.ask(self._driver.torque_on)
        return "holding"

    def _torque_off(self) -> str:
        lowering = self._loop.ask(self._driver.lower)
        if lowering is None:
            return "torque is off"
        self._await(*lowering)
        return "lowered, torque is off"

    def _reboot(self) -> str:
        servos = self._loop.ask(self._driver.reboot, REBOOT_TIMEOUT)
        return f"restarted {self._driver.arm.names(servos)}"

    def _go(self, pose: str) -> str:
        tuning = self._setup.tuning
        ticket = Ticket(np.full(len(self._setup.arm), tuning.goal_tolerance), tuning.goal_time_tolerance)
        duration = self._loop.ask(lambda: self._driver.go(self._setup.poses[pose], ticket))
        self._await(ticket, duration)
        return f"at {pose}"

    def _await(self, ticket: Ticket, duration: float) -> None:
        if not ticket.wait(duration + ticket.time_tolerance + SLACK):
            self._loop.ask(lambda: self._driver.halt(ticket))
            raise NotNow(f"it has taken too long, more than {duration + SLACK:.0f} s: the arm was stopped")
        if ticket.outcome is not Outcome.ARRIVED:
            raise NotNow(ticket.text)


def _answer(verb: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, verb()
    except (NotNow, LoopDied) as error:
        rospy.logwarn("%s", error)
        return False, str(error)
