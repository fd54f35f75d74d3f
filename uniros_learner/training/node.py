"""A command run as a ROS node, by roslaunch or with `name:=value`: private parameters stand for its options."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import rosgraph

from uniros_learner.farewell import leave_graph
from uniros_learner.training.fields import refuse_unknown
from uniros_learner.training.target import NS, require_master
from uniros_msgs.knobs import Learner

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from enum import Enum

    from stable_baselines3.common.callbacks import BaseCallback

    from uniros_msgs.msg import TrainingProgress

NAME = "learner"
KNOBS = {field.name for field in dataclasses.fields(Learner)}  # an earlier learner leaves their values on the master


def is_node(argv: list[str]) -> bool:
    return any(":=" in argument for argument in argv[1:])


def without_remappings(argv: list[str]) -> list[str]:
    """The arguments that are not for ROS."""
    return [argument for argument in argv[1:] if ":=" not in argument]


def join(options: argparse.Namespace) -> None:
    """Become a node on the master of ROS_MASTER_URI; its private parameters, unless "", are the `options`.

    Without `env_id`, the environment is the one on that same master. Raises ConnectionFailed when there is no master,
    InvalidConfig for a parameter that is no option.
    """
    require_master(rosgraph.get_master_uri())
    import rospy

    rospy.init_node(NAME, disable_signals=True)
    given = {name: value for name, value in rospy.get_param("~", {}).items() if value != "" and name not in KNOBS}
    refuse_unknown(given, vars(options), rospy.get_name())
    for name, value in given.items():
        setattr(options, name, value)
    if options.env_id:
        options.ns = None
    else:
        options.master_uri, options.ns = options.master_uri or rosgraph.get_master_uri(), options.ns or NS


def on_shutdown(act: Callable[[], None]) -> None:
    """Call `act` when the node is told to end, by `rosnode kill` for example."""
    import rospy

    rospy.on_shutdown(act)


def callbacks() -> list[BaseCallback]:
    """What a learner that is a node has beside: its knobs."""
    from uniros_learner.training.knobs import LearnerKnobs

    return [LearnerKnobs()]


def told(read: Callable[[], TrainingProgress], end: Callable[[], Enum]) -> AbstractContextManager[object]:
    """While the block runs, the graph is told how the training goes, and at last how it ended."""
    from uniros_learner.training.progress_topic import ProgressTopic

    return ProgressTopic(read, lambda: end().value)


def leave() -> None:
    """Take our name off the master: we leave without the clean-up that Python would do at the end."""
    leave_graph()
