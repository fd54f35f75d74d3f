"""control_msgs' types for trajectories: the package's own where it is installed, else the same made at run time.

Debian does not package control_msgs. A message type is its name and the checksum of its definition, so a class made
here from the same definition talks to every client that has the real package, and the driver offers the same names
everywhere. The checksums are compared with the published ones in a test.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import sys
from typing import Any

import genpy.dynamic
from actionlib_msgs.msg import GoalID, GoalStatus
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

ACTION = "control_msgs/FollowJointTrajectoryAction"
STATE = "control_msgs/JointTrajectoryControllerState"

_ACTION_PART = "Header header\nactionlib_msgs/{part}\ncontrol_msgs/FollowJointTrajectory{name} {field}\n"
_STATE_TEXT = """Header header
string[] joint_names
trajectory_msgs/JointTrajectoryPoint desired
trajectory_msgs/JointTrajectoryPoint actual
trajectory_msgs/JointTrajectoryPoint error
"""
_DEFINITIONS = {
    ACTION: """control_msgs/FollowJointTrajectoryActionGoal action_goal
control_msgs/FollowJointTrajectoryActionResult action_result
control_msgs/FollowJointTrajectoryActionFeedback action_feedback
""",
    "control_msgs/FollowJointTrajectoryActionGoal": _ACTION_PART.format(
        part="GoalID goal_id", name="Goal", field="goal"),
    "control_msgs/FollowJointTrajectoryActionResult": _ACTION_PART.format(
        part="GoalStatus status", name="Result", field="result"),
    "control_msgs/FollowJointTrajectoryActionFeedback": _ACTION_PART.format(
        part="GoalStatus status", name="Feedback", field="feedback"),
    "control_msgs/FollowJointTrajectoryGoal": """trajectory_msgs/JointTrajectory trajectory
control_msgs/JointTolerance[] path_tolerance
control_msgs/JointTolerance[] goal_tolerance
duration goal_time_tolerance
""",
    "control_msgs/FollowJointTrajectoryResult": """int32 error_code
int32 SUCCESSFUL = 0
int32 INVALID_GOAL = -1
int32 INVALID_JOINTS = -2
int32 OLD_HEADER_TIMESTAMP = -3
int32 PATH_TOLERANCE_VIOLATED = -4
int32 GOAL_TOLERANCE_VIOLATED = -5
string error_string
""",
    "control_msgs/FollowJointTrajectoryFeedback": _STATE_TEXT,
    STATE: _STATE_TEXT,
    "control_msgs/JointTolerance": "string name\nfloat64 position\nfloat64 velocity\nfloat64 acceleration\n",
}
_INSTALLED = (GoalID, GoalStatus, Header, JointTrajectory, JointTrajectoryPoint)
_RULE = "=" * 80


@functools.lru_cache(maxsize=1)
def control_types() -> dict[str, Any]:
    """Message classes by full type name: of control_msgs if it can be imported, else generated."""
    try:
        from control_msgs import msg
    except ImportError:
        return _generate()
    return {name: getattr(msg, name.split("/")[1]) for name in _DEFINITIONS}


def _generate() -> dict[str, Any]:
    texts = dict(_DEFINITIONS)
    texts.update({kind._type: kind._full_text.split(f"\n{_RULE}\n")[0] for kind in _INSTALLED})
    rest = [f"MSG: {name}\n{text}" for name, text in texts.items() if name != ACTION]
    made = genpy.dynamic.generate_dynamic(ACTION, f"\n{_RULE}\n".join([texts[ACTION], *rest]))
    _tidy(str(sys.modules[made[ACTION].__module__].__file__))
    return {name: made[name] for name in _DEFINITIONS}


def _tidy(file: str) -> None:
    """genpy removes the folder of its generated module at exit, which a killed process never reaches."""
    folder = os.path.dirname(file)
    atexit.unregister(shutil.rmtree)
    sys.path.remove(folder)
    shutil.rmtree(folder, ignore_errors=True)
