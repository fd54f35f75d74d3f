"""`rosrun uniros recorder`: every transition that env servers make on this master, in bags.

Private parameters:
  ~folder      where bags go (default runs/bags, from the directory of the shell); NAME.bag.active while it is written
  ~prefix      what their names begin with (default transitions); time and suffix follow
  ~split_size  MiB after which the next file begins (default 1024; 0: never)
  ~split_time  s after which the next file begins (default 3600; 0: never)
  ~min_free    MiB that stay free on the disk (default 1024, at most a twentieth of the disk)
  ~backlog     MiB that may wait to be written (default 64); what comes beyond is lost, and counted
  ~namespaces  of the env servers to record, separated by spaces (default: all that are or come on the master)
"""

from __future__ import annotations

import time

import rospy

from uniros_bringup.leave import leave
from uniros_env_server.driver.logs import Lines
from uniros_env_server.recorder.diagnostics import PERIOD, Diagnostics
from uniros_env_server.recorder.intake import Intake
from uniros_env_server.recorder.settings import MIB, Settings, read
from uniros_env_server.recorder.subscriptions import Subscriptions
from uniros_env_server.recorder.tally import Tally
from uniros_env_server.recorder.writer import Writer
from uniros_env_server.serving.periodic import every
from uniros_msgs.bag_repair import ACTIVE, repair
from uniros_msgs.errors import BagInUse, MalformedData, UnirosError

LOOK = 0.25  # s between two questions to the master
MASTER_GONE = 3.0  # s without an answer from the master after which we end, unless an env server is still heard


def main() -> int:
    rospy.init_node("recorder")
    lines = Lines()
    try:
        settings = read()
        mend(settings)
        return record(settings)
    except UnirosError as error:
        rospy.logfatal("%s: %s", type(error).__name__, error)
        return 1
    finally:
        lines.flush()


def mend(settings: Settings) -> None:
    """Give bags that an earlier recorder could not end the index they lack."""
    for path in sorted(settings.folder.glob(f"*.bag{ACTIVE}")):
        try:
            done = repair(path)
            rospy.logwarn("%s was not ended by its recorder: repaired, %d chunks are whole, %d bytes were not",
                          done.path, done.chunks, done.lost)
        except BagInUse:
            continue
        except (OSError, MalformedData) as error:
            rospy.logwarn("%s was not ended by its recorder, and cannot be repaired: %s", path, error)


def record(settings: Settings) -> int:
    """Until the node is told to end, or its master is gone; returns the exit code."""
    intake, tally = Intake(int(settings.backlog * MIB)), Tally()
    writer = Writer(settings, tally)
    subscriptions = Subscriptions(intake, tally, settings.namespaces)
    every(LOOK, subscriptions.look, "subscriptions")
    every(PERIOD, Diagnostics(settings, intake, tally, subscriptions, writer).publish, "diagnostics")
    rospy.loginfo("recording transitions to %s", settings.folder)
    checked = 0.0
    try:
        while not rospy.is_shutdown():
            writer.record(intake.take(patience=PERIOD))
            if time.monotonic() - checked < PERIOD:
                continue
            checked = time.monotonic()
            writer.check()
            if checked - subscriptions.master_seen > MASTER_GONE and not subscriptions.publishers():
                rospy.logfatal("the ROS master and all env servers are gone")
                return 1
        writer.record(intake.take(patience=0.0))
        return 0
    finally:
        writer.finish()


def run() -> None:
    """As a program."""
    leave(main())


if __name__ == "__main__":
    run()
