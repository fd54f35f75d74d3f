"""The MoveIt adapter without MoveIt, which Debian does not have.

Tested are that its absence is told, what becomes of the messages it would answer with, and the questions the adapter
asks: of a stand-in with the methods of Noetic's moveit_commander. Nobody has run this against a move_group.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import JointState

from uniros_env_server.planning.message import to_message
from uniros_env_server.planning.moveit import MoveItPlanner, accepted
from uniros_env_server.planning.planner import make_planner
from uniros_env_server.planning.settings import Settings
from uniros_env_server.planning.timing import timed
from uniros_env_server.planning.trajectory import Trajectory
from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.model import load_model
from uniros_msgs.errors import NoPath, StartFailed

MODEL = load_model("rx200")
SETTINGS = Settings.load("rx200")
SPEEDS = SETTINGS.speeds(MODEL)
READY, HOME = MODEL.poses["ready"], MODEL.poses["home"]
LOW = np.array([0.0, 0.9, 0.2, 0.2, 0.0])  # nearer to the table than MoveIt would mind


def between(*corners: np.ndarray) -> Trajectory:
    return timed(MODEL.arm, corners, SETTINGS.bounds(MODEL))


def answer(trajectory: Trajectory, success: bool = True) -> tuple[Any, ...]:
    """As MoveGroupCommander.plan() gives it: success, RobotTrajectory, seconds, MoveItErrorCodes."""
    message = to_message(trajectory)
    first = to_message(Trajectory(MODEL.arm, np.zeros(1), trajectory.positions[:1], trajectory.velocities[:1]))
    message.points.insert(0, first.points[0])
    return success, SimpleNamespace(joint_trajectory=message), 0.01, SimpleNamespace(val=1 if success else -1)


class StandIn:
    """A MoveGroupCommander and a RobotCommander, which plan through the corners in `via`."""

    def __init__(self) -> None:
        self.calls: dict[str, Any] = {}
        self.via: list[np.ndarray] = []
        self.goals: list[np.ndarray] = []
        self.fail_first = 0
        self.release = threading.Event()
        self.release.set()

    def get_current_state(self) -> SimpleNamespace:
        return SimpleNamespace(joint_state=JointState(name=["gripper"], position=[0.5]), is_diff=False)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("set_"):
            raise AttributeError(name)
        return lambda value: self.calls.__setitem__(name, value)

    def plan(self) -> tuple[Any, ...]:
        self.release.wait(10.0)
        target = self.calls["set_joint_value_target"]
        start = np.array(self.calls["set_start_state"].joint_state.position)
        self.goals.append(np.array([target[name] for name in MODEL.arm]))
        return answer(between(start, *self.via, self.goals[-1]), len(self.goals) > self.fail_first)


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn()
    module = ModuleType("moveit_commander")
    module.roscpp_initialize = lambda arguments: None  # type: ignore[attr-defined]
    module.RobotCommander = lambda: found  # type: ignore[attr-defined]
    module.MoveGroupCommander = lambda name: found.calls.update(name=name) or found  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "moveit_commander", module)
    return found


@pytest.fixture
def planner(group: StandIn, tmp_path: Path) -> Iterator[MoveItPlanner]:
    made = MoveItPlanner(log_file=tmp_path / "log")
    yield made
    made.close()


def test_without_moveit_it_says_so_and_what_to_do() -> None:
    assert "moveit_commander" not in sys.modules
    with pytest.raises(StartFailed, match=r"moveit_commander, which is not installed .* or choose planner builtin"):
        make_planner("moveit")


def test_without_a_move_group_it_says_so(group: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise RuntimeError("Unable to connect to move_group action server 'move_group' within allotted time (5s)")

    monkeypatch.setattr(sys.modules["moveit_commander"], "MoveGroupCommander", refuse)
    with pytest.raises(StartFailed, match=r"for 'interbotix_arm': Unable to connect .* Start its move_group"):
        make_planner("moveit")


def test_what_it_finds_is_taken_joint_by_joint() -> None:
    found = answer(between(READY, HOME))
    message = found[1].joint_trajectory
    message.joint_names.reverse()
    for point in message.points:
        point.positions.reverse()
        point.velocities.reverse()
    trajectory = accepted(found, READY, MODEL.arm, SPEEDS)
    np.testing.assert_allclose(trajectory.at(0.7)[0], between(READY, HOME).at(0.7)[0], atol=1e-8)


def test_what_is_too_fast_is_slowed_down() -> None:
    trajectory = accepted(answer(between(READY, HOME).slower(0.2)), READY, MODEL.arm, SPEEDS)
    assert trajectory.duration == pytest.approx(between(READY, HOME).duration, rel=1e-6)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (answer(between(READY, HOME), success=False), r"MoveIt found no way \(MoveItErrorCodes -1\)"),
        (answer(between(READY + 0.05, HOME)), r"from elsewhere, 0\.050 rad away"),
        ((True, SimpleNamespace(joint_trajectory=to_message(between(READY))), 0.0, None), ""),
    ],
)
def test_what_is_no_way_from_here_is_refused(found: tuple[Any, ...], why: str) -> None:
    if not why:
        found[1].joint_trajectory.joint_names[0] = "finger"
        why = "of no use: the trajectory has no joint waist"
    with pytest.raises(NoPath, match=why):
        accepted(found, READY, MODEL.arm, SPEEDS)


def test_it_is_asked_for_our_group_from_our_start_at_our_speed(group: StandIn, planner: MoveItPlanner) -> None:
    trajectory = planner.plan(READY, HOME, deadline=4.0)
    np.testing.assert_allclose(trajectory.positions[[0, -1]], [READY, HOME], atol=1e-9)
    state = group.calls["set_start_state"]
    assert (state.joint_state.name, state.is_diff) == (list(MODEL.arm), True)
    assert group.calls["name"] == "interbotix_arm"
    assert group.calls["set_max_velocity_scaling_factor"] == SETTINGS.speed_share
    assert 3.0 < group.calls["set_planning_time"] < 4.0


def test_a_way_below_our_margins_is_none(group: StandIn, planner: MoveItPlanner) -> None:
    group.via = [LOW]
    with pytest.raises(NoPath, match=r"the way planned is not clear: .* a link and the table would be \d+ mm apart"):
        planner.plan(READY, HOME)


def test_a_pose_is_reached_by_another_solution_when_the_first_is_not(group: StandIn, planner: MoveItPlanner) -> None:
    group.fail_first = 1
    trajectory = planner.to_pose(READY, [0.25, 0.1, 0.2])
    assert len(group.goals) == 2 and np.abs(group.goals[0] - group.goals[1]).max() > 0.05
    np.testing.assert_allclose(Kinematics(MODEL).position(trajectory.positions[-1])[0], [0.25, 0.1, 0.2], atol=2e-4)
    group.fail_first = 100
    with pytest.raises(NoPath, match=r"none of \d ways to stand there is reached; the last: MoveIt found no way"):
        planner.to_pose(READY, [0.25, 0.1, 0.2])


def test_a_move_group_that_hangs_costs_no_more_than_the_deadline(group: StandIn, planner: MoveItPlanner) -> None:
    group.release.clear()
    for why in ("gave no answer within", "was busy with other questions for"):
        start = time.monotonic()
        with pytest.raises(NoPath, match=rf"{why} 0\.3 s"):
            planner.plan(READY, HOME, deadline=0.3)
        assert time.monotonic() - start < 0.35
    group.release.set()
    planner.plan(READY, HOME)


def test_what_moveit_raises_is_told(group: StandIn, planner: MoveItPlanner) -> None:
    def refuse() -> None:
        raise RuntimeError("Error setting joint target. Is the target within bounds?")

    group.plan = refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(NoPath, match="MoveIt refused the question: Error setting joint target"):
        planner.plan(READY, HOME)
