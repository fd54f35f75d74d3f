"""Any arm behind `joint_states` and `JointTrajectory` topics: our driver, Interbotix' own, a simulator in Gazebo."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

import numpy as np
import rospy
from numpy.typing import NDArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from uniros_env_server.robots.driver import DriverLink
from uniros_env_server.robots.joint_states import Sample
from uniros_env_server.robots.measurements import Measurements
from uniros_env_server.robots.model import Array, RobotModel
from uniros_env_server.robots.robot import RobotState
from uniros_env_server.robots.vigil import Patience, Vigil
from uniros_msgs.errors import RobotFault
from uniros_msgs.topics import Outlet

ARRIVED = 2e-4  # s before its end at which a ramp counts as run
GIVE_WAY = 0.4  # s, for an arm that presses against something to stop pressing
POLL = 0.01  # s between two looks whether the driver is there


@dataclass(frozen=True)
class Topics:
    """Where an arm is, relative to the robot's namespace. An empty name: there is none of this kind."""

    joint_states: str = "joint_states"
    arm: str = "arm_controller/command"
    gripper: str = "gripper_controller/command"
    driver_state: str = "driver/state"  # std_msgs/String, as our own driver tells it


@dataclass(frozen=True)
class Ramp:
    """An even motion of the set-point."""

    start: Array  # (C,) rad, m
    end: Array
    begins: float  # s, monotonic
    ends: float

    def at(self, now: float) -> Array:
        """(C,) rad, m: where the set-point is."""
        if now >= self.ends - ARRIVED:
            return self.end.copy()
        return self.start + (self.end - self.start) * ((now - self.begins) / (self.ends - self.begins))


