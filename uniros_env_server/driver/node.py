"""The driver as a ROS node: put together, watched from the main thread, ended without dropping the arm."""

from __future__ import annotations

import signal
import sys
import threading
import time

import rospy

from uniros_env_server.driver.action import FollowJointTrajectory
from uniros_env_server.driver.arm import Arm
from uniros_env_server.driver.bus import BusError
from uniros_env_server.driver.core import Driver, Snapshot
from uniros_env_server.driver.diagnostics import Diagnostics
from uniros_env_server.driver.inputs import Services, Tally, controllers
from uniros_env_server.driver.loop import ControlLoop, LoopDied
from uniros_env_server.driver.outputs import Outputs
from uniros_env_server.driver.port import PortLost, slow_adapter
from uniros_env_server.driver.realtime import elevate
from uniros_env_server.driver.states import NotNow, State

REPORT_EVERY = 1.0  # s between two reports on /diagnostics
POLL = 0.05  # s between two looks at the loop
AT_REST = 0.5  # s for a moving set-point to come to rest at the end
ON_EXIT = ("hold", "sleep")
ENDED = 15.0  # s, the most that going to sleep at the end may take


class Node:
    """Owns everything. Raises ValueError for a parameter; `run` raises BusError and PortLost while nothing runs yet."""

    def __init__(self, arm: Arm) -> None:
        self._on_exit = rospy.get_param("~on_exit", "hold")
        if self._on_exit not in ON_EXIT:
            raise ValueError(f"~on_exit must be one of {', '.join(ON_EXIT)}, it is {self._on_exit!r}")
        self._driver = Driver(arm.setup, arm)
        self._outputs = Outputs(arm.setup)
        self._loop = ControlLoop(self._driver, self._outputs.measured, self._on_cycle)
        self._news, self._stop, self._tally = threading.Event(), threading.Event(), Tally()

    def run(self) -> int:
        """Drive until a signal, the end of ROS, or an error."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop.set())
        sys.setswitchinterval(5e-4)  # s: the loop must not wait for its turn among our own threads
        refused = elevate(self._driver.setup.tuning.realtime_priority)
        if refused:
            rospy.logwarn("no real-time priority, a busy computer will hold the loop up: %s", refused)
        try:
            self._driver.begin(torque=bool(rospy.get_param("~torque_on_start", False)))
        except NotNow as error:
            rospy.logerr("torque stays off: %s", error)
        slow = slow_adapter(self._driver.arm.bus.port)
        if slow:
            rospy.logerr("%s", slow)
        self._driver.arm.bus.port.slack = self._driver.setup.tuning.response_timeout
        self._loop.start()  # at once: from now on the servos' watchdogs may be waiting
        made = controllers(self._driver.setup, self._loop, self._tally)
        for controller in made:
            controller.subscribe()
            FollowJointTrajectory(controller, self._loop, self._outputs)
        Services(self._driver.setup, self._loop)
        diagnostics = Diagnostics(self._loop, self._tally)
        rospy.loginfo("driving %s on %s: %s", self._driver.setup.robot, self._driver.arm.bus.port.port_name,
                      f"{self._driver.state.value} {self._driver.reason}".strip())
        dead = self._watch(diagnostics)
        if dead:
            rospy.logfatal("%s; the servos stop by themselves after %.2f s", dead, self._driver.setup.watchdog)
            return 1
        self._end()
        return 0

    def _on_cycle(self, snapshot: Snapshot) -> None:
        if self._outputs.cycle(snapshot):
            self._news.set()
            if snapshot.state in (State.ESTOP, State.FAULT):
                rospy.logerr("%s: %s", snapshot.state.value, snapshot.reason)

    def _watch(self, diagnostics: Diagnostics) -> str:
        """Report until it is time to stop; why the loop is dead, if it is."""
        due, stuck = time.monotonic(), 0
        while not self._stop.is_set() and not rospy.is_shutdown():
            if not self._loop.is_alive():
                return f"the control loop has died: {self._loop.error!r}"
            stuck = stuck + 1 if self._loop.stuck() else 0
            if stuck > 1:  # after the whole process stood still, the first look may come before the loop's next cycle
                return "the control loop is stuck"
            if self._news.wait(POLL) or time.monotonic() >= due:
                self._news.clear()
                due = time.monotonic() + REPORT_EVERY
                diagnostics.publish()
        return ""

    def _end(self) -> None:
        """Bring the arm to rest, and leave it as ~on_exit says."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            if self._on_exit == "sleep" and self._loop.snapshot.state in (State.HOLDING, State.FOLLOWING):
                lowering = self._loop.ask(self._driver.lower)
                if lowering and lowering[0].wait(ENDED):
                    time.sleep(POLL)
            self._loop.ask(self._driver.rest)
            end = time.monotonic() + AT_REST
            while self._driver.motion.moving and time.monotonic() < end:
                time.sleep(0.01)
            self._loop.ask(self._driver.leave)
        except (LoopDied, NotNow, BusError, PortLost) as error:
            rospy.logerr("the arm could not be left as it should: %s", error)
        self._loop.stop()
