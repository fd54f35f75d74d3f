"""`rosrun uniros rx200_emulator`: the emulated bus as a ROS node, with faults on request and the truth for tests.

Private parameters:
  ~link         path for a symbolic link to the pty (default: in the temporary folder, named after master and node)
  ~robot        folder in config/robots (default rx200)
  ~start        pose that the arm lies in when the power comes on (default: plant.yaml's)
  ~seed         another arm of the same make (default: plant.yaml's)
  ~eeprom       registers that differ from servos.yaml, by servo id: {"4": {drive_mode: 0}}
Set by the node once the port can be opened:
  ~port         the device for the driver
Services: ~fault (uniros_msgs/Fault), ~truth and ~reset_truth (std_srvs/Trigger; the truth is JSON, see `truth.Truth`,
with the line's `counts` beside it).
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import asdict
from typing import Any

import rospy
from std_srvs.srv import Trigger, TriggerRequest, TriggerResponse

from uniros_bringup.leave import leave
from uniros_env_server.driver.logs import Lines
from uniros_env_server.driver.realtime import elevate
from uniros_env_server.emulation.bus import EmulatedBus
from uniros_env_server.emulation.faults import FAULTS, FaultRefused
from uniros_msgs.srv import Fault, FaultRequest, FaultResponse

PRIORITY = 10  # SCHED_FIFO where the system permits it, as the driver's; the bus takes a tenth of a core
PLANT_PARAMETERS = ("start", "seed")


class Emulator:
    """Services around a bus."""

    def __init__(self, bus: EmulatedBus) -> None:
        self._bus = bus
        rospy.Service("~fault", Fault, self._fault)
        rospy.Service("~truth", Trigger, self._truth)
        rospy.Service("~reset_truth", Trigger, self._reset_truth)

    def _fault(self, request: FaultRequest) -> FaultResponse:
        try:
            self._bus.fault(request.kind, request.servo, request.joint, request.value)
        except FaultRefused as refusal:
            return FaultResponse(False, str(refusal))
        rospy.logwarn("fault on request: %s", FAULTS[request.kind][0])
        return FaultResponse(True, FAULTS[request.kind][0])

    def _truth(self, _request: TriggerRequest) -> TriggerResponse:
        return TriggerResponse(True, json.dumps({**asdict(self._bus.truth()), "counts": self._bus.counts()}))

    def _reset_truth(self, _request: TriggerRequest) -> TriggerResponse:
        self._bus.reset_truth()
        return TriggerResponse(True, "extremes start anew")


class _ToRosout(logging.Handler):
    """Hands the package's own warnings on to rosout."""

    def emit(self, record: logging.LogRecord) -> None:
        rospy.logwarn(record.getMessage())


def read_parameters() -> dict[str, Any]:
    """Arguments for `EmulatedBus`."""
    eeprom = {int(number): registers for number, registers in rospy.get_param("~eeprom", {}).items()}
    plant = {name: rospy.get_param(f"~{name}") for name in PLANT_PARAMETERS if rospy.has_param(f"~{name}")}
    return {"robot": rospy.get_param("~robot", "rx200"), "link": rospy.get_param("~link", default_link()),
            "eeprom": eeprom, **plant}


def default_link() -> str:
    """A path that no other emulator on this host has: named after the master's port and the node."""
    master = rospy.get_master().getUri()[2].rsplit(":", 1)[-1].strip("/")
    return os.path.join(tempfile.gettempdir(), f"uniros-{os.getuid()}-{master}{rospy.get_name().replace('/', '-')}")


def main() -> int:
    """Serve until the node is shut down. 1 when the parameters do not make an arm."""
    rospy.init_node("emulator")
    lines = Lines()
    logging.getLogger("uniros.emulation").addHandler(_ToRosout())
    elevate(PRIORITY)  # servos are never late because a learner keeps the cores busy
    try:
        with EmulatedBus(**read_parameters()) as bus:
            Emulator(bus)
            rospy.set_param("~port", bus.port)
            rospy.loginfo("an emulated %s is at %s", bus.arm.model.name, bus.port)
            rospy.spin()
    except (ValueError, OSError) as error:
        rospy.logfatal("%s", error)
        return 1
    finally:
        lines.flush()
    return 0


def run() -> None:
    """As a program."""
    leave(main())