class RosControlRobot:
    """One arm. Commands leave as trajectories of one point, whose time_from_start ends with the action cycle.

    The topic's thread keeps the newest sound sample; nothing here waits for anybody. The set-point is known from the
    ramps sent: a driver follows them some milliseconds later. Raises RobotFault when no driver appears.
    """

    num = 1
    _ramp: Ramp  # this and what follows is set by settle()
    _presses: bool  # whether the latest trouble was that the arm does not get where it is told to be

    def __init__(self, model: RobotModel, topics: Topics | None = None, patience: Patience | None = None) -> None:
        topics = topics or Topics()
        self.model = model
        self.driver = DriverLink(topics.driver_state)
        self.measurements = Measurements(topics.joint_states, model)
        self._patience = patience or Patience()
        self._vigil = Vigil(model, self._patience)
        self._arm = Outlet(topics.arm, JointTrajectory)
        self._gripper = Outlet(topics.gripper, JointTrajectory) if topics.gripper else None
        self._finger_told: float | None = None  # m
        try:
            self._wait_for_driver(rospy.resolve_name(topics.arm))
        except BaseException:
            self.close()
            raise
        self.settle()

    @property
    def clock_bound(self) -> float:
        """See `Robot.clock_bound`: 0 for a driver on this machine, else half the quickest round trip to it."""
        return self.measurements.clock.bound

    # --- the contract -----------------------------------------------------------------------------------------------

    def state(self) -> RobotState:
        """The newest sound measurement, and where the set-point is now."""
        sample, setpoint = self._sample, self._ramp.at(time.monotonic())
        setpoint.flags.writeable = False
        return RobotState(self.model.published, sample.position[None], sample.velocity[None], sample.effort[None],
                          self.model.commanded, setpoint[None], sample.stamp, sample.wall)

    def command(self, q: Array, duration: float) -> None:
        """See `Robot.command`."""
        now, arm = time.monotonic(), len(self.model.arm)
        self._ramp = Ramp(self._ramp.at(now), q[0].copy(), now, now + duration)
        self._send(self._arm, self.model.arm, q[0, :arm], duration)
        if self._gripper and q[0, arm] != self._finger_told:
            self._finger_told = float(q[0, arm])
            self._send(self._gripper, (self.model.finger,), q[0, arm:], duration)

    def hold(self) -> None:
        """See `Robot.hold`. Between two ramps the driver holds by itself.

        Told by a position and not by an empty trajectory, on which drivers brake: that would lead beyond the way that
        the safety gate has seen. An arm that was seen to press against something gives way, slowly, to where it is.
        """
        now = time.monotonic()
        if self._presses:
            self._presses = False
            self.command(self._measured[None], GIVE_WAY)
        elif now < self._ramp.ends:
            self.command(self._ramp.at(now)[None], self.measurements.period)

    def reset(self, q: Array, rows: NDArray[np.intp] | None = None) -> None:
        """See `Robot.reset`. An arm cannot jump: raises RobotFault unless it has been brought there."""
        away = np.abs(self._setpoint() - q[0, : len(self.model.arm)])
        if away.max() > self._patience.behind:
            raise RobotFault(f"{self.model.arm[int(away.argmax())]} is {away.max():.2f} rad from where it is to be: an "
                             "arm cannot jump, it must be brought there first")

    def advance(self, duration: float) -> None:
        """Time passes by itself."""

    def settle(self) -> None:
        """See `Robot.settle`."""
        here = self._measured
        self._ramp, self._finger_told, self._presses = Ramp(here, here, 0.0, 0.0), None, False
        self._vigil.reset()

    def trouble(self) -> str:
        """See `Robot.trouble`."""
        now, sample, setpoint = time.monotonic(), self._sample, self._setpoint()
        elsewhere = self.driver.trouble() or self._stale(now - sample.stamp)
        seen = self._vigil.frozen(sample, setpoint, now) or self._vigil.blocked(sample, setpoint, now)
        self._presses = bool(seen and not elsewhere)
        return elsewhere or seen

    def next_sample(self, after: float) -> float:
        """See `Robot.next_sample`."""
        return self.measurements.next_arrival(after)

    def close(self) -> None:
        """See `Robot.close`. The driver holds the end of its last ramp."""
        self.measurements.close()
        self.driver.close()
        for outlet in (self._arm, self._gripper):
            if outlet:
                outlet.close()

    # --- its parts --------------------------------------------------------------------------------------------------

    @property
    def _sample(self) -> Sample:
        assert self.measurements.newest is not None  # the constructor has waited for one
        return self.measurements.newest

    @property
    def _measured(self) -> Array:
        """(C,) rad, m: where the commanded joints are."""
        here: Array = self._sample.position[[self.model.published.index(name) for name in self.model.commanded]]
        return here

    def _setpoint(self) -> Array:
        """(A,) rad, of the arm."""
        return self._ramp.at(time.monotonic())[: len(self.model.arm)]

    def _send(self, outlet: Outlet, names: tuple[str, ...], positions: Array, duration: float) -> None:
        """Stamped by the driver's clock, so that it can tell a command that was held up."""
        point = JointTrajectoryPoint(positions=positions.tolist(), time_from_start=rospy.Duration.from_sec(duration))
        message = JointTrajectory(joint_names=list(names), points=[point])
        stamp = self.measurements.clock.stamp(time.monotonic())
        message.header.stamp = rospy.Time.from_sec(max(0.0, stamp))
        buffer = io.BytesIO()
        message.serialize(buffer)
        outlet.send(buffer.getvalue())

    def _stale(self, age: float) -> str:
        if age <= self._patience.age:
            return ""
        why = "they do not come: is the driver frozen, or the network down?"
        if self.measurements.unsound:
            why = self.measurements.unsound
        elif not self.measurements.publishers:
            why = "nobody publishes them any more: has the driver ended?"
        return f"no sound joint_states for {age:.2f} s; {why}"

    def _wait_for_driver(self, command: str) -> None:
        """Raises RobotFault, saying what was expected, when nobody publishes or nobody listens."""
        end = time.monotonic() + self._patience.appear
        while self.measurements.newest is None or not self._arm.subscribers():
            if time.monotonic() > end or rospy.is_shutdown():
                raise RobotFault(f"{self._missing(command)} within {self._patience.appear:g} s")
            time.sleep(POLL)

    def _missing(self, command: str) -> str:
        topic = self.measurements.topic
        if self.measurements.unsound:
            return f"no sound measurement on {topic} ({self.measurements.unsound})"
        if self.measurements.newest is None:
            return (f"a driver that publishes sensor_msgs/JointState on {topic} was expected, and none appeared (start "
                    "one: roslaunch uniros driver.launch; or name the topic of yours: joint_states=...)")
        return (f"a controller that takes trajectory_msgs/JointTrajectory on {command} was expected, and nobody "
                "subscribed (start it, or name the topic of yours: arm_command=...)")
