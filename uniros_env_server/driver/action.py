"""follow_joint_trajectory: the action MoveIt and others drive an arm with."""

from __future__ import annotations

import threading
from typing import Any

import actionlib
import numpy as np
import rospy
from actionlib_msgs.msg import GoalStatus

from uniros_env_server.driver import control_types
from uniros_env_server.driver.command import Refused
from uniros_env_server.driver.core import Snapshot
from uniros_env_server.driver.inputs import Controller
from uniros_env_server.driver.loop import ControlLoop, LoopDied
from uniros_env_server.driver.outputs import Outputs
from uniros_env_server.driver.states import NotNow
from uniros_env_server.driver.ticket import Outcome, Ticket

FEEDBACK_EVERY = 0.05  # s
CODES = {Outcome.ARRIVED: "SUCCESSFUL", Outcome.LEFT_PATH: "PATH_TOLERANCE_VIOLATED",
         Outcome.NOT_THERE: "GOAL_TOLERANCE_VIOLATED"}


class FollowJointTrajectory:
    """The action of one controller. A thread waits for each goal; the loop is only asked."""

    def __init__(self, controller: Controller, loop: ControlLoop, outputs: Outputs) -> None:
        self._controller, self._loop, self._outputs = controller, loop, outputs
        kinds = control_types.control_types()
        self._result = kinds["control_msgs/FollowJointTrajectoryResult"]
        self._feedback = kinds["control_msgs/FollowJointTrajectoryFeedback"]
        self._tickets: dict[str, Ticket] = {}
        self._server = actionlib.ActionServer(f"{controller.name}/follow_joint_trajectory", kinds[control_types.ACTION],
                                              self._on_goal, self._on_cancel, auto_start=False)
        self._server.start()

    def _on_goal(self, handle: Any) -> None:
        goal = handle.get_goal()
        try:
            command = self._controller.read(goal.trajectory)
            ticket = self._ticket(goal)
            self._controller.follow(command, ticket)
        except (Refused, NotNow, LoopDied) as error:
            self._controller.refuse(str(error))
            kind = error.kind if isinstance(error, Refused) else "INVALID_GOAL"
            handle.set_rejected(self._say(kind, str(error)), str(error))
            return
        if command.points is None:
            ticket.close(Outcome.ARRIVED, "stopped, as an empty trajectory asks for")
        handle.set_accepted()
        number = handle.get_goal_id().id
        self._tickets[number] = ticket
        threading.Thread(target=self._wait, args=(handle, number, ticket), name="goal", daemon=True).start()

    def _ticket(self, goal: Any) -> Ticket:
        """The tolerances a goal asks for: 0 means the driver's own, -1 none."""
        tuning = self._loop.driver.setup.tuning
        axes = self._controller.joints.axes
        end = _tolerances(goal.goal_tolerance, axes, tuning.goal_tolerance)
        way = _tolerances(goal.path_tolerance, axes, np.inf)
        if self._controller.joints.fingers and not goal.goal_tolerance:
            end[:] = np.inf  # what is held between the fingers keeps them from the goal
        return Ticket(end, goal.goal_time_tolerance.to_sec() or tuning.goal_time_tolerance,
                      way if np.isfinite(way).any() else None)

    def _wait(self, handle: Any, number: str, ticket: Ticket) -> None:
        while not ticket.wait(FEEDBACK_EVERY) and not rospy.is_shutdown():
            handle.publish_feedback(self._progress(self._loop.snapshot))
            if not self._loop.is_alive():
                ticket.close(Outcome.STOPPED, "the control loop has ended")
        self._tickets.pop(number, None)
        outcome = ticket.outcome or Outcome.STOPPED
        result = self._say(CODES.get(outcome, "INVALID_GOAL"), ticket.text)
        if outcome is Outcome.ARRIVED:
            handle.set_succeeded(result, ticket.text)
        elif handle.get_goal_status().status == GoalStatus.PREEMPTING or outcome is Outcome.REPLACED:
            handle.set_canceled(result, ticket.text)
        else:
            handle.set_aborted(result, ticket.text)

    def _on_cancel(self, handle: Any) -> None:
        ticket = self._tickets.get(handle.get_goal_id().id)
        if ticket is not None:
            try:
                self._loop.ask(lambda: self._loop.driver.halt(ticket))
            except LoopDied as error:
                ticket.close(Outcome.STOPPED, str(error))

    def _progress(self, snapshot: Snapshot) -> Any:
        if snapshot.measurement is None:
            return self._feedback()
        return self._outputs.controller_state(snapshot, self._controller.follower.axes, self._feedback)

    def _say(self, code: str, text: str) -> Any:
        return self._result(error_code=getattr(self._result, code), error_string=text)


def _tolerances(given: Any, axes: tuple[str, ...], default: float) -> np.ndarray:
    """(J,) rad from a list of JointTolerance."""
    found = np.full(len(axes), default, dtype=float)
    for tolerance in given:
        if tolerance.name in axes and tolerance.position:
            found[axes.index(tolerance.name)] = tolerance.position if tolerance.position > 0 else np.inf
    return found
